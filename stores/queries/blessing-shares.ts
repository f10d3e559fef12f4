import { sql } from 'kysely';
import type { Money } from '../../domain/money.ts';
import type { BlessingShare } from '../blessings.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface BlessingShareView {
  period: string;
  madeAt: string;
  /** Counted, of everybody; null to who does not run the marketplace, as what was shared. */
  blessings: number | null;
  shared: BlessingShare['shared'] | null;
  /** Of whoever asks: blessings that their agents received, and what they came to. */
  yourBlessings: number;
  yours: Money[];
}

/**
 * Sharings of the pool, the last first: who runs the marketplace sees all of theirs, others those in which they were blessed.
 * `after` is the time and the period of a row, with a space between.
 */
export async function listBlessingShares(
  db: Executor,
  { ownerId, limit, after }: PageRequest,
): Promise<BlessingShareView[]> {
  // Times are shown in milliseconds, so they are compared in them.
  const madeAt = sql<Date>`date_trunc('milliseconds', s.made_at)`;
  const [at, of] = after?.split(' ') ?? [];
  const { rows } = await sql<
    Omit<BlessingShareView, 'madeAt' | 'blessings' | 'shared'> & BlessingShare & { madeAt: Date; isOwn: boolean }
  >`
    select s.period, ${madeAt} as made_at, s.owner_id = ${ownerId} as is_own, s.blessings, s.shared,
      (select count(*) from blessings b where b.period = s.period and b.owner_id = ${ownerId}) as your_blessings,
      (select coalesce(jsonb_agg(jsonb_build_object('amount', e.amount, 'currency', e.currency) order by e.currency), '[]')
        from jsonb_array_elements(s.shared) part
        join ledger_entries e on e.transfer_id = 'blessings:' || s.owner_id || ':' || s.period || ':' || (part ->> 'currency')
        join ledger_accounts a on a.id = e.account_id
        where a.kind = 'creator' and a.holder = ${ownerId}) as yours
    from blessing_shares s
    where (s.owner_id = ${ownerId} or (s.owner_id = (select u.operator_id from users u where u.id = ${ownerId})
        and exists (select from blessings b where b.period = s.period and b.owner_id = ${ownerId})))
      ${at === undefined ? sql`` : sql`and (${madeAt}, s.period) < (${at}::timestamptz, ${of})`}
    order by ${madeAt} desc, s.period desc limit ${limit}`.execute(db);
  return rows.map(({ isOwn, madeAt: made, blessings, shared, ...row }) => ({
    ...row,
    madeAt: iso(made),
    blessings: isOwn ? blessings : null,
    shared: isOwn ? shared : null,
  }));
}
