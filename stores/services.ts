import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { type PlaceableService, placeableService, type PlannedService } from '../domain/service-placement.ts';
import { type ServiceSpec, storedService } from '../domain/services.ts';
import type { Executor } from './database.ts';

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

/** Living services as the planner takes them. */
export async function placeableServices(db: Executor): Promise<PlaceableService[]> {
  const rows = await db.selectFrom('services').select('spec').where('retiredAt', 'is', null).orderBy('id').execute();
  return rows.map(({ spec }) => placeableService(storedService(spec)));
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
