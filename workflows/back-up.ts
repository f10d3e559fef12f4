import { proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { BackupActivities, MadeBackup } from '../activities/backups.ts';
import { backupIdOf } from '../domain/backups.ts';
import { backupQueue } from '../domain/task-queues.ts';
import { nobodyTook } from './nobody-took.ts';

export type BackUpInput = Record<string, never>;
export interface BackUpResult {
  /** Null: no worker is beside the data, so it is others' to back up. */
  made: MadeBackup | null;
}

const { makeBackup } = proxyActivities<BackupActivities>({
  taskQueue: backupQueue,
  scheduleToStartTimeout: '10 minutes',
  startToCloseTimeout: '12 hours',
  heartbeatTimeout: '1 minute',
  // A disk may be given room, and a backup by hand ends; what fails for so long is told by health.
  retry: { initialInterval: '1 minute', maximumInterval: '15 minutes', maximumAttempts: 8 },
});

/** Backs the fleet up, reads the backup back, copies it where a second copy is asked for, and lets old ones go. */
export async function backUp(_input: BackUpInput): Promise<BackUpResult> {
  const id = backupIdOf(workflowInfo().startTime.toISOString());
  try {
    const made = await makeBackup({ id });
    setCurrentDetails(`${made.id}: ${made.bytes} bytes, ${made.rows} rows`);
    return { made };
  } catch (err) {
    if (!nobodyTook(err)) throw err;
    setCurrentDetails('No worker is beside the data: it is backed up by its owner’s own tools, or not at all.');
    return { made: null };
  }
}
