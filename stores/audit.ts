import { sql } from 'kysely';
import type { Role } from '../domain/states.ts';
import type { Database } from './database.ts';

/** Who asked; ids alone. */
export interface AuditActor {
  ownerId: string;
  tokenId: string;
  kind: 'bearer' | 'session';
  role: Role;
  service?: string | undefined;
}

export interface AuditedRequest {
  /** Of the request. */
  id: string;
  /** Null: nobody had signed in. */
  actor: AuditActor | null;
  method: string;
  /** The route as it is declared, not the address that was asked for. */
  route: string;
  subjects: readonly string[];
}

/** Whose log it is: the installation's that the actor belongs to, else the first operator's. */
function logOwner(actor: AuditActor | null) {
  return sql`coalesce((select coalesce(operator_id, id) from users where id = ${actor?.ownerId ?? null}),
    (select id from users where role = 'operator' order by created_at, id limit 1))`;
}

export function createAuditStore(db: Database) {
  async function write(phase: 'begun' | 'refused', request: AuditedRequest, status: number | null): Promise<void> {
    const { id, actor, method, route, subjects } = request;
    await sql`insert into audit_entries
        (id, phase, owner_id, actor_id, token_id, actor_kind, role, service_id, method, route, subjects, status)
      values (${id}, ${phase}, ${logOwner(actor)}, ${actor?.ownerId ?? null}, ${actor?.tokenId ?? null}, ${actor?.kind ?? null},
        ${actor?.role ?? null}, ${actor?.service ?? null}, ${method}, ${route}, ${[...subjects]}, ${status})`.execute(
      db,
    );
  }

  return {
    /** Committed before the write does anything: what is then done is never without a row. */
    begin: (request: AuditedRequest) => write('begun', request, null),

    /** Of who may not do it, or is nobody known. */
    refuse: (request: AuditedRequest, status: number) => write('refused', request, status),

    /** @param end.actor of a request that began without one: who signed in by it */
    async end(end: {
      id: string;
      status: number;
      subjects: readonly string[];
      actor: AuditActor | null;
    }): Promise<void> {
      const { id, status, subjects, actor } = end;
      await sql`insert into audit_entries (id, phase, actor_id, token_id, actor_kind, role, service_id, subjects, status)
        values (${id}, 'ended', ${actor?.ownerId ?? null}, ${actor?.tokenId ?? null}, ${actor?.kind ?? null}, ${actor?.role ?? null},
          ${actor?.service ?? null}, ${[...subjects]}, ${status})`.execute(db);
    },

    /** Deletes one batch of requests that began longer ago. @returns rows deleted */
    async deleteOlder(seconds: number, batch: number): Promise<number> {
      return db.transaction().execute(async (tx) => {
        await sql`select set_config('soulfra.retention', 'audit', true)`.execute(tx);
        const { numAffectedRows } = await sql`delete from audit_entries where ctid in (select ctid from audit_entries
          where at < now() - make_interval(secs => ${seconds}) limit ${batch})`.execute(tx);
        return Number(numAffectedRows ?? 0n);
      });
    },
  };
}
export type AuditStore = ReturnType<typeof createAuditStore>;
