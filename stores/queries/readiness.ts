import { sql } from 'kysely';
import type { ReadinessRunState, Verdict } from '../../domain/readiness.ts';
import type { ReadinessReport } from '../../domain/readiness-reports.ts';
import { reportOf } from '../../domain/readiness-reports.ts';
import type { Inventory } from '../../domain/readiness-inventory.ts';
import type { Executor } from '../database.ts';
import { acceptancesOf, findingsOf, inventoryOf, lastDone, type Repository } from '../readiness.ts';
import { iso, type PageRequest } from './page.ts';

export interface ReadinessRunView {
  id: string;
  repository: Repository;
  state: ReadinessRunState;
  reason: string;
  verdict: Verdict | null;
  startedAt: string;
  finishedAt: string | null;
}

/** The last first; `after` is the time and the id of a row, with a space between. */
export async function listReadinessRuns(
  db: Executor,
  { ownerId, limit, after, state }: PageRequest & { state?: string | undefined },
): Promise<ReadinessRunView[]> {
  // Times are shown in milliseconds, so they are compared in them.
  const startedAt = sql<Date>`date_trunc('milliseconds', started_at)`;
  let query = db
    .selectFrom('readinessRuns')
    .select(['id', 'repository', 'state', 'reason', 'verdict', startedAt.as('startedAt'), 'finishedAt'])
    .where('ownerId', '=', ownerId);
  if (state !== undefined) query = query.where('state', '=', state);
  if (after !== undefined) {
    const [at, of] = after.split(' ');
    query = query.where(sql<boolean>`(${startedAt}, id) < (${at}::timestamptz, ${of})`);
  }
  const rows = await query.orderBy(startedAt, 'desc').orderBy('id', 'desc').limit(limit).execute();
  return rows.map((row) => ({
    ...(row as unknown as ReadinessRunView),
    startedAt: iso(row.startedAt),
    finishedAt: row.finishedAt === null ? null : iso(row.finishedAt),
  }));
}

/** The last run that came to its end, as its findings are accepted today; undefined where there is none. */
export async function readReadiness(
  db: Executor,
  ownerId: string,
): Promise<(ReadinessReport & { run: string; inventory: Inventory | null }) | undefined> {
  const run = await lastDone(db, ownerId);
  if (run === undefined) return undefined;
  const { rows } = await sql<{ today: string }>`select to_char(now(), 'YYYY-MM-DD') as today`.execute(db);
  const findings = await findingsOf(db, run);
  const report = reportOf(
    findings.filter(({ state }) => state !== 'gone'),
    {
      acceptances: await acceptancesOf(db, ownerId),
      today: rows[0]!.today,
      gone: findings.filter(({ state }) => state === 'gone'),
    },
  );
  return { run, ...report, inventory: await inventoryOf(db, run) };
}
