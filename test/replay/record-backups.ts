import { NativeConnection } from '@temporalio/worker';
import { createBackupActivities } from '../../activities/backups.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createBackupWorker } from '../../workers/coordination.ts';
import type { Lab } from '../support/lab.ts';

/** What is written here; asked for alone, nothing else is run. */
export const backupHistories = ['back-up-done', 'drill-restore-done'] as const;

/** The lab has no data folder as `npm start` makes one, so what the program answers is told by this process. */
export async function recordBackups(
  { client, addresses }: Pick<Lab, 'client' | 'addresses'>,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  const connection = await NativeConnection.connect({ address: addresses.temporalAddress });
  const id = '20261122T013000Z';
  const answers: Record<string, object> = {
    create: { record: { archive: { bytes: 4_711_297 }, rows: 40_112 } },
    drill: { id, rpoSeconds: 96, rtoSeconds: 8.1 },
  };
  const worker = await createBackupWorker({
    connection,
    namespace: addresses.namespace,
    identity: 'pc2/backup/1',
    activities: createBackupActivities({ run: async ([act]) => answers[act!] }),
  });
  await worker.runUntil(async () => {
    for (const [type, name] of [
      ['backUp', 'back-up-done'],
      ['drillRestore', 'drill-restore-done'],
    ] as const) {
      await client.workflow.execute(type, { workflowId: name, taskQueue: coordinationQueue, args: [{}] });
      await save(name, name);
    }
  });
  await connection.close();
}
