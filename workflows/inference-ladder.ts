import {
  ActivityFailure,
  ApplicationFailure,
  condition,
  defineSignal,
  isCancellation,
  setCurrentDetails,
  setHandler,
  sleep,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { LadderStep, Rung } from '../domain/ladder.ts';
import { rowsChangedSignal } from '../domain/messages.ts';

export interface LadderWork<Result> {
  /** Where the work begins on its ladder. */
  step: LadderStep;
  /** One attempt on a rung; `attempt` counts from 1. Tries again are ours, not the server's: its retry goes to the tail, behind all new work. */
  call: (rung: Rung, attempt: number) => Promise<Result>;
  /** Nobody took the work in time, or it was parked: where it stands now. */
  climb: () => Promise<LadderStep>;
  /** Milliseconds it may stay parked before it gives up. */
  parkedFor: number;
  /** Milliseconds between two looks of parked work, even if nobody tells it to look. */
  lookEvery: number;
  /** Priority of an attempt whose forerunner was begun and lost. */
  restartPriority: number;
  /** Told once when the work parks, before it waits. */
  onPark?: () => Promise<void>;
}

/** Time limits of one attempt, in milliseconds. */
export interface CallLimits {
  heartbeatTimeout: number;
  callTimeout: number;
  scheduleToStart: number;
}

/** Options of an inference activity on a rung: where it goes, how long it may take, and no retries of the server's own. */
export function onRung(rung: Rung, limits: CallLimits) {
  return {
    taskQueue: rung.queue,
    scheduleToStartTimeout: limits.scheduleToStart,
    startToCloseTimeout: limits.callTimeout,
    heartbeatTimeout: limits.heartbeatTimeout,
    retry: { maximumAttempts: 1 },
    priority: { priorityKey: rung.priority },
    summary: rung.modelId,
  };
}

/** In Temporal’s UI, of the activities that `climb` calls. */
export const climbSummary = 'where the work stands on its ladder of models';
/** So many looks of parked work at most, as its history grows with each. */
const mostParkedLooks = 1_000;
/** Enough to outlast a database or model server that is away for minutes; a prompt that always stalls ends. */
const mostTries = 60;
const rowsChanged = defineSignal(rowsChangedSignal);

/**
 * Climbs the ladder of domain/ladder.ts until a machine has brought a result. A wait that was too long only asks where
 * the work stands; what was begun and lost goes before new work; model errors that a second try cannot mend end it.
 * @returns the result, and the rung that brought it
 */
export async function climbLadder<Result>(work: LadderWork<Result>): Promise<{ rung: Rung; result: Result }> {
  let changed = false;
  setHandler(rowsChanged, () => {
    changed = true;
  });
  let { step } = work;
  let tries = 0;
  let begunBefore = false;
  for (;;) {
    const rung = step.kind === 'work' ? step.rung : await waitParked(step.reason);
    setCurrentDetails(
      [
        `**Waits for, or is with, \`${rung.modelId}\`** on \`${rung.queue}\`, try ${tries + 1}`,
        ...(rung.degraded ? [`Degraded: \`${rung.modelId}\` stands in for a larger model`] : []),
        ...(begunBefore ? ['It was begun before and lost: it goes before new work'] : []),
      ].join('\n\n'),
    );
    try {
      tries += 1;
      const result = await work.call(begunBefore ? { ...rung, priority: work.restartPriority } : rung, tries);
      return { rung, result };
    } catch (err) {
      if (waitedTooLong(err)) {
        step = await work.climb();
        continue;
      }
      if (tries >= mostTries || !mayTryAgain(err)) throw err;
      // A machine that went away has cost its time-out already; what answered with an error is given a moment.
      if (!timedOut(err)) await sleep(Math.min(200 * 2 ** (tries - 1), 2_000), { summary: 'before the next try' });
      begunBefore = true;
      step = { kind: 'work', rung };
    }
  }

  /** Until some machine serves one of the work's models again. */
  async function waitParked(reason: string): Promise<Rung> {
    await work.onPark?.();
    const since = Date.now();
    const { parkedFor, lookEvery } = work;
    for (;;) {
      setCurrentDetails(
        `**Parked** since ${new Date(since).toISOString()}: ${reason}\n\nLooks again when the plan changes; gives up at ${new Date(since + parkedFor).toISOString()}`,
      );
      if (Date.now() - since >= parkedFor) {
        throw ApplicationFailure.nonRetryable(`parked for too long: ${reason}`, 'PARKED_TOO_LONG');
      }
      changed = false;
      await condition(() => changed, Math.min(Math.max(lookEvery, parkedFor / mostParkedLooks), parkedFor), {
        summary: 'parked: until a machine serves it, or the next look',
      });
      const again = await work.climb();
      if (again.kind === 'work') return again.rung;
    }
  }
}

/** What ended the work, as its row says it. */
export function reasonOf(err: unknown): string {
  if (isCancellation(err)) return 'canceled by hand';
  if (err instanceof ActivityFailure && err.cause) return err.cause.message;
  return err instanceof Error ? err.message : String(err);
}

/** By the type of the time-out: its retry state differs between server versions. */
export function waitedTooLong(err: unknown): boolean {
  return (
    err instanceof ActivityFailure &&
    err.cause instanceof TimeoutFailure &&
    err.cause.timeoutType === 'SCHEDULE_TO_START'
  );
}

export function timedOut(err: unknown): boolean {
  return err instanceof ActivityFailure && err.cause instanceof TimeoutFailure;
}

export function mayTryAgain(err: unknown): boolean {
  if (isCancellation(err) || !(err instanceof ActivityFailure)) return false;
  const { cause } = err;
  if (cause instanceof ApplicationFailure) return cause.type === 'FENCED' || !cause.nonRetryable;
  return cause instanceof TimeoutFailure;
}
