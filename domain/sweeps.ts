/** One queue as a refill sees it. */
export interface QueueLoad {
  queue: string;
  /** Slots of living machines that poll it. */
  slots: number;
  /** Children already started and neither ended nor parked, over all sweeps. */
  open: number;
}

/**
 * How many more children each queue takes. Measured: a window of about 1.15 × the slots; less starves a machine
 * (1.19 × the bound), more makes recovery wait behind a backlog. A queue that nobody polls gets a small window of
 * its own, because climbing the ladder is how its agents find another model or park with a reason.
 */
export function roomByQueue(loads: readonly QueueLoad[], windowOverSlots: number): Map<string, number> {
  return new Map(loads.map(({ queue, slots, open }) => [queue, Math.max(0, windowOf(slots, windowOverSlots) - open)]));
}

/** Children a queue nobody polls may have: each only asks where its machine is and moves on. */
export const unservedWindow = 16;

export function windowOf(slots: number, windowOverSlots: number): number {
  return slots === 0 ? unservedWindow : Math.ceil(slots * windowOverSlots);
}

/** Pending children of one workflow; Temporal fails a run at 2,000, the design stays at 500. */
export const childLimit = 500;

/** A sweep that goes on for so long is asked for anew: one that runs does not notice, one that was lost goes on from its rows. */
export const sweepOverdueSeconds = 900;

/** Median of what the last runs took, else what the archetype expects. */
export function expectedTokens(lastTokens: readonly number[], archetypeExpects: number): number {
  if (lastTokens.length === 0) return archetypeExpects;
  const sorted = lastTokens.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : Math.round((sorted[middle - 1]! + sorted[middle]!) / 2);
}
/** How many ended runs the median looks at. */
export const expectationRuns = 5;

/** Why a sweep leaves an agent out whose earlier run is still open. */
export function skipReason(runId: string, state: string, reason: string): string {
  return `skipped: ${runId} is still ${state}${reason === '' ? '' : ` (${reason})`}`;
}
