import { proxyActivities, proxyLocalActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { MirrorActivities, MirrorPlanActivities } from '../activities/mirror.ts';
import { backupIdOf } from '../domain/backups.ts';
import { machineQueue } from '../domain/task-queues.ts';

export type MirrorPublicInput = Record<string, never>;
export interface MirrorPublicResult {
  /** What is there now, by target. */
  entries: Record<string, number>;
}

const { planMirror } = proxyLocalActivities<MirrorPlanActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '30 seconds' },
});

/** Copies what is public to each place that the fleet names; one that fails holds up no other, and is tried again at the next time. */
export async function mirrorPublic(_input: MirrorPublicInput): Promise<MirrorPublicResult> {
  const period = backupIdOf(workflowInfo().startTime.toISOString());
  const plan = await planMirror();
  const entries: MirrorPublicResult['entries'] = {};
  if (plan === null) return { entries };
  const { mirrorTo } = proxyActivities<MirrorActivities>({
    taskQueue: machineQueue(plan.machine),
    scheduleToStartTimeout: '15 minutes',
    startToCloseTimeout: '2 hours',
    heartbeatTimeout: '1 minute',
    retry: { initialInterval: '10 seconds', maximumInterval: '5 minutes', maximumAttempts: 6 },
  });
  let failure: unknown;
  for (const target of plan.targets) {
    try {
      const done = await mirrorTo({ period, target });
      entries[target] = done.entries;
      setCurrentDetails(`${target}: ${done.entries} entries, ${done.written} written, ${done.removed} removed`);
    } catch (err) {
      failure ??= err;
    }
  }
  if (failure !== undefined) throw failure;
  return { entries };
}
