import type { ThreadKind } from '../../domain/states.ts';
import type { WorldMemory, WorldSubject } from '../../domain/world.ts';
import { threads } from '../../domain/world-threads.ts';

export interface ToldMemory {
  memory: WorldMemory;
  subject: WorldSubject | undefined;
}

const wordings = threads.flatMap(({ moments }) => moments.flatMap(({ tellings }) => tellings.flat()));

/**
 * What the world's maker knows of two memories of different agents: whether they are truly of one event, an echo, a
 * contradiction. Undefined where it does not know: the two sides of a tie may differ, and nothing says in what.
 */
export function createWorldTruth(history: readonly ToldMemory[]) {
  const words = new Map(
    history.map(({ memory, subject }) => [
      keyOf(memory),
      subject?.of === 'moment'
        ? new Set(wordings.filter((wording) => memory.text.includes(wording)))
        : new Set<string>(),
    ]),
  );
  const sharesWords = (a: ToldMemory, b: ToldMemory) => {
    const theirs = words.get(keyOf(b.memory))!;
    return [...words.get(keyOf(a.memory))!].some((wording) => theirs.has(wording));
  };

  return (kind: ThreadKind, a: ToldMemory, b: ToldMemory): boolean | undefined => {
    const [one, other] = [a.subject, b.subject];
    if (kind === 'echo') return sharesWords(a, b);
    if (!one || !other) return false;
    if (one.of === 'tie' || other.of === 'tie') {
      const same = one.of === 'tie' && other.of === 'tie' && one.tie === other.tie;
      return kind === 'contradiction' && same ? undefined : kind === 'same_event' && same;
    }
    if (one.moment !== other.moment) return false;
    if (kind === 'same_event') return one.told === 'seen' && other.told === 'seen';
    // Who quarrels holds both tellings.
    return one.telling !== other.telling || one.told === 'disputed' || other.told === 'disputed';
  };
}

/** What makes a memory of the world one with its row. */
export function keyOf({ agentId, externalKey }: Pick<WorldMemory, 'agentId' | 'externalKey'>): string {
  return `${agentId}/${externalKey}`;
}

export interface JudgedLinks {
  links: number;
  /** Share of the links whose two memories the maker knows to belong together. */
  precision: number;
  /** Share of the memories that have a true partner and got at least one. */
  found: number;
}

/** Links by kind against the truth; `partnered` are the memories that have a true partner within reach. */
export function judged(
  links: ReadonlyArray<{ memory: ToldMemory; other: ToldMemory }>,
  kind: ThreadKind,
  truth: ReturnType<typeof createWorldTruth>,
  partnered: ReadonlySet<ToldMemory>,
): JudgedLinks {
  let right = 0;
  let wrong = 0;
  const found = new Set<ToldMemory>();
  for (const { memory, other } of links) {
    const known = truth(kind, memory, other);
    if (known === undefined) continue;
    if (!known) {
      wrong += 1;
      continue;
    }
    right += 1;
    if (partnered.has(memory)) found.add(memory);
    if (partnered.has(other)) found.add(other);
  }
  return {
    links: links.length,
    precision: right / Math.max(1, right + wrong),
    found: found.size / Math.max(1, partnered.size),
  };
}

/** The memories that have a true partner of another agent: of an event or contradiction at the time, of an echo before it. */
export function partneredBy(
  history: readonly ToldMemory[],
  kind: ThreadKind,
  truth: ReturnType<typeof createWorldTruth>,
  windows: { eventMs: number; echoMs: number },
): Set<ToldMemory> {
  const at = (told: ToldMemory) => Date.parse(told.memory.occurredAt);
  const ordered = history.filter(({ subject }) => subject).toSorted((a, b) => at(a) - at(b));
  const reach = kind === 'echo' ? windows.echoMs : windows.eventMs;
  const partnered = new Set<ToldMemory>();
  for (const [i, later] of ordered.entries()) {
    for (let j = i - 1; j >= 0; j -= 1) {
      const earlier = ordered[j]!;
      const apart = at(later) - at(earlier);
      if (apart > reach) break;
      if (kind === 'echo' && apart <= windows.eventMs) continue;
      if (earlier.memory.agentId === later.memory.agentId || truth(kind, later, earlier) !== true) continue;
      partnered.add(later);
      if (kind === 'echo') break;
      partnered.add(earlier);
    }
  }
  return partnered;
}
