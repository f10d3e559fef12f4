import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { type Fleet, fleetShapeSchema } from '../domain/fleet.ts';
import type { ServiceFile, ServiceSpec } from '../domain/services.ts';
import type { AgentOrigin } from '../domain/states.ts';
import { birth, type NewAgent } from './agents.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { requestReplan } from './plans.ts';
import { lockRoom } from './room.ts';
import { findServiceFiles } from './queries/services.ts';
import { applyServices } from './services.ts';
import { takeLock } from './locks.ts';

export interface FleetVersion {
  version: number;
  ownerId: string;
  source: string;
  fleet: Fleet;
  appliedAt: string;
  undoOf: number | null;
}

export interface AppliedFleet {
  version: number;
  planVersion: number;
}

const columns = ['version', 'ownerId', 'source', 'fleet', 'appliedAt', 'undoOf'] as const;
type Row = { version: number; ownerId: string; source: string; fleet: unknown; appliedAt: Date; undoOf: number | null };
function fleetVersion(row: Row): FleetVersion {
  return {
    version: row.version,
    ownerId: row.ownerId,
    source: row.source,
    fleet: storedFleet(row.fleet),
    appliedAt: row.appliedAt.toISOString(),
    undoOf: row.undoOf,
  };
}

/** A fleet as an older version stored it: what has been added to the schema since gets its default. */
export function storedFleet(json: unknown): Fleet {
  return fleetShapeSchema.parse(json);
}

/** The applied fleet that work goes by; undefined before the first apply. */
export async function currentFleet(db: Executor): Promise<FleetVersion | undefined> {
  const row = await db
    .selectFrom('fleetVersions')
    .select(columns)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row && fleetVersion(row);
}

export function createFleetStore(db: Database) {
  return {
    current: () => currentFleet(db),

    async currentVersion(): Promise<number | undefined> {
      const row = await db
        .selectFrom('fleetVersions')
        .select('version')
        .orderBy('version', 'desc')
        .limit(1)
        .executeTakeFirst();
      return row?.version;
    },

    async byVersion(version: number): Promise<FleetVersion | undefined> {
      const row = await db
        .selectFrom('fleetVersions')
        .select(columns)
        .where('version', '=', version)
        .executeTakeFirst();
      return row && fleetVersion(row);
    },

    /**
     * Applies a fleet as the next version, in one transaction: machines come and go, agents are born, retired or revived,
     * and what the file owns of a living agent (cadence, model, limits) is changed; its persona and memories are not. Services likewise.
     */
    async apply(input: {
      /** Version the changes were made from, null for none: another apply in between is a CONFLICT, not lost. */
      basedOn?: number | null;
      ownerId: string;
      source: string;
      fleet: Fleet;
      agents: readonly NewAgent[];
      changes: unknown[];
      undoOf?: number;
      /** What fleet.d/ says; absent: it is not spoken of, and stays as it is. */
      services?: { files: readonly ServiceFile[]; specs: readonly ServiceSpec[] };
      /** Throws where the cards could not keep up; nobody takes room between this and the apply. */
      fits?: (tx: Executor) => Promise<unknown>;
    }): Promise<AppliedFleet> {
      const { ownerId, source, fleet, agents, changes, fits, services } = input;
      return db.transaction().execute(async (tx) => {
        await lockFleet(tx, input.basedOn);
        await lockRoom(tx);
        await fits?.(tx);
        const { version } = await tx
          .insertInto('fleetVersions')
          .values({
            ownerId,
            source,
            fleet: JSON.stringify(fleet),
            changes: JSON.stringify(changes),
            undoOf: input.undoOf ?? null,
            serviceFiles: JSON.stringify(services?.files ?? (await findServiceFiles(tx, ownerId))),
          })
          .returning('version')
          .executeTakeFirstOrThrow();
        // Before any agent is touched: whoever computes a plan locks its row first and then the agents.
        const planVersion = await requestReplan(tx, { ownerId, reason: `fleet version ${version} applied` });
        await applyMachines(tx, ownerId, fleet);
        await applyAgents(tx, ownerId, version, agents);
        if (services !== undefined) await applyServices(tx, ownerId, services.specs);
        await appendEvents(tx, [
          { ownerId, type: 'fleet.applied', subject: String(version), data: { changes: changes.length } },
        ]);
        return { version, planVersion };
      });
    },
  };
}
export type FleetStore = ReturnType<typeof createFleetStore>;

/**
 * No other version is applied until the transaction ends.
 * @param basedOn the version that the caller read, null for none: another one in force is a CONFLICT
 */
export async function lockFleet(tx: Executor, basedOn?: number | null): Promise<void> {
  await takeLock(tx, 'fleet');
  if (basedOn === undefined) return;
  const row = await tx
    .selectFrom('fleetVersions')
    .select('version')
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  if ((row?.version ?? null) === basedOn) return;
  throw new DomainError('CONFLICT', `fleet version ${row?.version} was applied meanwhile; look at it and apply again`);
}

async function applyMachines(tx: Executor, ownerId: string, fleet: Fleet): Promise<void> {
  const ids = fleet.machines.map((machine) => machine.id);
  await tx
    .insertInto('machines')
    .values(ids.map((id) => ({ id, ownerId })))
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ removedAt: null }))
    .execute();
  // The epoch moves, so that a worker of a removed machine is fenced and ends.
  await tx
    .updateTable('machines')
    .set({
      removedAt: sql<Date>`now()`,
      epoch: sql<number>`epoch + 1`,
      state: 'lost',
      reason: 'no longer in fleet.yaml',
      polls: [],
    })
    .where('ownerId', '=', ownerId)
    .where('removedAt', 'is', null)
    .where('id', 'not in', ids)
    .execute();
  // Named again some day, it is another box: nothing of the old one lets it in.
  const gone = sql`select id from machines where owner_id = ${ownerId} and removed_at is not null`;
  await sql`update certificates set revoked_at = now() where revoked_at is null and machine_id in (${gone})`.execute(
    tx,
  );
  await sql`update machine_invites set revoked_at = now() where revoked_at is null and machine_id in (${gone})`.execute(
    tx,
  );
}

async function applyAgents(tx: Executor, ownerId: string, version: number, agents: readonly NewAgent[]): Promise<void> {
  const ids = agents.map(({ id }) => id);
  // Agents born outside the file are not its business: neither changed nor retired.
  const { rows: known } = await sql<{ id: string; ownerId: string; origin: AgentOrigin }>`
    select id, owner_id, origin from agents
    where id = any(${ids}) or (owner_id = ${ownerId} and origin = 'fleet') order by id for no key update`.execute(tx);
  const own = new Set(known.map(({ id }) => id));
  const wanted = new Set(ids);
  const taken = known.find((row) => wanted.has(row.id) && (row.origin !== 'fleet' || row.ownerId !== ownerId));
  if (taken) throw new DomainError('CONFLICT', `${taken.id} was not born of this file; give the archetype another id`);
  await changeAgents(
    tx,
    version,
    agents.filter(({ id }) => own.has(id)),
  );
  const agentsBorn = agents.filter(({ id }) => !own.has(id));
  await birth(tx, { ownerId, origin: 'fleet', fleetVersion: version, agents: agentsBorn });
  await tx
    .updateTable('agents')
    .set({
      state: 'retired',
      retiredBy: 'file',
      homeMachineId: null,
      homeReason: 'no longer in fleet.yaml',
      changedAt: sql<Date>`now()`,
    })
    .where('ownerId', '=', ownerId)
    .where('origin', '=', 'fleet')
    .where('fleetVersion', '<', version)
    .where('state', '<>', 'retired')
    .execute();
}

/** What the file owns of an agent that lives: how it works, not who it is. Named again, one that the file had retired lives on. */
async function changeAgents(tx: Executor, version: number, agents: readonly NewAgent[]): Promise<void> {
  const column = <Field extends keyof NewAgent>(field: Field) => agents.map((agent) => agent[field]);
  await sql`
    update agents set cadence = file.cadence, model_id = file.model_id, least_class = file.least_class,
      may_degrade = file.may_degrade, priority = file.priority, tokens_per_day = file.tokens_per_day,
      importance_threshold = coalesce(file.importance_threshold, agents.importance_threshold),
      resumed_at = case when agents.cadence <> file.cadence then now() else agents.resumed_at end,
      state = case when retired_by = 'file' then 'active' else state end,
      retired_by = nullif(retired_by, 'file'),
      fleet_version = ${version}, changed_at = now()
    from unnest(${column('id')}::text[], ${column('cadence')}::text[], ${column('modelId')}::text[],
      ${column('leastClass')}::text[], ${column('mayDegrade')}::boolean[], ${column('priority')}::float8[],
      ${column('tokensPerDay')}::integer[], ${column('importanceThreshold')}::integer[])
      as file (id, cadence, model_id, least_class, may_degrade, priority, tokens_per_day, importance_threshold)
    where agents.id = file.id`.execute(tx);
}
