import { sql } from 'kysely';
import { deployBlockers, refuseBlockedDeploy } from '../domain/deploy-blockers.ts';
import { type ReportedFinding, reportOf } from '../domain/readiness-reports.ts';
import type { Executor } from './database.ts';
import { acceptancesOf, findingsOf, lastDone } from './readiness.ts';

/**
 * Asked wherever a deployment begins.
 * @param mends whether this deployment is what ends a finding
 * @throws DEPLOY_BLOCKED while the owner's last assessment has a critical finding that nobody answers for
 */
export async function refuseWhileBlocked(
  db: Executor,
  ownerId: string,
  mends?: (finding: ReportedFinding) => boolean,
): Promise<void> {
  const run = await lastDone(db, ownerId);
  if (run === undefined) return;
  const critical = (await findingsOf(db, run)).filter(
    ({ severity, state }) => severity === 'critical' && state !== 'gone',
  );
  if (critical.length === 0) return;
  const { rows } = await sql<{ today: string }>`select to_char(now(), 'YYYY-MM-DD') as today`.execute(db);
  const { findings } = reportOf(critical, { acceptances: await acceptancesOf(db, ownerId), today: rows[0]!.today });
  refuseBlockedDeploy(deployBlockers(findings, mends));
}

/** Of these services, those that were never started: starting one brings something new to the fleet. */
export async function neverStarted(db: Executor, serviceIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select asked.id from unnest(${[...serviceIds]}::text[]) as asked (id)
    where not exists (select from service_runs r where r.service_id = asked.id) order by asked.id`.execute(db);
  return rows.map(({ id }) => id);
}
