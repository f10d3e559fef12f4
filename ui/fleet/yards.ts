import type { Tone } from '../parts/badge.tsx';

/** An agent or a service, and the machine it is drawn in; null: in none. */
export interface Dot {
  key: string;
  kind: 'agent' | 'service';
  machineId: string | null;
  tone: Tone;
  says: string;
}

interface Yard {
  id: string | null;
  x: number;
  y: number;
  w: number;
  h: number;
}

const gap = 16;
const leastYard = 280;
const head = 44;
const pad = 18;
const step = 14;

/** Yards side by side where there is room, those of a row equally high; in each its dots row by row. */
export function layoutYards({
  width,
  yardIds,
  dots,
}: {
  width: number;
  yardIds: ReadonlyArray<string | null>;
  dots: readonly Dot[];
}): { yards: Yard[]; places: Map<string, { x: number; y: number }>; height: number } {
  const columns = Math.max(1, Math.min(yardIds.length, Math.floor((width + gap) / (leastYard + gap))));
  const w = Math.floor((width - gap * (columns - 1)) / columns);
  const across = Math.max(1, Math.floor((w - 2 * pad) / step));
  const own = new Map(yardIds.map((id) => [id, dots.filter(({ machineId }) => machineId === id)]));
  const heightOf = (id: string | null) =>
    head + Math.max(1, Math.ceil((own.get(id)?.length ?? 0) / across)) * step + pad;
  const yards: Yard[] = [];
  const places = new Map<string, { x: number; y: number }>();
  let y = 0;
  for (let row = 0; row < yardIds.length; row += columns) {
    const ids = yardIds.slice(row, row + columns);
    const h = Math.max(...ids.map(heightOf));
    for (const [column, id] of ids.entries()) {
      const x = column * (w + gap);
      yards.push({ id, x, y, w, h });
      for (const [i, { key }] of (own.get(id) ?? []).entries()) {
        places.set(key, {
          x: x + pad + (i % across) * step + step / 2,
          y: y + head + Math.floor(i / across) * step + step / 2,
        });
      }
    }
    y += h + gap;
  }
  // Who stands where the file names no machine any more is drawn at the foot of the last yard.
  for (const { key } of dots) if (!places.has(key)) places.set(key, { x: pad, y: Math.max(0, y - gap - pad / 2) });
  return { yards, places, height: Math.max(0, y - gap) };
}
