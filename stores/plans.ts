import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { replanWorkflowId } from '../domain/ids.ts';
import { type Plan, type PlannedMachine, type RankedModel, rankedModels } from '../domain/plan.ts';
import type { PlanState } from '../domain/states.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { insertIntent } from './intents.ts';
import { moveServices } from './services.ts';
import { takeLock } from './locks.ts';
import { requestMovedServices } from './service-runs.ts';

export interface StoredPlan {
  version: number;
  state: PlanState;
  reason: string;
  fleetVersion: number;
  plan: Plan;
}

export interface PlanResidency {
  version: number;
  machines: PlannedMachine[];
  /** Why a model that services ask for stands nowhere, by its id. */
  unserved: Record<string, string>;
}

const planColumns = ['version', 'state', 'reason', 'fleetVersion', 'plan'] as const;
type PlanRow = { version: number; state: string; reason: string; fleetVersion: number | null; plan: unknown };

function storedPlan(row: PlanRow | undefined): StoredPlan | undefined {
  if (!row || row.plan === null || row.fleetVersion === null) return undefined;
  return {
    version: row.version,
    state: row.state as PlanState,
    reason: row.reason,
    fleetVersion: row.fleetVersion,
    plan: row.plan as Plan,
  };
}

/**
 * Asks for a new plan in the caller's transaction. Causes that come while one is still waiting to be computed share it:
 * the plan is computed from what is committed then.
 * @returns the version that will hold the answer
 */
export async function requestReplan(
  tx: Executor,
  { ownerId, reason }: { ownerId: string; reason: string },
): Promise<number> {
  const row = await tx
    .insertInto('plans')
    .values({ ownerId, reason })
    .onConflict((conflict) =>
      conflict
        .expression(sql`(true)`)
        .where('state', '=', 'planned')
        .doUpdateSet({
          reason: sql<string>`case when position(${reason} in plans.reason) > 0 then plans.reason else plans.reason || '; ' || ${reason} end`,
        }),
    )
    .returning('version')
    .executeTakeFirstOrThrow();
  await insertIntent(tx, {
    workflowId: replanWorkflowId(row.version),
    type: 'replanFleet',
    args: [{ planVersion: row.version }],
  });
  return row.version;
}

/** What work goes by: the plan being applied, else the applied one. */
export async function currentPlan(db: Executor): Promise<StoredPlan | undefined> {
  const row = await db
    .selectFrom('plans')
    .select(planColumns)
    .where('state', 'in', ['applying', 'applied'])
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  return storedPlan(row);
}

export function createPlanStore(db: Database) {
  /** Who holds what under the plan in force, without the homes of all agents. */
  async function residency(): Promise<PlanResidency | undefined> {
    const row = await db
      .selectFrom('plans')
      .select(['version', sql<PlannedMachine[]>`plan->'machines'`.as('machines')])
      .select(sql<Plan['unserved'] | null>`plan->'unserved'`.as('unserved'))
      .where('state', 'in', ['applying', 'applied'])
      .orderBy('version', 'desc')
      .limit(1)
      .executeTakeFirst();
    const unserved = Object.fromEntries((row?.unserved ?? []).map(({ modelId, reason }) => [modelId, reason]));
    return row && { ...row, unserved };
  }

  return {
    residency,

    async currentFor(machineId: string): Promise<{ version: number; models: RankedModel[] } | undefined> {
      const current = await residency();
      return current && { version: current.version, models: rankedModels(current.machines, machineId) };
    },

    /** Whether a plan is asked for and not yet computed. */
    async replanning(): Promise<boolean> {
      const row = await db.selectFrom('plans').select('version').where('state', '=', 'planned').executeTakeFirst();
      return row !== undefined;
    },

    requestReplan: (request: { ownerId: string; reason: string }) =>
      db.transaction().execute((tx) => requestReplan(tx, request)),

    /**
     * Computes and stores the plan of a version once, moves homes, and supersedes older plans that were still being applied.
     * A second call answers with the stored plan.
     */
    async compute(
      version: number,
      plan: (tx: Executor) => Promise<{ fleetVersion: number; plan: Plan }>,
    ): Promise<StoredPlan> {
      return db.transaction().execute(async (tx) => {
        // One planner at a time: two would read each other's half of the truth.
        await takeLock(tx, 'plan');
        const row = await tx
          .selectFrom('plans')
          .select([...planColumns, 'ownerId'])
          .where('version', '=', version)
          .forUpdate()
          .executeTakeFirst();
        if (!row) throw new DomainError('NOT_FOUND', `no plan ${version}`);
        const stored = storedPlan(row);
        if (stored) return stored;
        const computed = await plan(tx);
        await tx.updateTable('plans').set({ state: 'superseded' }).where('state', '=', 'applying').execute();
        await tx
          .updateTable('plans')
          .set({ state: 'applying', fleetVersion: computed.fleetVersion, plan: JSON.stringify(computed.plan) })
          .where('version', '=', version)
          .execute();
        await moveHomes(tx, computed.plan);
        await moveServices(tx, computed.plan.services ?? []);
        await appendEvents(tx, [
          {
            ownerId: row.ownerId,
            type: 'plan.computed',
            subject: String(version),
            data: { reason: row.reason, unplaced: computed.plan.unplaced.length },
          },
        ]);
        return { version, state: 'applying', reason: row.reason, ...computed };
      });
    },

    /** @returns false when a newer plan has taken over meanwhile */
    async markApplied(version: number): Promise<boolean> {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .selectFrom('plans')
          .select(['state', 'ownerId'])
          .where('version', '=', version)
          .forUpdate()
          .executeTakeFirst();
        if (row?.state === 'applied') return true;
        if (row?.state !== 'applying') return false;
        await tx.updateTable('plans').set({ state: 'superseded' }).where('state', '=', 'applied').execute();
        await tx
          .updateTable('plans')
          .set({ state: 'applied', appliedAt: sql<Date>`now()` })
          .where('version', '=', version)
          .execute();
        await appendEvents(tx, [{ ownerId: row.ownerId, type: 'plan.applied', subject: String(version) }]);
        await requestMovedServices(tx, row.ownerId);
        return true;
      });
    },
  };
}
export type PlanStore = ReturnType<typeof createPlanStore>;

async function moveHomes(tx: Executor, plan: Plan): Promise<void> {
  // In the order in which memories lock them too, so that neither waits for the other; and no key, so that nobody who only refers to an
  // agent (a blessing, say) waits for the plan while the plan waits for them.
  await sql`select id from agents where state = 'active' order by id for no key update`.execute(tx);
  const homes = Object.entries(plan.homes);
  await sql`
    update agents set home_machine_id = new.machine_id, home_reason = '', changed_at = now()
    from unnest(${homes.map(([id]) => id)}::text[], ${homes.map(([, machine]) => machine)}::text[]) as new (agent_id, machine_id)
    where agents.id = new.agent_id and (home_machine_id is distinct from new.machine_id or home_reason <> '')`.execute(
    tx,
  );
  await sql`
    update agents set home_machine_id = null, home_reason = new.reason, changed_at = now()
    from unnest(${plan.unplaced.map((u) => u.agentId)}::text[], ${plan.unplaced.map((u) => u.reason)}::text[]) as new (agent_id, reason)
    where agents.id = new.agent_id and (home_machine_id is not null or home_reason <> new.reason)`.execute(tx);
}
