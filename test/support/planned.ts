import { sql } from 'kysely';
import { placementInputOf } from '../../domain/placement-input.ts';
import { planPlacement } from '../../domain/placement.ts';
import { type Plan, rankedModels } from '../../domain/plan.ts';
import { talkQueue } from '../../domain/task-queues.ts';
import type { Database } from '../../stores/database.ts';
import { currentFleet } from '../../stores/fleets.ts';
import { listMachines } from '../../stores/machines.ts';
import { measuredRates, placementAgents } from '../../stores/placement.ts';

/** What a machine holds and polls, under a plan or in truth. */
export interface Serving {
  machineId: string;
  polls: string[];
}

/** The newest plan that has been computed, and what the planner gives for the same facts. */
export async function plannedAndStored(db: Database): Promise<{ version: number; stored: Plan; planned: Plan }> {
  const [newest, before] = await db
    .selectFrom('plans')
    .select(['version', 'plan'])
    .where('plan', 'is not', null)
    .orderBy('version', 'desc')
    .limit(2)
    .execute();
  if (!newest) throw new Error('no plan has been computed');
  const fleet = (await currentFleet(db))!;
  const machines = await listMachines(db);
  const counted = machines.filter(({ state, modelServerUp }) => ['ready', 'suspect'].includes(state) && modelServerUp);
  const planned = planPlacement(
    placementInputOf(fleet.fleet, {
      aliveMachineIds: new Set(counted.map(({ id }) => id)),
      measuredRates: await measuredRates(db),
      agents: await placementAgents(db),
      ...(before ? { previous: before.plan as unknown as Plan } : {}),
    }),
  );
  return { version: newest.version, stored: newest.plan as unknown as Plan, planned };
}

/** What living machines poll, by the rows that their workers write. */
export async function polled(db: Database): Promise<Serving[]> {
  const { rows } = await sql<Serving>`
    select id as machine_id, polls from machines
    where removed_at is null and lease_until > clock_timestamp() and state in ('ready', 'suspect') order by id`.execute(
    db,
  );
  return rows;
}

/** What the machines of a plan should poll. */
export function toPoll(plan: Plan): Serving[] {
  return plan.machines
    .map(({ machineId }) => ({
      machineId,
      polls: rankedModels(plan.machines, machineId)
        .flatMap(({ queue }) => [queue, talkQueue(queue)])
        .sort(),
    }))
    .sort((a, b) => (a.machineId < b.machineId ? -1 : 1));
}
