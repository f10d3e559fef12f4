import { proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { BackupActivities, DrilledRestore } from '../activities/backups.ts';
import { backupIdOf } from '../domain/backups.ts';
import { backupQueue } from '../domain/task-queues.ts';
import { nobodyTook } from './nobody-took.ts';

export type DrillRestoreInput = Record<string, never>;
export interface DrillRestoreResult {
  /** Null: no worker is beside the data. */
  drilled: DrilledRestore | null;
}

const { drillBackup } = proxyActivities<BackupActivities>({
  taskQueue: backupQueue,
  scheduleToStartTimeout: '10 minutes',
  startToCloseTimeout: '12 hours',
  heartbeatTimeout: '1 minute',
  retry: { initialInterval: '5 minutes', maximumInterval: '30 minutes', maximumAttempts: 4 },
});

/** Restores the newest backup beside the fleet, compares every row and the ledger, and throws it away. */
export async function drillRestore(_input: DrillRestoreInput): Promise<DrillRestoreResult> {
  const id = backupIdOf(workflowInfo().startTime.toISOString());
  try {
    const drilled = await drillBackup({ id });
    setCurrentDetails(`${drilled.id}: RPO ${drilled.rpoSeconds} s, RTO ${drilled.rtoSeconds} s`);
    return { drilled };
  } catch (err) {
    if (!nobodyTook(err)) throw err;
    setCurrentDetails('No worker is beside the data.');
    return { drilled: null };
  }
}
