import { modelSyncWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { testFleet } from '../support/fleets.ts';
import type { Lab } from '../support/lab.ts';
import { firstDigest, startModelServer } from '../support/model-server.ts';

/** What is written here; asked for alone, nothing else is run. */
export const modelHistories = ['sync-models-brought', 'sync-models-returned', 'sync-models-nothing'] as const;

export async function recordModels(
  { client, apply, settled }: Pick<Lab, 'client' | 'apply' | 'settled'>,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  const model = 'light_q4';
  const [second, mute] = ['2', '3'].map((sign) => sign.repeat(64)) as [string, string];
  const registry: Record<string, string> = {};
  const server = await startModelServer({ slots: 4, tokensPerSecond: 400, models: [model], registry, mute: [mute] });
  const accept = async (digests: string[]) => {
    const fleet = testFleet({ heavy: 0, light: 3, urls: { pc2: server.url } });
    Object.assign(fleet.machines.find(({ id }) => id === 'pc2')!.modelServer!, { kind: 'ollama', sequences: 4 });
    const light = fleet.models.find(({ id }) => id === 'light')!.quantisations['q4']!;
    if (digests.length > 0) light.digests = { ollama: digests };
    await apply(fleet);
    await settled(['pc2']);
  };
  const run = async (name: string) => {
    const workflowId = modelSyncWorkflowId;
    await client.workflow.execute('syncModels', { workflowId, taskQueue: coordinationQueue, args: [{}] });
    await save(name, workflowId);
  };
  try {
    await accept([firstDigest(model)]);
    registry[model] = second;
    await accept([second, firstDigest(model)]);
    await run('sync-models-brought');
    registry[model] = mute;
    await accept([mute, second]);
    await run('sync-models-returned');
    await accept([]);
    await run('sync-models-nothing');
  } finally {
    await server.close();
  }
}
