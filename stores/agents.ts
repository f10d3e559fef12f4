import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { Database } from './database.ts';
import { appendEvents } from './events.ts';

export function createAgentStore(db: Database) {
  return {
    /** A paused agent is left out by sweeps until it is resumed; asking twice changes nothing more. */
    async setPaused(agentId: string, ownerId: string, paused: boolean): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const agent = await tx
          .selectFrom('agents')
          .select(['state', 'paused'])
          .where('id', '=', agentId)
          .where('ownerId', '=', ownerId)
          .forUpdate()
          .executeTakeFirst();
        if (!agent) throw new DomainError('NOT_FOUND', `no agent ${agentId}`);
        if (agent.state === 'retired') throw new DomainError('AGENT_RETIRED', `${agentId} is retired`);
        if (agent.paused === paused) return;
        await tx.updateTable('agents').set({ paused, changedAt: sql<Date>`now()` }).where('id', '=', agentId).execute();
        await appendEvents(tx, [{ ownerId, type: paused ? 'agent.paused' : 'agent.resumed', subject: agentId }]);
      });
    },
  };
}
