import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { ServiceSpec } from '../domain/services.ts';
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
