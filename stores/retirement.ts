import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { type PlacementAgent, placementAgent } from '../domain/placement-input.ts';
import type { MeasuredRate } from '../domain/rates.ts';
import type { GpuClass } from '../domain/task-queues.ts';
import type { PlaceableService } from '../domain/service-placement.ts';
import { placeableServices } from './services.ts';
import type { Database, Executor } from './database.ts';
import { egoOf, transferEgo } from './ego.ts';
import { appendEvents } from './events.ts';
import { heirOf } from './lineages.ts';
import { measuredRates } from './placement.ts';
import { demandOf } from './room.ts';
import { requestReplan } from './plans.ts';
import { takeLock } from './locks.ts';

export interface Retired {
  /** Who holds its ego now; null where there was none to give, or it is a first agent, whose account is its lineage's. */
  egoTo: string | null;
  ego: number;
  /** Workflow of a run that is still open, to be canceled. */
  openRun: string | null;
}

export function createRetirementStore(db: Database) {
  return {
    /**
     * Takes an agent out of the fleet until it is revived, also against fleet.yaml: its memories stay, its ego goes to the
     * nearest living ancestor. Asked twice it is retired once.
     * @throws NOT_FOUND
     */
    async retire(agentId: string, ownerId: string): Promise<Retired> {
      return db.transaction().execute(async (tx) => {
        const { agent, holderId } = await lockWith(tx, agentId, ownerId, () => heirOf(tx, agentId));
        const openRun = await openRunOf(tx, agentId);
        if (agent.state === 'retired') {
          // What the file has retired it would revive; a person's word holds.
          await tx.updateTable('agents').set({ retiredBy: 'operator' }).where('id', '=', agentId).execute();
          return { egoTo: null, ego: 0, openRun };
        }
        const ego = holderId === undefined ? 0 : await egoOf(tx, agentId);
        if (holderId !== undefined) {
          const transferId = `retire:${agentId}:${(await timesRetired(tx, agentId)) + 1}`;
          await transferEgo(tx, { ownerId, kind: 'retire', transferId, fromId: agentId, toId: holderId, amount: ego });
        }
        await tx
          .updateTable('agents')
          .set({
            state: 'retired',
            retiredBy: 'operator',
            homeMachineId: null,
            homeReason: 'retired by its operator',
            changedAt: sql<Date>`now()`,
          })
          .where('id', '=', agentId)
          .execute();
        const egoTo = ego > 0 ? (holderId ?? null) : null;
        await appendEvents(tx, [{ ownerId, type: 'agent.retired', subject: agentId, data: { ego, egoTo } }]);
        return { egoTo, ego, openRun };
      });
    },

    /**
     * Brings a retired agent back where the cards have room, with the ego it gave as far as its holder still has it.
     * Asked twice it is revived once.
     * @param refusalOf says why there is no room
     * @throws NOT_FOUND, CADENCE_TOO_FAST, CONFLICT for one that the file retired
     */
    async revive(
      agentId: string,
      ownerId: string,
      refusalOf: (agents: PlacementAgent[], rates: MeasuredRate[], services: PlaceableService[]) => string | undefined,
    ): Promise<{ ego: number; egoFrom: string | null }> {
      return db.transaction().execute(async (tx) => {
        const living = await demandOf(tx);
        const { agent, holderId } = await lockWith(tx, agentId, ownerId, () => holderOf(tx, agentId));
        if (agent.state !== 'retired') return { ego: 0, egoFrom: null };
        if (agent.retiredBy === 'file') {
          throw new DomainError('CONFLICT', `fleet.yaml no longer names ${agentId}; name it again and apply`);
        }
        const demand = placementAgent({ ...agent, model: agent.modelId, leastClass: agent.leastClass as GpuClass });
        const refusal = refusalOf([...living, demand], await measuredRates(tx), await placeableServices(tx));
        if (refusal !== undefined) throw new DomainError('CADENCE_TOO_FAST', refusal);
        const given = holderId === undefined ? undefined : await lastRetirement(tx, agentId);
        const ego = given === undefined ? 0 : Math.min(given.amount, await egoOf(tx, holderId!));
        if (given !== undefined && holderId !== undefined) {
          const transferId = given.transferId.replace(/^retire:/, 'revive:');
          await transferEgo(tx, { ownerId, kind: 'revive', transferId, fromId: holderId, toId: agentId, amount: ego });
        }
        await tx
          .updateTable('agents')
          .set({ state: 'active', retiredBy: null, homeReason: 'not planned yet', changedAt: sql<Date>`now()` })
          .where('id', '=', agentId)
          .execute();
        const egoFrom = ego > 0 ? (holderId ?? null) : null;
        await appendEvents(tx, [{ ownerId, type: 'agent.revived', subject: agentId, data: { ego, egoFrom } }]);
        return { ego, egoFrom };
      });
    },
  };
}

/** The agent and who holds or will hold its ego, both rows locked in the order of their ids, the plan's row before them. */
async function lockWith(tx: Executor, agentId: string, ownerId: string, holder: () => Promise<string | undefined>) {
  const known = await tx
    .selectFrom('agents')
    .select('id')
    .where('id', '=', agentId)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (!known) throw new DomainError('NOT_FOUND', `no agent ${agentId}`);
  await requestReplan(tx, { ownerId, reason: 'an agent was retired or revived' });
  // One change of a lineage at a time: between the look for the holder and its lock none retires.
  await takeLock(tx, 'lineage');
  const holderId = await holder();
  const rows = await tx
    .selectFrom('agents')
    .selectAll()
    .where('id', 'in', holderId === undefined ? [agentId] : [agentId, holderId])
    .orderBy('id')
    .forUpdate()
    .execute();
  return { agent: rows.find(({ id }) => id === agentId)!, holderId };
}

/** Who holds what the agent gave when it was retired: who was given it, or the heir of that one. */
async function holderOf(tx: Executor, agentId: string): Promise<string | undefined> {
  const given = await lastRetirement(tx, agentId);
  if (given === undefined) return undefined;
  const { state, parentId } = await tx
    .selectFrom('agents')
    .select(['state', 'parentId'])
    .where('id', '=', given.counterAgentId)
    .executeTakeFirstOrThrow();
  return state === 'retired' && parentId !== null ? heirOf(tx, given.counterAgentId) : given.counterAgentId;
}

/** What the agent gave when it was retired last, unless it has been given back since. */
async function lastRetirement(tx: Executor, agentId: string) {
  const last = await tx
    .selectFrom('egoEntries')
    .select(['kind', 'transferId', 'amount', 'counterAgentId'])
    .where('agentId', '=', agentId)
    .where((eb) => eb.or([eb('kind', '=', 'revive'), eb.and([eb('kind', '=', 'retire'), eb('side', '=', 'debit')])]))
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (last?.kind !== 'retire') return undefined;
  return { transferId: last.transferId, amount: -last.amount, counterAgentId: last.counterAgentId! };
}

async function timesRetired(tx: Executor, agentId: string): Promise<number> {
  const { times } = await tx
    .selectFrom('egoEntries')
    .select(sql<number>`count(*)`.as('times'))
    .where('agentId', '=', agentId)
    .where('kind', '=', 'retire')
    .where('side', '=', 'debit')
    .executeTakeFirstOrThrow();
  return times;
}

async function openRunOf(tx: Executor, agentId: string): Promise<string | null> {
  const run = await tx
    .selectFrom('runs')
    .select('workflowId')
    .where('agentId', '=', agentId)
    .where('state', 'in', ['queued', 'running', 'parked'])
    .executeTakeFirst();
  return run?.workflowId ?? null;
}
