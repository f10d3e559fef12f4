export interface Line {
  id: string;
  agentId: string | null;
  agentName: string;
  text: string;
  at: string;
  kind: 'reflection' | 'drop';
}

/** How long a reader takes over a character, at speed 1. */
const characterMs = 55;
const leastMs = 3_500;

export const readingMs = (text: string, speed: number) => Math.max(leastMs, text.length * characterMs) / speed;

/** What an event says that there is to tell. */
export function toldBy({ type }: { type: string }): boolean {
  return type === 'run.done' || type.startsWith('drop.') || type.startsWith('reflection.');
}

/** The newest first; what is there already stays as it is, and so does who reads it. */
export function joined(known: readonly Line[], found: readonly Line[], most = 200): Line[] {
  const ids = new Set(known.map(({ id }) => id));
  const fresh = found.filter(({ id }) => !ids.has(id));
  if (fresh.length === 0) return known as Line[];
  return [...fresh, ...known].toSorted((a, b) => b.at.localeCompare(a.at)).slice(0, most);
}

export interface Told {
  line: Line;
  /** Ids of those before it. */
  seen: ReadonlySet<string>;
  /** How it was told to its end. */
  over?: 'said' | 'read';
}

/** What is new is told first; where all was told it begins again, with the newest. Undefined: nothing but what was just told. */
export function nextTold(lines: readonly Line[], told: Told): Told | undefined {
  const seen = new Set(told.seen).add(told.line.id);
  const unseen = lines.find(({ id }) => !seen.has(id));
  if (unseen) return { line: unseen, seen };
  return lines.length < 2 ? undefined : { line: lines[0]!, seen: new Set() };
}

interface Page<Row> {
  items: Row[];
  nextCursor: string | null;
}

/** The newest of a list, back to one that is known: a sweep draws more at once than one page holds. Where none is known, one page. */
export async function untilKnown<Row extends { id: string }>(
  known: ReadonlySet<string>,
  read: (page: { cursor?: string }) => Promise<Page<Row>>,
  mostPages = 10,
): Promise<Row[]> {
  const found: Row[] = [];
  let page: { cursor?: string } = {};
  for (let pages = 0; pages < mostPages; pages += 1) {
    const { items, nextCursor } = await read(page);
    found.push(...items);
    if (known.size === 0 || nextCursor === null || items.some(({ id }) => known.has(id))) break;
    page = { cursor: nextCursor };
  }
  return found;
}
