import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { testFleet } from '../support/fleets.ts';
import type { Lab } from '../support/lab.ts';

/** What is written here; asked for alone, nothing else is run. */
export const mirrorHistories = ['mirror-public-done', 'mirror-public-nothing'] as const;

/** @param folder of the worker's host */
export async function recordMirror(
  { client, apply }: Pick<Lab, 'client' | 'apply'>,
  folder: string,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  const fleet = testFleet({ heavy: 2, light: 3 });
  const target = join(folder, 'public');
  mkdirSync(target);
  const run = async (name: string) => {
    await client.workflow.execute('mirrorPublic', { workflowId: name, taskQueue: coordinationQueue, args: [{}] });
    await save(name, name);
  };
  await apply({ ...fleet, mirror: { machine: 'pc2', every: '1h', folder: target, postgres: false } });
  await run('mirror-public-done');
  await apply(fleet);
  await run('mirror-public-nothing');
}
