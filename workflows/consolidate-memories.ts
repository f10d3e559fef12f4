import { continueAsNew, proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { ConsolidationActivities } from '../activities/consolidation.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface ConsolidateMemoriesInput {
  /** What an earlier execution of this run had done, and where to go on. */
  resume?: ConsolidateMemoriesResult & { after: string };
}
export interface ConsolidateMemoriesResult {
  /** ISO time by which usefulness was judged. */
  now: string;
  agents: number;
  freed: number;
  over: number;
  busy: number;
}

const { consolidateAgents } = proxyActivities<ConsolidationActivities>({
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '30 seconds',
  // Then the run fails, and the next period begins anew: a Schedule starts none while one is open.
  retry: { maximumInterval: '1 minute', maximumAttempts: 12 },
  summary: 'agents that remember more than their limit',
});

/** Brings every agent that remembers more than its limit back under it, the least useful memories first. */
export async function consolidateMemories(input: ConsolidateMemoriesInput): Promise<ConsolidateMemoriesResult> {
  const { after: from, ...done } = input.resume ?? {
    now: scheduledPeriod(),
    agents: 0,
    freed: 0,
    over: 0,
    busy: 0,
    after: '',
  };
  let after = from;
  for (;;) {
    const { after: next, ...step } = await consolidateAgents({ now: done.now, after });
    for (const [key, count] of Object.entries(step)) done[key as keyof typeof step] += count;
    setCurrentDetails(`${done.freed} memories fewer, of ${done.agents} agents`);
    if (next === null) return done;
    after = next;
    if (workflowInfo().continueAsNewSuggested) {
      await continueAsNew<typeof consolidateMemories>({ resume: { ...done, after } });
    }
  }
}
