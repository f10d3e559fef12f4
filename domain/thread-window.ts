import {
  candidatesOf,
  type LinkCandidate,
  type Rarity,
  type ThreadWindows,
  type WeavableMemory,
} from './thread-links.ts';

/**
 * A run of more memories than this share of all, and than the least, is a manner of speaking. The least counts in a window of
 * days: what a whole town saw and tells on stands there close together and is no less somebody's words for it.
 */
const commonRunShare = 0.003;
const leastCommonRun = 40;
/** Fewer memories than this say little of what is rare: with three of them, a name in all three would be a common word. */
const fewestMemories = 1_000;
/** Candidates that one memory brings: of more, those whose words are the most alike. */
const mostCandidates = 48;

/**
 * The memories of all agents around the time of those being woven, in order of time, with what is rare among them. Sliding:
 * what it holds is bounded by its span, never by how long the fleet has lived.
 */
export class ThreadWindow {
  private readonly windows: ThreadWindows;
  /** By time, then id. */
  private memories: WeavableMemory[] = [];
  private readonly byId = new Map<string, WeavableMemory>();
  private readonly holders = new Map<string, number>();
  private readonly byRun = new Map<string, WeavableMemory[]>();
  private readonly lengths = new Map<WeavableMemory, number>();
  private readonly rarity: Rarity;

  constructor(windows: ThreadWindows) {
    this.windows = windows;
    this.rarity = {
      idf: (term) => this.idf(term),
      isRareRun: (run) => this.isRareRun(run),
      length: (memory) => this.length(memory),
    };
  }

  get size(): number {
    return this.memories.length;
  }

  has(id: string): boolean {
    return this.byId.has(id);
  }

  /** Memories not in it yet, in any order. */
  add(memories: readonly WeavableMemory[]): void {
    for (const memory of memories) {
      if (this.byId.has(memory.id)) continue;
      this.byId.set(memory.id, memory);
      this.memories.push(memory);
      for (const term of memory.words.terms) this.holders.set(term, (this.holders.get(term) ?? 0) + 1);
      for (const run of memory.words.runs) {
        const known = this.byRun.get(run);
        if (known) known.push(memory);
        else this.byRun.set(run, [memory]);
      }
    }
    this.memories.sort(byTime);
    this.lengths.clear();
  }

  /** Drops what happened before or after. */
  keep(fromMs: number, toMs: number): void {
    const gone = this.memories.filter(({ atMs }) => atMs < fromMs || atMs > toMs);
    if (gone.length === 0) return;
    const left = new Set(gone);
    this.memories = this.memories.filter((memory) => !left.has(memory));
    for (const memory of gone) {
      this.byId.delete(memory.id);
      for (const term of memory.words.terms) {
        const holders = this.holders.get(term)! - 1;
        if (holders === 0) this.holders.delete(term);
        else this.holders.set(term, holders);
      }
    }
    const runs = new Set(gone.flatMap((memory) => [...memory.words.runs]));
    for (const run of runs) {
      const kept = this.byRun.get(run)!.filter((memory) => !left.has(memory));
      if (kept.length === 0) this.byRun.delete(run);
      else this.byRun.set(run, kept);
    }
    this.lengths.clear();
  }

  /**
   * What a memory of the window may link to, by kind the most alike first. Exact within the window: whatever happened at the
   * time of the event is compared, and of what is further away all that shares a rare run, without which there is no echo.
   * @param comesLater whether another is still to be woven and will be compared with this one then
   */
  candidates(id: string, comesLater: (otherId: string) => boolean): LinkCandidate[] {
    const memory = this.byId.get(id);
    if (!memory) return [];
    const others = new Set<WeavableMemory>();
    for (let i = this.firstFrom(memory.atMs - this.windows.eventMs); i < this.memories.length; i += 1) {
      const other = this.memories[i]!;
      if (other.atMs > memory.atMs + this.windows.eventMs) break;
      others.add(other);
    }
    for (const run of memory.words.runs)
      if (this.isRareRun(run)) for (const other of this.byRun.get(run)!) others.add(other);
    const found: LinkCandidate[] = [];
    for (const other of others) {
      if (other === memory || comesLater(other.id)) continue;
      found.push(...candidatesOf(memory, other, this.rarity, this.windows));
    }
    const taken = new Map<string, number>();
    return found.sort(mostAlikeFirst).filter(({ kind }) => {
      const before = taken.get(kind) ?? 0;
      taken.set(kind, before + 1);
      return before < mostCandidates;
    });
  }

  private idf(term: string): number {
    return Math.log(1 + Math.max(fewestMemories, this.memories.length) / (this.holders.get(term) ?? 1));
  }

  private isRareRun(run: string): boolean {
    const most = Math.max(leastCommonRun, commonRunShare * this.memories.length);
    return (this.byRun.get(run)?.length ?? 0) <= most;
  }

  private length(memory: WeavableMemory): number {
    let length = this.lengths.get(memory);
    if (length === undefined) {
      let squares = 0;
      for (const term of memory.words.terms) squares += this.idf(term) ** 2;
      length = Math.sqrt(squares);
      this.lengths.set(memory, length);
    }
    return length;
  }

  /** Place of the first memory at or after a time. */
  private firstFrom(atMs: number): number {
    let from = 0;
    let to = this.memories.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.memories[middle]!.atMs < atMs) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

export function byTime(a: { atMs: number; id: string }, b: { atMs: number; id: string }): number {
  return a.atMs - b.atMs || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

function mostAlikeFirst(a: LinkCandidate, b: LinkCandidate): number {
  return b.overlap - a.overlap || (a.otherId < b.otherId ? -1 : a.otherId > b.otherId ? 1 : 0);
}
