import { anyQuoteFinder, normalisedText } from './plain-text.ts';
import type { MemoryKind } from './states.ts';

/**
 * Which memories of an agent go into a loop package. What is private never goes, whatever is asked for: talk with people and
 * what they called it for, its votes and sales, what came from private sources, what was deleted; and nothing that was made
 * of any of it, over any number of steps. docs/loops.md tells the rules to the owner.
 */
export const packableKinds = ['observation', 'reflection', 'drop'] as const satisfies readonly MemoryKind[];
export type PackableKind = (typeof packableKinds)[number];

/** Why a memory stays out; the first that holds is told. */
export const leftOutReasons = {
  forgotten: 'it was forgotten or deleted',
  superseded: 'another memory took its place, or it gave way for room',
  private_kind: 'talk with people, whispers, votes and sales are private',
  private_source: 'its source is private, or it tells of a guild',
  unknown_source:
    'its source is not in fleet.yaml any more, or what it was made of is not here: it cannot be told from a private one',
  rests_on_private: 'it rests on a memory that may not go out',
  rests_on_superseded: 'it rests on a memory whose place another took',
  quotes_private: 'it says what a private or deleted memory says',
  not_chosen: 'left out by the choice of who packs',
  evidence_not_chosen: 'what it rests on was left out by that choice',
  same_again: 'another memory says the same of the same moment',
} as const;
export type LeftOutReason = keyof typeof leftOutReasons;

export interface LoopChoice {
  /** false: the persona alone. @default true */
  memories?: boolean | undefined;
  kinds?: readonly PackableKind[] | undefined;
  /** ISO time: what happened before stays out. */
  since?: string | undefined;
  leastImportance?: number | undefined;
  /** Id, name, persona and traits go out although they say what a whisper said. @default false */
  personaQuotes?: boolean | undefined;
}

/** A memory of the agent, or one that something of the agent's was inherited from. */
export interface JudgedMemory {
  id: string;
  own: boolean;
  kind: MemoryKind;
  text: string;
  importance: number;
  occurredAt: string;
  deleted: boolean;
  superseded: boolean;
  /** Of what it is known to have come from. */
  origin: 'public' | 'private' | 'unknown';
  /** What a reflection rests on. */
  evidence: readonly string[];
  /** What it took the place of: a correction of one, or a quotation of several. */
  replaced: readonly string[];
  /** What it was handed on from, where that is another agent's memory. */
  inheritedFrom?: string | undefined;
  /** A quotation of others in their place: domain/consolidation.ts. */
  quotes: boolean;
}

export interface Chosen<Memory> {
  chosen: Memory[];
  leftOut: Array<{ memory: Memory; reason: LeftOutReason }>;
  /** Whether a text of the agent's own repeats words that are private. */
  repeatsPrivate: (text: string) => boolean;
}

/** @param memories all of the agent's, with everything that theirs came from, as far as it is here */
export function chooseMemories<Memory extends JudgedMemory>(
  memories: readonly Memory[],
  choice: LoopChoice,
): Chosen<Memory> {
  const reasons = new Map<string, LeftOutReason>();
  for (const memory of memories) {
    const reason = ownReason(memory);
    if (reason) reasons.set(memory.id, reason);
  }
  const sources = memories.filter(({ id }) => isPrivate(reasons.get(id)));
  spread(memories, reasons);
  const words = privateWords(
    sources,
    memories.filter(({ id }) => isPrivate(reasons.get(id))),
  );
  for (const memory of memories) {
    if (reasons.has(memory.id)) continue;
    if (words.isWhole(memory.text) || (isMade(memory) && words.isIn(memory.text)))
      reasons.set(memory.id, 'quotes_private');
  }
  spread(memories, reasons);
  const own = memories.filter((memory) => memory.own);
  for (const memory of own) {
    if (!reasons.has(memory.id) && !isAskedFor(memory, choice)) reasons.set(memory.id, 'not_chosen');
  }
  spread(own, reasons);
  const chosen: Memory[] = [];
  const leftOut: Chosen<Memory>['leftOut'] = [];
  for (const memory of own) {
    const reason = reasons.get(memory.id);
    if (reason) leftOut.push({ memory, reason });
    else chosen.push(memory);
  }
  return { chosen, leftOut, repeatsPrivate: words.isIn };
}

function ownReason({ kind, deleted, superseded, origin, evidence }: JudgedMemory): LeftOutReason | undefined {
  // What is private by itself is told so even where it is gone: whatever was made of it is private, too.
  if (!(packableKinds as readonly MemoryKind[]).includes(kind)) return 'private_kind';
  if (origin === 'private') return 'private_source';
  if (origin === 'unknown' || (kind === 'reflection' && evidence.length === 0)) return 'unknown_source';
  if (deleted) return 'forgotten';
  return superseded ? 'superseded' : undefined;
}

/** What follows for a memory from one that it was made of. */
const spreads: Readonly<Record<LeftOutReason, LeftOutReason>> = {
  forgotten: 'rests_on_private',
  private_kind: 'rests_on_private',
  private_source: 'rests_on_private',
  unknown_source: 'rests_on_private',
  rests_on_private: 'rests_on_private',
  quotes_private: 'rests_on_private',
  superseded: 'rests_on_superseded',
  rests_on_superseded: 'rests_on_superseded',
  not_chosen: 'evidence_not_chosen',
  evidence_not_chosen: 'evidence_not_chosen',
  same_again: 'evidence_not_chosen',
};
function isPrivate(reason: LeftOutReason | undefined): boolean {
  return reason !== undefined && spreads[reason] === 'rests_on_private';
}

/** Of several reasons the stronger is told and spreads on. */
const strength: readonly LeftOutReason[] = ['evidence_not_chosen', 'rests_on_superseded', 'rests_on_private'];

/** Marks what was made of what is marked, over any number of steps. */
function spread(memories: readonly JudgedMemory[], reasons: Map<string, LeftOutReason>): void {
  const made = new Map<string, Array<{ memory: JudgedMemory; asEvidence: boolean }>>();
  const note = (from: string, memory: JudgedMemory, asEvidence: boolean) => {
    const known = made.get(from);
    if (known) known.push({ memory, asEvidence });
    else made.set(from, [{ memory, asEvidence }]);
  };
  const here = new Set(memories.map(({ id }) => id));
  const open: string[] = [];
  for (const memory of memories) {
    for (const id of memory.evidence) note(id, memory, true);
    for (const id of memory.replaced) note(id, memory, false);
    if (memory.inheritedFrom !== undefined) note(memory.inheritedFrom, memory, false);
    if (reasons.has(memory.id)) open.push(memory.id);
  }
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const follows = spreads[reasons.get(id)!];
    for (const { memory, asEvidence } of made.get(id) ?? []) {
      // That something gave way, or was not asked for, says nothing against what took its place or was handed on.
      if (!asEvidence && follows !== 'rests_on_private') continue;
      const known = reasons.get(memory.id);
      if (known !== undefined && !weaker(known, follows)) continue;
      if (!here.has(memory.id)) continue;
      reasons.set(memory.id, follows);
      open.push(memory.id);
    }
  }
}

/** A memory that is only superseded, or only not asked for, becomes private where what it was made of is. */
function weaker(known: LeftOutReason, follows: LeftOutReason): boolean {
  const rank = (reason: LeftOutReason) => strength.indexOf(spreads[reason]);
  return rank(known) < rank(follows);
}

/** Words that say nothing of anybody by themselves: `ok`, `yes`. */
export const sayingNothing = /^\p{L}{0,3}$/u;

/**
 * @param sources private by themselves: nobody may quote them
 * @param all also what was made of them, whose other words are everybody's: only the whole of it must not come again
 */
function privateWords(
  sources: readonly JudgedMemory[],
  all: readonly JudgedMemory[],
): { isWhole: (text: string) => boolean; isIn: (text: string) => boolean } {
  const saying = ({ text }: JudgedMemory) => !sayingNothing.test(normalisedText(text));
  const whole = new Set(all.filter(saying).map(({ text }) => normalisedText(text)));
  return {
    isWhole: (text) => whole.has(normalisedText(text)),
    isIn: anyQuoteFinder(sources.filter(saying).map(({ text }) => text)),
  };
}

/** Its words were chosen by the agent, which has read everything: what came in as it is can repeat only itself. */
function isMade({ kind, quotes, inheritedFrom }: JudgedMemory): boolean {
  return kind !== 'observation' || quotes || inheritedFrom !== undefined;
}

function isAskedFor(memory: JudgedMemory, choice: LoopChoice): boolean {
  const { memories = true, kinds, since, leastImportance = 1 } = choice;
  if (!memories) return false;
  if (kinds !== undefined && !(kinds as readonly MemoryKind[]).includes(memory.kind)) return false;
  if (since !== undefined && Date.parse(memory.occurredAt) < Date.parse(since)) return false;
  return memory.importance >= leastImportance;
}
