import type { Source } from '../domain/sources.ts';
import type { Executor } from './database.ts';
import { contentHash } from './embeddings.ts';

/** Living agents that an item with this text is for. Nobody is given drops of its own, or its own words back. */
export function boundAgents(db: Executor, ownerId: string, source: Source, text: string) {
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
  if (agents === 'all') return query;
  return query.where((eb) => eb.or([eb('id', 'in', agents), eb('archetype', 'in', agents)]));
}
