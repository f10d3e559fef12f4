import { type PlacementAgent, placementAgent } from '../domain/placement-input.ts';
import type { GpuClass } from '../domain/task-queues.ts';
import { openWhisperStates } from '../domain/whispers.ts';
import type { Executor } from './database.ts';
import { takeLock } from './locks.ts';
import { placementAgents } from './placement.ts';

/** A whisper under way that was given room, and what its child would ask for if it were born of its parent as that is now. */
export interface ComingChild {
  whisperId: string;
  parentId: string;
  modelId: string;
  cadence: string;
  expectedTokens: number;
  priority: number;
  mayDegrade: boolean;
  leastClass: GpuClass;
}

/** From here to the end of the transaction nobody else looks for room, so two who look at once never both find the last of it. */
export async function lockRoom(tx: Executor): Promise<void> {
  await takeLock(tx, 'room');
}

export async function comingChildren(db: Executor): Promise<ComingChild[]> {
  const rows = await db
    .selectFrom('whispers')
    .innerJoin('agents', 'agents.id', 'whispers.parentId')
    .select([
      'whispers.id as whisperId',
      'whispers.parentId',
      'agents.modelId',
      'cadence',
      'expectedTokens',
      'priority',
    ])
    .select(['mayDegrade', 'leastClass'])
    .where('whispers.state', 'in', openWhisperStates)
    .where('roomAt', 'is not', null)
    .orderBy('whispers.id')
    .execute();
  return rows.map((row) => ({ ...row, leastClass: row.leastClass as GpuClass }));
}

export function demandOfChild({ whisperId, modelId, ...child }: ComingChild): PlacementAgent {
  return placementAgent({ ...child, id: whisperId, model: modelId });
}

/** What the cards are asked for: by the agents that live, and by the whispers under way that were given room. Under the lock of room. */
export async function demandOf(tx: Executor): Promise<PlacementAgent[]> {
  await lockRoom(tx);
  // Before the agents: who is born in between counts twice rather than not at all.
  const coming = await comingChildren(tx);
  return [...(await placementAgents(tx)), ...coming.map(demandOfChild)];
}
