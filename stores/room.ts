import { type PlacementAgent, placementAgent } from '../domain/placement-input.ts';
import type { GpuClass } from '../domain/task-queues.ts';
import { openWhisperStates } from '../domain/whispers.ts';
import type { Executor } from './database.ts';
import { takeLock } from './locks.ts';
import { placementAgents } from './placement.ts';

/**
 * What the cards are asked for: by the agents that live, and by the whispers under way that were given room. From here to
 * the end of the transaction nobody else looks for room, so two who look at once never both find the last of it.
 */
export async function demandOf(tx: Executor): Promise<PlacementAgent[]> {
  await takeLock(tx, 'room');
  const coming = await tx
    .selectFrom('whispers')
    .innerJoin('agents', 'agents.id', 'whispers.parentId')
    .select(['whispers.id', 'agents.modelId', 'cadence', 'expectedTokens', 'priority', 'mayDegrade', 'leastClass'])
    .where('whispers.state', 'in', openWhisperStates)
    .where('roomAt', 'is not', null)
    .orderBy('whispers.id')
    .execute();
  return [
    ...(await placementAgents(tx)),
    ...coming.map((row) => placementAgent({ ...row, model: row.modelId, leastClass: row.leastClass as GpuClass })),
  ];
}
