import { sql } from 'kysely';
import { type AuditOutcome, auditOutcomeOf } from '../../domain/audit.ts';
import type { Role } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface AuditView {
  /** Of the request. */
  id: string;
  at: string;
  actor: string | null;
  actorName: string | null;
  tokenId: string | null;
  kind: 'bearer' | 'session' | null;
  role: Role | null;
  service: string | null;
  method: string;
  route: string;
  subjects: string[];
  outcome: AuditOutcome;
  status: number | null;
}

export interface AuditFilters {
  /** Id of a user, token or service. */
  actor?: string | undefined;
  subject?: string | undefined;
  outcome?: AuditOutcome | undefined;
  since?: string | undefined;
  until?: string | undefined;
}

/** One row a request, the last first. */
export async function listAudit(db: Executor, page: PageRequest & AuditFilters): Promise<AuditView[]> {
  const { ownerId, limit, after, actor, subject, outcome, since, until } = page;
  const status = sql`coalesce(b.status, e.status)`;
  const outcomes: Record<AuditOutcome, ReturnType<typeof sql>> = {
    unknown: sql`${status} is null`,
    done: sql`${status} < 400`,
    refused: sql`${status} in (401, 403)`,
    failed: sql`${status} >= 400 and ${status} not in (401, 403)`,
  };
  const conditions = [
    sql`b.owner_id = ${ownerId} and b.phase <> 'ended'`,
    ...(after === undefined ? [] : [sql`b.id < ${after}`]),
    ...(actor === undefined
      ? []
      : [sql`${actor} in (b.actor_id, b.token_id, b.service_id, e.actor_id, e.token_id, e.service_id)`]),
    ...(subject === undefined
      ? []
      : [sql`b.id in (select id from audit_entries where subjects @> array[${subject}]::text[])`]),
    ...(outcome === undefined ? [] : [outcomes[outcome]]),
    ...(since === undefined ? [] : [sql`b.at >= ${since}`]),
    ...(until === undefined ? [] : [sql`b.at < ${until}`]),
  ];
  const { rows } = await sql<Omit<AuditView, 'at' | 'outcome'> & { at: Date }>`
    select b.id, b.at, coalesce(b.actor_id, e.actor_id) as actor, u.name as "actorName",
      coalesce(b.token_id, e.token_id) as "tokenId", coalesce(b.actor_kind, e.actor_kind) as kind, coalesce(b.role, e.role) as role,
      coalesce(b.service_id, e.service_id) as service, b.method, b.route,
      b.subjects || array(select s from unnest(e.subjects) s where s <> all(b.subjects)) as subjects, ${status} as status
    from audit_entries b
    left join audit_entries e on e.id = b.id and e.phase = 'ended' and b.phase = 'begun'
    left join users u on u.id = coalesce(b.actor_id, e.actor_id)
    where ${sql.join(conditions, sql` and `)}
    order by b.id desc limit ${limit}`.execute(db);
  return rows.map((row) => ({ ...row, at: iso(row.at), outcome: auditOutcomeOf(row.status) }));
}
