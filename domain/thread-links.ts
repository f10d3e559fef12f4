import { type Opposition, oppositionOf } from './contradictions.ts';
import type { MemoryWords, SentenceWords } from './memory-words.ts';
import type { ThreadKind } from './states.ts';

/** A memory as the rules of threads compare it. */
export interface WeavableMemory {
  id: string;
  agentId: string;
  /** When it happened, in milliseconds. */
  atMs: number;
  /** Of its text: a copy of another's memory is no second witness. */
  contentHash: string;
  words: MemoryWords;
}

/** How rare words are among the memories of the time. */
export interface Rarity {
  /** ln(1 + memories ÷ memories that hold the term), of a thousand memories at the least. */
  idf(term: string): number;
  /** Whether a run is rare enough to be somebody's words; what many say in the same words is a manner of speaking. */
  isRareRun(run: string): boolean;
  /** Length of the memory's terms as a vector of idf. */
  length(memory: WeavableMemory): number;
}

/** What two memories have in common by their words: the cosine of their vectors decides whether that makes a link. */
export interface LinkCandidate {
  kind: ThreadKind;
  /** The new one. */
  memoryId: string;
  otherId: string;
  /** 0 to 1: likeness of words, or how much of a sentence came back. */
  overlap: number;
  /** How much later the new one happened; under 0: earlier. */
  hours: number;
  opposition?: Opposition;
}

export interface ThreadLink extends LinkCandidate {
  cosine: number;
  /** 0 to 1. */
  score: number;
}

export interface ThreadWindows {
  /** Within this two memories may be of one event. */
  eventMs: number;
  /** Within this words may come back. */
  echoMs: number;
}

/** What two memories of one event have in common at the least: of their words, and of their score. */
const leastOverlap = 0.08;
/** Shared runs of four words that make an echo: nine words in a row, or two pieces of six and seven. */
const leastRuns = 6;
/** How much of a score is cosine. Less than in retrieval: people of one town speak alike of different things. */
const cosineShare = 0.3;
/** A score below this makes no link. Both figures were chosen on the shipped world; `npm run bench -- weave` judges them. */
const leastScore: Readonly<Record<ThreadKind, number>> = { same_event: 0.4, echo: 0.5, contradiction: 0.35 };

/**
 * The links of two memories that their words allow, none of them certain before `linkOf`. Nothing links memories of one
 * agent, nor a copy to what it was copied from.
 */
export function candidatesOf(
  memory: WeavableMemory,
  other: WeavableMemory,
  rarity: Rarity,
  windows: ThreadWindows,
): LinkCandidate[] {
  const apart = Math.abs(memory.atMs - other.atMs);
  if (memory.agentId === other.agentId || apart > Math.max(windows.eventMs, windows.echoMs)) return [];
  if (memory.contentHash === other.contentHash && apart === 0) return [];
  const pair = { memoryId: memory.id, otherId: other.id, hours: (memory.atMs - other.atMs) / 3_600_000 };
  if (apart > windows.eventMs) {
    const echoed = echoedShare(memory.words, other.words, rarity);
    return echoed === 0 ? [] : [{ kind: 'echo', ...pair, overlap: echoed }];
  }
  const overlap = termOverlap(memory, other, rarity);
  if (overlap < leastOverlap || hasMannerInCommon(memory.words, other.words)) return [];
  const opposition = oppositionOf(memory.words, other.words);
  return [
    { kind: 'same_event', ...pair, overlap },
    ...(opposition ? [{ kind: 'contradiction' as const, ...pair, overlap, opposition }] : []),
  ];
}

/**
 * score = 0.3 · cosine + 0.7 · overlap, a convex combination as in domain/retrieval.ts: vectors find what is said in other
 * words, words and names keep apart what is said in one manner of different things.
 * @param cosine of the two memories' vectors, −1 to 1
 */
export function linkOf(candidate: LinkCandidate, cosine: number): ThreadLink | undefined {
  const score = cosineShare * Math.max(0, cosine) + (1 - cosineShare) * candidate.overlap;
  return score < leastScore[candidate.kind] ? undefined : { ...candidate, cosine, score };
}

/** Cosine of the two memories' terms weighed by idf (Salton and Buckley 1988), names of both who remember among them. */
function termOverlap(a: WeavableMemory, b: WeavableMemory, rarity: Rarity): number {
  const [fewer, more] = a.words.terms.size < b.words.terms.size ? [a, b] : [b, a];
  let sum = 0;
  for (const term of fewer.words.terms) if (more.words.terms.has(term)) sum += rarity.idf(term) ** 2;
  const lengths = rarity.length(a) * rarity.length(b);
  return lengths === 0 ? 0 : Math.min(1, sum / lengths);
}

/**
 * How much of the shorter of two sentences stands in the other word for word: containment of runs of words (Broder 1997, On
 * the resemblance and containment of documents), rare runs alone. 0 under `leastRuns`, and for a manner of speaking.
 */
function echoedShare(a: MemoryWords, b: MemoryWords, rarity: Rarity): number {
  let best = 0;
  for (const one of a.sentences) {
    for (const other of b.sentences) {
      if (isManner(one, other)) continue;
      let shared = 0;
      for (const run of one.runs) if (other.runs.has(run) && rarity.isRareRun(run)) shared += 1;
      if (shared >= leastRuns) best = Math.max(best, shared / Math.min(one.runs.size, other.runs.size));
    }
  }
  return best;
}

function hasMannerInCommon(a: MemoryWords, b: MemoryWords): boolean {
  return a.sentences.some((one) => b.sentences.some((other) => isManner(one, other)));
}

/** Sentences that begin alike and name others: `I sang with Una …`, `I sang with Osk …` tell of two evenings. */
function isManner(one: SentenceWords, other: SentenceWords): boolean {
  return one.opening === other.opening && one.names !== other.names;
}
