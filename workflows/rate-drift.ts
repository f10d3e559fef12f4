import { continueAsNew, proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { DriftActivities, DriftBasis } from '../activities/drift.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface RateDriftInput {
  /** `call-<requestId>`; a scheduled run takes the scheduled time instead. */
  period?: string;
  /** What an earlier execution of this run had done. */
  resume?: { period: string; basis: DriftBasis; after: string; done: RateDriftResult };
}
export interface RateDriftResult {
  rated: number;
  changed: number;
  /** Agents that have said too little, or nothing new. */
  left: number;
}

function rating(summary: string) {
  return proxyActivities<DriftActivities>({
    startToCloseTimeout: '30 minutes',
    heartbeatTimeout: '2 minutes',
    // Then the run fails, and the next period begins anew: a Schedule starts none while one is open.
    retry: { maximumInterval: '1 minute', maximumAttempts: 12 },
    summary,
  });
}
const { prepareDrift } = rating('what the agents of the period are compared by');
const { ratePage } = rating('the next agents that have said something new');
const { askJudgements } = rating('has those that drift furthest judged by a model');

/** Rates every agent that has said something new, page by page, against one basis for all of them; then has the furthest judged. */
export async function rateDrift(input: RateDriftInput): Promise<RateDriftResult> {
  const { resume } = input;
  const period = resume?.period ?? input.period ?? scheduledPeriod();
  const basis = resume?.basis ?? (await prepareDrift());
  let after = resume?.after ?? '';
  let done: RateDriftResult = resume?.done ?? { rated: 0, changed: 0, left: 0 };
  for (;;) {
    const { next, rated, changed, left } = await ratePage({ ...basis, period, after });
    done = { rated: done.rated + rated, changed: done.changed + changed, left: done.left + left };
    setCurrentDetails(
      `${done.rated} agents rated, ${done.changed} changed their state, ${done.left} left as they were`,
    );
    if (next === null) break;
    after = next;
    if (workflowInfo().continueAsNewSuggested) {
      await continueAsNew<typeof rateDrift>({ resume: { period, basis, after, done } });
    }
  }
  await askJudgements({ period });
  return done;
}
