import { sql } from 'kysely';
import type { DigestFigures } from '../../domain/digest.ts';
import { noticeRules } from '../../domain/notice-acts.ts';
import { noticeKinds, type NoticeKind, severities } from '../../domain/notices.ts';
import type { Executor } from '../database.ts';

/** Most of what waits, and of why runs failed, that is named. */
const mostWaits = 8;
const mostFailures = 4;

type Counts = Omit<DigestFigures, 'since' | 'until' | 'waits' | 'failures' | 'money'>;

/** What a digest says of the time from `since` to `until` (ISO times). */
export async function readDigest(
  db: Executor,
  { ownerId, since, until }: { ownerId: string; since: string; until: string },
): Promise<DigestFigures> {
  const day = (column: 'ended_at' | 'opened_at' | 'resolved_at' | 'started_at') =>
    sql`${sql.ref(column)} >= ${since}::timestamptz and ${sql.ref(column)} < ${until}::timestamptz`;
  const counts = await sql<Counts>`
    with ended as (select state, degraded, reflections, tokens from runs where owner_id = ${ownerId} and ${day('ended_at')})
    select
      (select coalesce(jsonb_object_agg(state, count), '{}') from
        (select state, count(*) from machines where owner_id = ${ownerId} and removed_at is null group by state) s) as machines,
      (select coalesce(jsonb_object_agg(state, count), '{}') from
        (select state, count(*) from agents where owner_id = ${ownerId} and state <> 'retired' group by state) s) as agents,
      (select coalesce(jsonb_object_agg(state, count), '{}') from
        (select state, count(*) from ended group by state) s) as runs,
      (select count(*) filter (where degraded) from ended) as degraded,
      (select coalesce(sum(reflections), 0)::bigint from ended) as reflections,
      (select coalesce(sum(tokens), 0)::bigint from ended) as tokens,
      (select count(*) from runs where owner_id = ${ownerId} and state = 'parked') as parked,
      (select count(*) from notices where owner_id = ${ownerId} and resolved_at is null) as open,
      (select count(*) from notices where owner_id = ${ownerId} and ${day('opened_at')}) as opened,
      (select count(*) from notices where owner_id = ${ownerId} and ${day('resolved_at')}) as closed,
      coalesce((select discrepancies from ledger_reconciliations where owner_id = ${ownerId}
        order by made_at desc limit 1), 0) as discrepancies,
      (select coalesce(jsonb_object_agg(state, count), '{}') from (select state, count(*) from deliveries
        where owner_id = ${ownerId} and not rehearsal and ${day('ended_at')} group by state) s) as posts,
      (select count(*) from drops where owner_id = ${ownerId} and state = 'scheduled') as scheduled`.execute(db);
  const failures = await sql<DigestFigures['failures'][number]>`
    select reason, count(*) as count, min(agent_id) as "agentId" from runs
    where owner_id = ${ownerId} and state = 'failed' and ${day('ended_at')}
    group by reason order by count(*) desc, reason limit ${mostFailures}`.execute(db);
  const money = await sql<DigestFigures['money'][number]>`
    select 'sales' as what, count(*) as count, sum(amount)::bigint as amount, currency from purchases
      where books_id = ${ownerId} and state = 'completed' and ${day('ended_at')} group by currency
    union all select 'refunds', count(*), sum(amount)::bigint, currency from refunds
      where owner_id = ${ownerId} and state = 'done' and ${day('ended_at')} group by currency
    union all select 'payouts', count(*), sum(amount)::bigint, currency from payouts
      where owner_id = ${ownerId} and state = 'paid' and ${day('ended_at')} group by currency
    order by currency, what desc`.execute(db);
  return {
    since,
    until,
    ...counts.rows[0]!,
    failures: failures.rows,
    money: money.rows,
    waits: await waitsOf(db, ownerId),
  };
}

/** What matters most first, then what waits longest. */
async function waitsOf(db: Executor, ownerId: string): Promise<DigestFigures['waits']> {
  const rows = await db
    .selectFrom('notices')
    .select(['id', 'kind', 'key', 'subject', 'about', 'title'])
    .where('ownerId', '=', ownerId)
    .where('resolvedAt', 'is', null)
    .where('kind', 'in', noticeKinds)
    .orderBy('openedAt')
    .limit(500)
    .execute();
  return rows
    .map(({ title, ...notice }) => {
      const { severity, act } = noticeRules[notice.kind as NoticeKind];
      return { severity, title, command: act(notice).command };
    })
    .sort((a, b) => severities.indexOf(b.severity) - severities.indexOf(a.severity))
    .slice(0, mostWaits);
}
