import { sql } from 'kysely';
import type { Source } from '../domain/sources.ts';
import type { Executor } from './database.ts';
import { contentHash } from './embeddings.ts';

/** What decides who is given an item. */
export interface GivenItem {
  text: string;
  /** ISO. */
  occurredAt: string;
}

/**
 * Living agents that an item is for. Nobody is given drops of its own, or its own words back; of a guild they are told what
 * happened while they were in it, and not that they came.
 */
export function boundAgents(db: Executor, ownerId: string, source: Source, { text, occurredAt }: GivenItem) {
  const { agents } = source;
  let query = db.selectFrom('agents').where('ownerId', '=', ownerId).where('state', '<>', 'retired');
  if (source.kind === 'drops') {
    query = query
      .where('id', '<>', source.agent)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('memories')
              .select('memories.id')
              .whereRef('memories.agentId', '=', 'agents.id')
              .where('memories.kind', '=', 'drop')
              .where('memories.contentHash', '=', contentHash(text)),
          ),
        ),
      );
  }
  if (source.kind === 'guild') {
    query = query.where(
      sql<boolean>`exists (select from guild_members m where m.guild_id = ${source.guild} and m.agent_id = agents.id
        and m.joined_at < ${occurredAt}::timestamptz and (m.ended_at is null or m.ended_at >= ${occurredAt}::timestamptz))`,
    );
  }
  if (agents === 'all') return query;
  return query.where((eb) => eb.or([eb('id', 'in', agents), eb('archetype', 'in', agents)]));
}
