import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { giveBlessing } from './blessings.ts';
import type { DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { type GuildActor, lockSpeaker, nameOf } from './guild-rows.ts';

export interface GivenBlessing {
  dropId: string;
  agentId: string;
  /** False where the giver had given it today. */
  isNew: boolean;
}

/**
 * Thanks whoever spoke a drop that is out. To others than its owner one of which nothing is published is not there.
 * @throws NOT_FOUND · CONFLICT for a drop of one's own, of one's own lineage, or that speaks for no agent · AGENT_RETIRED · AGENT_DORMANT
 */
export async function blessDrop(
  tx: DatabaseTransaction,
  { dropId, giver }: { dropId: string; giver: GuildActor },
): Promise<GivenBlessing> {
  await lockSpeaker(tx, giver);
  const { rows } = await sql<{ ownerId: string; agentId: string | null; isOut: boolean }>`
    select d.owner_id, d.agent_id, exists (select from deliveries v where v.drop_id = d.id and v.state = 'published'
      and not v.rehearsal) as is_out from drops d where d.id = ${dropId}`.execute(tx);
  const drop = rows[0];
  if (!drop || (!drop.isOut && drop.ownerId !== giver.ownerId)) throw new DomainError('NOT_FOUND', `no drop ${dropId}`);
  if (drop.ownerId === giver.ownerId) throw new DomainError('CONFLICT', `${dropId} is your own`);
  if (drop.agentId === null) throw new DomainError('CONFLICT', `${dropId} speaks for no agent who could be thanked`);
  const { agentId, ownerId } = drop;
  const by = giver.agentId === null ? { userId: giver.ownerId } : { agentId: giver.agentId };
  const isNew = await giveBlessing(tx, { dropId, agentId, giver: by });
  if (isNew)
    await appendEvents(tx, [{ ownerId, type: 'drop.blessed', subject: dropId, data: { agentId, by: nameOf(giver) } }]);
  return { dropId, agentId, isNew };
}
