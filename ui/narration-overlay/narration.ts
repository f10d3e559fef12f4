import type { LiveEvent } from '../live.ts';

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
export function toldBy({ type }: Pick<LiveEvent, 'type'>): boolean {
  return type === 'run.done' || type.startsWith('drop.') || type.startsWith('reflection.');
}

/** The newest first; what is there already stays as it is, and so does who reads it. */
export function joined(known: readonly Line[], found: readonly Line[], most = 200): Line[] {
  const ids = new Set(known.map(({ id }) => id));
  const fresh = found.filter(({ id }) => !ids.has(id));
  if (fresh.length === 0) return known as Line[];
  return [...fresh, ...known].toSorted((a, b) => b.at.localeCompare(a.at)).slice(0, most);
}
