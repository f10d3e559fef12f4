import { sql } from 'kysely';
import { type Blocker, blockedReason, deployBlockers } from '../domain/deploy-blockers.ts';
import { DomainError } from '../domain/errors.ts';
import { reportOf } from '../domain/readiness-reports.ts';
import type { Executor } from './database.ts';
import { acceptancesOf, openCritical } from './readiness.ts';

/** Critical findings of what the owner has had assessed that nobody answers for today. */
export async function openBlockers(db: Executor, ownerId: string): Promise<Blocker[]> {
  const critical = await openCritical(db, ownerId);
  if (critical.length === 0) return [];
  const { rows } = await sql<{ today: string }>`select to_char(now(), 'YYYY-MM-DD') as today`.execute(db);
  const acceptances = await acceptancesOf(db, ownerId);
  const { findings } = reportOf(critical, { acceptances, today: rows[0]!.today });
  const folders = new Map(critical.map(({ fingerprint, folder }) => [fingerprint, folder]));
  return deployBlockers(findings.map((each) => ({ ...each, folder: folders.get(each.fingerprint)! })));
}

/**
 * Asked wherever something begins that is new to the fleet.
 * @returns why it may not; undefined: it may
 */
export async function whyHeld(
  db: Executor,
  ownerId: string,
  serviceIds: readonly string[],
): Promise<string | undefined> {
  const fresh = await neverRan(db, serviceIds);
  if (fresh.length === 0) return undefined;
  const blockers = await openBlockers(db, ownerId);
  if (blockers.length === 0) return undefined;
  const named = fresh.slice(0, mostNamed).join(', ');
  return blockedReason(`${named}${fresh.length > mostNamed ? ' and more' : ''} never ran here`, blockers);
}

const mostNamed = 5;

/** @throws DEPLOY_BLOCKED where one of the services never ran, and a critical finding is open that nobody answers for */
export async function refuseWhileBlocked(db: Executor, ownerId: string, serviceIds: readonly string[]): Promise<void> {
  const why = await whyHeld(db, ownerId, serviceIds);
  if (why !== undefined) throw new DomainError('DEPLOY_BLOCKED', why);
}

/** Of these services, those that never stood: starting one brings something new to the fleet, also where that was tried before. */
export async function neverRan(db: Executor, serviceIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select asked.id from unnest(${[...serviceIds]}::text[]) as asked (id)
    where not exists (select from service_runs r where r.service_id = asked.id and r.first_started_at is not null)
    order by asked.id`.execute(db);
  return rows.map(({ id }) => id);
}
