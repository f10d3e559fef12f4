import { sql } from 'kysely';
import { type HealthLook, healthLooks } from '../../domain/health.ts';
import type { HealthKind, HealthState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface HealthView {
  kind: HealthKind;
  id: string;
  /** What a person knows it by. */
  name: string;
  state: HealthState;
  reason: string;
  since: string;
  /** Seen, and not yet often enough to count. */
  pendingState: HealthState | null;
}

export interface HealthFilters {
  kind?: HealthKind | undefined;
  state?: HealthState | undefined;
  /** Only what is at least so bad: its place in healthStates and all before it. */
  worstRanks?: number | undefined;
}

/** Place of the row in the order of the list: rank, kind, id. */
export interface HealthKey {
  rank: number;
  kind: string;
  id: string;
}

/** The worst first. */
export async function listHealth(
  db: Executor,
  {
    ownerId,
    limit,
    after,
    kind,
    state,
    worstRanks,
  }: Omit<PageRequest, 'after'> & HealthFilters & { after?: HealthKey | undefined },
): Promise<HealthView[]> {
  let query = db
    .selectFrom('health')
    .leftJoin('agents', (join) =>
      join.on('health.subjectKind', '=', 'agent').onRef('agents.id', '=', 'health.subjectId'),
    )
    .leftJoin('channels', (join) =>
      join.on('health.subjectKind', '=', 'channel').onRef('channels.id', '=', 'health.subjectId'),
    )
    .select([
      'health.subjectKind',
      'health.subjectId',
      'health.state',
      'health.reason',
      'health.since',
      'health.pendingState',
    ])
    .select(sql<string>`coalesce(agents.name, channels.name, health.subject_id)`.as('name'))
    .where('health.ownerId', '=', ownerId);
  if (kind !== undefined) query = query.where('health.subjectKind', '=', kind);
  if (state !== undefined) query = query.where('health.state', '=', state);
  if (worstRanks !== undefined) query = query.where('health.rank', '<=', worstRanks);
  if (after !== undefined)
    query = query.where(
      sql<boolean>`(health.rank, health.subject_kind, health.subject_id) > (${after.rank}::smallint, ${after.kind}, ${after.id})`,
    );
  const rows = await query
    .orderBy('health.rank')
    .orderBy('health.subjectKind')
    .orderBy('health.subjectId')
    .limit(limit)
    .execute();
  return rows.map(({ subjectKind, subjectId, state: now, pendingState, since, ...row }) => ({
    ...row,
    kind: subjectKind as HealthKind,
    id: subjectId,
    state: now as HealthState,
    pendingState: pendingState as HealthState | null,
    since: iso(since),
  }));
}

export interface HealthCounts {
  counts: Array<{ kind: HealthKind; state: HealthState; count: number }>;
  /** When the look that is furthest behind was last taken; null: it never was. */
  judgedAt: string | null;
  /** Seconds by which each look is behind its time, by the clock of the database, the furthest first; empty: no fleet is applied. */
  behind: Array<{ look: HealthLook; seconds: number }>;
}

export async function countHealth(db: Executor, ownerId: string): Promise<HealthCounts> {
  const counts = await db
    .selectFrom('health')
    .select(['subjectKind as kind', 'state', sql<number>`count(*)`.as('count')])
    .where('ownerId', '=', ownerId)
    .groupBy(['subjectKind', 'state'])
    .execute();
  // One that was never taken is behind since there is something to look at.
  const { rows: looks } = await sql<{ look: HealthLook; lookedAt: Date | null; ago: number }>`
    select l.look, h.looked_at as "lookedAt", extract(epoch from clock_timestamp() - coalesce(h.looked_at, f.since))::float8 as ago
    from (select min(applied_at) as since from fleet_versions) f, unnest(${Object.keys(healthLooks)}::text[]) l (look)
    left join health_looks h on h.look = l.look where f.since is not null`.execute(db);
  const behind = looks
    .map(({ look, lookedAt, ago }) => ({ look, lookedAt, seconds: ago - healthLooks[look].everySeconds }))
    .toSorted((a, b) => b.seconds - a.seconds);
  return {
    counts: counts as HealthCounts['counts'],
    judgedAt: iso(behind[0]?.lookedAt ?? null),
    behind: behind.map(({ look, seconds }) => ({ look, seconds })),
  };
}

export interface HealthChangeView {
  seq: string;
  kind: HealthKind;
  id: string;
  /** Null: it was judged for the first time. */
  from: HealthState | null;
  to: HealthState;
  reason: string;
  at: string;
}

/** The last first; `after` is a seq. */
export async function listHealthChanges(
  db: Executor,
  { ownerId, limit, after, kind, id }: PageRequest & { kind?: HealthKind | undefined; id?: string | undefined },
): Promise<HealthChangeView[]> {
  let query = db
    .selectFrom('healthChanges')
    .select(['id as seq', 'subjectKind', 'subjectId', 'fromState', 'toState', 'reason', 'at'])
    .where('ownerId', '=', ownerId);
  if (after !== undefined) query = query.where('id', '<', Number(after));
  if (kind !== undefined) query = query.where('subjectKind', '=', kind);
  if (id !== undefined) query = query.where('subjectId', '=', id);
  const rows = await query.orderBy('id', 'desc').limit(limit).execute();
  return rows.map(({ seq, subjectKind, subjectId, fromState, toState, reason, at }) => ({
    seq: String(seq),
    kind: subjectKind as HealthKind,
    id: subjectId,
    from: fromState as HealthState | null,
    to: toState as HealthState,
    reason,
    at: iso(at),
  }));
}
