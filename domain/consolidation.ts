import type { Fleet } from './fleet.ts';
import { recencyPerHour } from './retrieval.ts';
import type { MemoryKind } from './states.ts';

/** Which memories give way when an agent has more than its limit, and what becomes of them. */

export interface KeptMemory {
  id: string;
  kind: MemoryKind;
  text: string;
  /** 1 to 10. */
  importance: number;
  /** ISO times. */
  occurredAt: string;
  validTo: string | null;
  /** The last use; before the first, when it happened. */
  usedAt: string;
  /** Of its text. */
  contentHash: string;
}

/** What usefulness is judged by. */
export type RankedMemory = Pick<KeptMemory, 'id' | 'importance' | 'occurredAt' | 'usedAt'>;

/** Memories that become one: it quotes each of them and takes their place. A group of one leaves a tombstone. */
export interface ConsolidationGroup {
  members: KeptMemory[];
}

/** Memories of a group: a quotation of more would be no memory but a list. */
const mostInGroup = 8;
/** Cosine from which two memories are alike enough to stand in one. */
const alikeCosine = 0.6;
/** At this cosine two say the same (docs/memory.md), and the group has nothing to lose. */
const sameCosine = 0.95;
const mostQuoteLetters = 400;
const mostTextLetters = 2_000;

/** What the agent may hold: its own limit, else its archetype's, else that of the fleet. */
export function memoryLimitOf(
  fleet: Pick<Fleet, 'agents' | 'archetypes' | 'limits'>,
  agent: { id: string; archetype: string },
): number {
  return (
    fleet.agents[agent.id]?.memoriesPerAgent ??
    fleet.archetypes.find(({ id }) => id === agent.archetype)?.memoriesPerAgent ??
    fleet.limits.memoriesPerAgent
  );
}

/** How many an agent over its limit keeps: a tenth of room, so that the next memory does not begin it all again. */
export function keptOf(limit: number): number {
  return Math.max(1, Math.floor(limit * 0.9));
}

/**
 * How much a memory is likely to be missed: importance ÷ 10 + 0.995 ^ hours since its last use, the two parts of retrieval
 * (Park et al. 2023, arXiv 2304.03442; domain/retrieval.ts) that no question changes. What stands last here comes to mind last
 * whatever is asked, relevance being equal.
 */
export function usefulness({ importance, usedAt }: Pick<KeptMemory, 'importance' | 'usedAt'>, now: Date): number {
  const hours = Math.max(0, now.getTime() - Date.parse(usedAt)) / 3_600_000;
  return importance / 10 + recencyPerHour ** hours;
}

/** The least useful first; of equals the earlier, then by id. */
export function leastUsefulFirst(now: Date): (a: RankedMemory, b: RankedMemory) => number {
  return (a, b) =>
    usefulness(a, now) - usefulness(b, now) || compare(a.occurredAt, b.occurredAt) || compare(a.id, b.id);
}

/**
 * Which of the least useful become which groups, so that `free` memories fewer are left, or as many fewer as these allow.
 * First what says the same as another of them: nothing is lost by it. Then, the least useful first, each with those most like
 * it, of its own kind: they become one memory that quotes them. What nothing else is like leaves a tombstone, and only when
 * the groups did not free enough.
 * @param memories the least useful first
 * @param cosine of two of them by place; NaN where one has no vector
 */
export function groupsOf(
  memories: readonly KeptMemory[],
  free: number,
  cosine: (a: number, b: number) => number,
): ConsolidationGroup[] {
  const groups: ConsolidationGroup[] = [];
  const spent = new Set<number>();
  let freed = 0;
  const gather = (least: number) => {
    for (let place = 0; place < memories.length && freed < free; place += 1) {
      if (spent.has(place)) continue;
      const room = Math.min(mostInGroup, free - freed + 1);
      const like = alike(memories, place, spent, cosine)
        .filter(({ likeness }) => likeness >= least)
        .slice(0, room - 1);
      if (like.length === 0) continue;
      const places = [place, ...like.map((each) => each.place)];
      for (const each of places) spent.add(each);
      groups.push({ members: places.map((each) => memories[each]!).sort(earlierFirst) });
      freed += places.length - 1;
    }
  };
  gather(sameCosine);
  gather(alikeCosine);
  for (let place = 0; place < memories.length && freed < free; place += 1) {
    if (spent.has(place)) continue;
    groups.push({ members: [memories[place]!] });
    freed += 1;
  }
  return groups;
}

function alike(
  memories: readonly KeptMemory[],
  place: number,
  spent: ReadonlySet<number>,
  cosine: (a: number, b: number) => number,
): Array<{ place: number; likeness: number }> {
  const { kind, contentHash } = memories[place]!;
  const like: Array<{ place: number; likeness: number }> = [];
  for (let other = 0; other < memories.length; other += 1) {
    if (other === place || spent.has(other) || memories[other]!.kind !== kind) continue;
    const likeness = memories[other]!.contentHash === contentHash ? 1 : cosine(place, other);
    if (likeness >= alikeCosine) like.push({ place: other, likeness });
  }
  return like.sort((a, b) => b.likeness - a.likeness || a.place - b.place);
}

/** The memory that a group becomes; nothing in it but days and what its members say. */
export interface Consolidated {
  kind: MemoryKind;
  text: string;
  /** The highest of its members. */
  importance: number;
  /** From the first of them on, until the last of their ends; null where one of them still holds. */
  occurredAt: string;
  validTo: string | null;
  /** The last use of any of them: together they are no older than the youngest. */
  usedAt: string;
}

export function consolidated({ members }: ConsolidationGroup): Consolidated {
  const ends = members.map(({ validTo }) => validTo);
  return {
    kind: members[0]!.kind,
    text: quotation(members),
    importance: Math.max(...members.map(({ importance }) => importance)),
    occurredAt: members[0]!.occurredAt,
    validTo: ends.some((end) => end === null) ? null : ends.reduce((last, end) => (end! > last! ? end : last)),
    usedAt: members.map(({ usedAt }) => usedAt).reduce((last, at) => (at > last ? at : last)),
  };
}

/** Each text once with its day, and with that of its end where it has one, in order of time; what is too long is cut, and shows it. */
function quotation(members: readonly KeptMemory[]): string {
  const texts = [...new Map(members.map((member) => [member.text, member])).values()];
  const longest = Math.max(...texts.map((each) => days(each).length));
  const room = Math.min(mostQuoteLetters, Math.floor(mostTextLetters / texts.length) - longest - 6);
  return texts.map((each) => `${days(each)}: “${clipped(each.text, room)}”`).join(' ');
}

function days({ occurredAt, validTo }: KeptMemory): string {
  return validTo === null ? occurredAt.slice(0, 10) : `${occurredAt.slice(0, 10)} to ${validTo.slice(0, 10)}`;
}

function clipped(text: string, most: number): string {
  if (text.length <= most) return text;
  const cut = text.slice(0, most - 1);
  const space = cut.lastIndexOf(' ');
  return `${(space > most / 2 ? cut.slice(0, space) : cut).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

function earlierFirst(a: KeptMemory, b: KeptMemory): number {
  return compare(a.occurredAt, b.occurredAt) || compare(a.id, b.id);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
