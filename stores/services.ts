import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import {
  type PlaceableService,
  placeableService,
  type PlannedService,
  plannedVram,
} from '../domain/service-placement.ts';
import { type Command, commandText, type TrustedCommand } from '../domain/service-trust.ts';
import { type ServiceSpec, storedService } from '../domain/services.ts';
import type { ServiceState } from '../domain/states.ts';
import type { Database, Executor } from './database.ts';
import type { HeldEpoch } from './machines.ts';

/** Makes the owner's services what the files of fleet.d/ say, in the caller's transaction; what is not among them is retired. */
export async function applyServices(tx: Executor, ownerId: string, specs: readonly ServiceSpec[]): Promise<void> {
  const ids = specs.map(({ id }) => id);
  const { rows: others } = await sql<{ id: string }>`
    select id from services where id = any(${ids}) and owner_id <> ${ownerId} order by id limit 1`.execute(tx);
  if (others.length > 0)
    throw new DomainError('CONFLICT', `${others[0]!.id} is another owner's service; give it another id`);
  // In the order in which whoever places or looks at them locks them, too.
  await sql`select id from services where owner_id = ${ownerId} order by id for no key update`.execute(tx);
  await sql`
    insert into services (id, owner_id, spec)
    select file.id, ${ownerId}, file.spec::jsonb
    from unnest(${ids}::text[], ${specs.map((spec) => JSON.stringify(spec))}::text[]) as file (id, spec)
    order by file.id
    on conflict (id) do update set spec = excluded.spec, retired_at = null,
      changed_at = case when services.spec is distinct from excluded.spec or services.retired_at is not null
        then now() else services.changed_at end`.execute(tx);
  await sql`
    update services set retired_at = now(), changed_at = now(), machine_id = null, placed_because = '',
      state = 'unknown', reason = 'no longer in fleet.d'
    where owner_id = ${ownerId} and retired_at is null and not id = any(${ids})`.execute(tx);
}

/** Living services as the planner takes them, with the machines that may run them as far as those have said what they trust. */
export async function placeableServices(db: Executor): Promise<PlaceableService[]> {
  const { rows } = await sql<{ spec: unknown; isRun: boolean; holderId: string | null }>`
    select s.spec, r.wanted is not distinct from 'running' as is_run, r.machine_id as holder_id
    from services s left join service_runs r on r.service_id = s.id
    where s.retired_at is null order by s.id`.execute(db);
  const { rows: machines } = await sql<{ id: string; trusts: TrustedCommand[] }>`
    select m.id, r.report -> 'trusts' as trusts from machines m join machine_reports r on r.machine_id = m.id
    where m.removed_at is null and r.report ? 'trusts' order by m.id`.execute(db);
  const trusting = new Map<string, string[]>();
  for (const { id, trusts } of machines)
    for (const { service, sha256 } of trusts) {
      const key = `${service} ${sha256}`;
      trusting.set(key, [...(trusting.get(key) ?? []), id]);
    }
  const said = new Set(machines.map(({ id }) => id));
  const { rows: others } = await sql<{ id: string }>`
    select id from machines where removed_at is null and not id = any(${[...said]})`.execute(db);
  return rows.map(({ spec: stored, isRun, holderId }) => {
    const spec = storedService(stored);
    const service = { ...placeableService(spec), isRun };
    if (said.size === 0 || (spec.command === undefined && spec.image === undefined)) return service;
    const trustedBy = new Set([
      ...(trusting.get(`${spec.id} ${commandHash(spec)}`) ?? []),
      // What runs is left as it is; what a machine has not said yet is its worker's to refuse.
      ...(holderId === null ? [] : [holderId]),
      ...others.map(({ id }) => id),
    ]);
    return { ...service, trustedBy: [...trustedBy].toSorted() };
  });
}

/** By which a machine says that it trusts a command, without saying anything else of its trust file. */
export function commandHash(command: Command): string {
  return createHash('sha256').update(commandText(command, [])).digest('hex');
}

/**
 * Writes down where a plan puts services, in its transaction. What was seen of one elsewhere says nothing of it on another machine; one
 * that has no place is down.
 */
export async function moveServices(tx: Executor, planned: readonly PlannedService[]): Promise<void> {
  await sql`select id from services where retired_at is null order by id for no key update`.execute(tx);
  const column = <Field extends keyof PlannedService>(field: Field) => planned.map((service) => service[field]);
  await sql`
    update services set machine_id = plan.machine_id, placed_because = plan.because, changed_at = now(),
      state = case when plan.machine_id is null then 'down'
        when services.machine_id is distinct from plan.machine_id then 'unknown' else state end,
      reason = case when plan.machine_id is null then plan.because
        when services.machine_id is distinct from plan.machine_id then '' else reason end
    from unnest(${column('id')}::text[], ${column('machineId')}::text[], ${column('because')}::text[])
      as plan (id, machine_id, because)
    where services.id = plan.id and services.retired_at is null
      and (services.machine_id is distinct from plan.machine_id or services.placed_because <> plan.because
        -- Nothing looks at one that has no place, so what it was before would stand for ever.
        or (plan.machine_id is null and services.state <> 'down'))`.execute(tx);
}

/** A service as its machine's worker looks at it. */
export interface ServiceToLookAt {
  id: string;
  spec: ServiceSpec;
  state: ServiceState;
  reason: string;
  /** How long it has been in its state. */
  forSeconds: number;
  /** It is run by this fleet: who runs it tells what its unit or container does. */
  isRun: boolean;
}

export function createServiceStore(db: Database) {
  return {
    /**
     * Those that the plan puts on the machine; none where another worker has its epoch. What is run by this fleet and has no health check
     * is up where its unit or container is, which is not told from here.
     */
    async toLookAt({ machineId, epoch }: HeldEpoch): Promise<ServiceToLookAt[]> {
      const { rows } = await sql<{
        id: string;
        spec: unknown;
        state: ServiceState;
        reason: string;
        forSeconds: number;
        isRun: boolean;
      }>`
        select s.id, s.spec, s.state, s.reason, extract(epoch from now() - s.changed_at)::float8 as for_seconds, r.service_id is not null as is_run
        from services s join machines m on m.id = s.machine_id
        left join service_runs r on r.service_id = s.id and (r.wanted = 'running' or r.machine_id is not null)
        where s.machine_id = ${machineId} and m.epoch = ${epoch} and s.retired_at is null
          and (r.service_id is null or s.spec ? 'healthCheck')
        order by s.id`.execute(db);
      return rows.map((row) => ({ ...row, spec: storedService(row.spec) }));
    },

    /** Memory of cards that the services which run on the machine are planned with, by what the files say of each. */
    async plannedVramGiB(machineId: string): Promise<number> {
      const { rows } = await sql<{ spec: unknown }>`
        select s.spec from services s left join service_runs r on r.service_id = s.id
        where s.retired_at is null and s.spec ? 'gpu' and coalesce(r.machine_id, s.machine_id) = ${machineId}
          -- One that nothing looks at may run.
          and (s.state not in ('down', 'stopped') or r.state in ('starting', 'started', 'stopping'))`.execute(db);
      return rows.reduce((sum, { spec }) => sum + plannedVram(placeableService(storedService(spec))), 0);
    },

    /**
     * Writes down what was seen of a service, unless it has moved, somebody else has written its state meanwhile, or another worker has
     * the machine. @returns whether it was written
     */
    async seen(
      { machineId, epoch }: HeldEpoch,
      { id, was, state, reason }: { id: string; was: ServiceState; state: ServiceState; reason: string },
    ): Promise<boolean> {
      const { numAffectedRows } = await sql`
        update services set state = ${state}, reason = ${reason},
          changed_at = case when state = ${state} then changed_at else now() end
        where id = ${id} and machine_id = ${machineId} and retired_at is null and state = ${was}
          and (select epoch from machines where id = ${machineId}) = ${epoch}`.execute(db);
      return (numAffectedRows ?? 0n) > 0n;
    },
  };
}
export type ServiceStore = ReturnType<typeof createServiceStore>;
