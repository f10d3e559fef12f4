/**
 * The ladder a run climbs when nobody takes its work within schedule-to-start: its own model's queue, as long as a
 * living machine serves it or the plan gives it to one that is not judged lost → the agent's smaller model, marked degraded → parked.
 * Load is never taken for death, and model errors never climb.
 */
export interface Rung {
  modelId: string;
  queue: string;
  degraded: boolean;
  /** Temporal's priority key: 1 first, 5 last. */
  priority: number;
}

export type LadderStep = { kind: 'work'; rung: Rung } | { kind: 'park'; reason: string };

export interface LadderFacts {
  own: { modelId: string; queue: string };
  /** The agent's smaller model, only where it may degrade. */
  smaller: { modelId: string; queue: string } | undefined;
  /** Queues polled under an unexpired lease. */
  served: ReadonlySet<string>;
  /** Queues that the plan gives to a machine which is not judged lost, or that a plan being made may give to one. */
  coming: ReadonlySet<string>;
}

/** A person waits. */
export const talkPriority = 1;
export const backgroundPriority = 4;
/** Work that has waited for a machine already goes before new work. */
export const waitedPriority = 3;
/** Work that was in hand when its machine or server went away goes before all that has only waited. */
export const restartPriority = 2;

export function nextStep({ own, smaller, served, coming }: LadderFacts): LadderStep {
  if (served.has(own.queue) || coming.has(own.queue)) {
    return { kind: 'work', rung: { ...own, degraded: false, priority: waitedPriority } };
  }
  if (smaller && (served.has(smaller.queue) || coming.has(smaller.queue))) {
    return { kind: 'work', rung: { ...smaller, degraded: true, priority: waitedPriority } };
  }
  const none = `no living machine serves ${own.modelId}`;
  return { kind: 'park', reason: smaller ? `${none} or ${smaller.modelId}` : `${none}, and the agent may not degrade` };
}
