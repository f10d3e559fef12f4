import type { WorkState } from './states.ts';

/** Work for services of the owner's that are not ours. Pure: stores/work.ts keeps it, docs/work.md says how a service takes it. */

/** How a service takes work. work: it claims over HTTP. native: its own Temporal worker polls the queue. */
export const workJoins = ['work', 'native'] as const;
export type WorkJoin = (typeof workJoins)[number];

/** Bytes of an input or a result, as JSON: documents go by id or URL. */
export const mostWorkBytes = 64 * 1024;
/** Of one service at once: what it cannot keep up with is not to fill Temporal and Postgres. */
export const mostOpenWorks = 10_000;
/** Characters of what a claimer says of its failure. */
export const mostWorkReason = 1_000;

export const workLimits = {
  /** 1 first, 5 last, as Temporal has it. */
  priority: { least: 1, most: 5, default: 3 },
  attempts: { least: 1, most: 100, default: 5 },
  leaseSeconds: { least: 5, most: 3_600, default: 60 },
  /** Seconds from now; workflows are kept by Temporal for 30 days. */
  deadlineSeconds: { most: 30 * 86_400, default: 7 * 86_400 },
  waitSeconds: { most: 30, default: 20 },
} as const;

/** Seconds that work waits after an attempt that failed; one whose lease ran out is offered again at once. */
export function workRetrySeconds(attempt: number): number {
  return Math.min(2 ** (attempt - 1), 600);
}

/** Seconds between two attempts at most; where a claimer died, nobody waits for longer. */
export const workOfferSeconds = 1;

export function jsonBytes(value: unknown): number {
  return new TextEncoder().encode(JSON.stringify(value)).length;
}

/** What the activity `doWork` of a native worker is given, as JSON. */
export interface NativeWork {
  workId: string;
  service: string;
  input: unknown;
  /** Seconds within which it heartbeats. */
  leaseSeconds: number;
}

/** What the workflow goes by. */
export interface BegunWork {
  state: WorkState;
  joins: WorkJoin;
  queue: string;
  priority: number;
  attempts: number;
  leaseSeconds: number;
  /** Until its deadline. */
  remainingSeconds: number;
  /** For a native worker; documents travel to nobody else by Temporal. */
  native: NativeWork | undefined;
}
