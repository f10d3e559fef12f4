import { sql } from 'kysely';
import type { Discrepancy } from '../../domain/reconciliation.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface ReconciliationView {
  period: string;
  madeAt: string;
  accounts: number;
  transfers: number;
  entries: number;
  discrepancies: number;
  found: Discrepancy[];
}

/** The last first; `after` is the time and the period of a row, with a space between. */
export async function listReconciliations(
  db: Executor,
  { ownerId, limit, after, period }: PageRequest & { period?: string | undefined },
): Promise<ReconciliationView[]> {
  // Times are shown in milliseconds, so they are compared in them.
  const madeAt = sql<Date>`date_trunc('milliseconds', made_at)`;
  let query = db
    .selectFrom('ledgerReconciliations')
    .select(['period', madeAt.as('madeAt'), 'accounts', 'transfers', 'entries', 'discrepancies', 'found'])
    .where('ownerId', '=', ownerId);
  if (period !== undefined) query = query.where('period', '=', period);
  if (after !== undefined) {
    const [at, of] = after.split(' ');
    query = query.where(sql<boolean>`(${madeAt}, period) < (${at}::timestamptz, ${of})`);
  }
  const rows = await query.orderBy(madeAt, 'desc').orderBy('period', 'desc').limit(limit).execute();
  return rows.map((row) => ({
    ...row,
    madeAt: iso(row.madeAt),
    found: row.found as unknown as Discrepancy[],
  }));
}
