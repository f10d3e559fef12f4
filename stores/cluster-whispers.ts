import { seedOf } from '../domain/random.ts';
import type { Spawning } from '../domain/spawn-policy.ts';
import { clusterWhisper } from '../domain/whispers.ts';
import { receiveWhisper } from './admission.ts';
import type { Executor } from './database.ts';

export interface BornCluster {
  id: string;
  members: readonly string[];
  terms: ReadonlyArray<{ term: string }>;
}

/**
 * A cluster that is born whispers to one of its members, in the transaction of its birth: for somebody who belongs to it.
 * Admission decides as of any whisper; the same birth asks once.
 */
export async function whisperOfBirths(
  tx: Executor,
  ownerId: string,
  born: readonly BornCluster[],
  policy: Spawning,
): Promise<void> {
  for (const { id, members, terms } of born) {
    const said = clusterWhisper(
      members.length,
      terms.map(({ term }) => term),
    );
    const parentId = members[seedOf(id) % members.length];
    if (said === undefined || parentId === undefined) continue;
    const asking = {
      ownerId,
      source: 'cluster' as const,
      parentId,
      text: said,
      requestedBy: id,
      requestId: `cluster:${id}`,
    };
    await receiveWhisper(tx, asking, policy);
  }
}
