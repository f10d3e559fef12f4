import { sql } from 'kysely';
import { byHand, payoutWaitSeconds } from '../domain/payments.ts';
import { moneyText } from '../domain/money.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { newId } from './ids.ts';
import { replaceNotices } from './notices.ts';
import { firstOperator } from './principals.ts';

/**
 * Of a balance, what is of sales younger than the hold time: with all that was refunded of them since. Entries of an account
 * have versions without gaps, so that it is walked back to the first that is older, however much came before. What is older
 * by a minute is surely before: a transfer tells its time earlier in its transaction than its entries get their version.
 */
export async function heldOf(
  tx: DatabaseTransaction,
  { id, version }: { id: string; version: number },
  holdSeconds: number,
): Promise<number> {
  const { rows } = await sql<{ held: number }>`
    with recursive recent as (
      select e.version, e.amount, t.purchase_id, t.kind, t.at from ledger_entries e join ledger_transfers t on t.id = e.transfer_id
        where e.account_id = ${id} and e.version = ${version}
      union all
      select e.version, e.amount, t.purchase_id, t.kind, t.at from recent r
        join ledger_entries e on e.account_id = ${id} and e.version = r.version - 1
        join ledger_transfers t on t.id = e.transfer_id
        where r.at > now() - make_interval(secs => ${holdSeconds}) - interval '1 minute')
    select coalesce(sum(amount), 0)::bigint as held from recent where purchase_id in
      (select purchase_id from recent where kind = 'sale' and at > now() - make_interval(secs => ${holdSeconds}))`.execute(
    tx,
  );
  return rows[0]!.held;
}

/** Open after a restore: what was paid since the backup is not in the books, and would be paid once more. */
export const payoutsHeldKey = (ownerId: string) => `payouts_held:${ownerId}`;

/** Whether payouts of these books wait for a person's word, who ends the notice. */
export async function payoutsAreHeld(tx: DatabaseTransaction, ownerId: string): Promise<boolean> {
  const open = await tx
    .selectFrom('notices')
    .select('id')
    .where('key', '=', payoutsHeldKey(ownerId))
    .where('resolvedAt', 'is', null)
    .executeTakeFirst();
  return open !== undefined;
}

/** To whom something is owed, in one currency. */
export interface Creditor {
  ownerId: string;
  userId: string;
  currency: string;
}

/** Refusals of a provider one after the other: since one was paid, and since the account there was set. */
export async function refusalsOf(
  tx: DatabaseTransaction,
  { ownerId, userId, currency }: Creditor,
  since: Date | null,
): Promise<{ refusals: number; last: Date | null; now: Date }> {
  const { rows } = await sql<{ refusals: number; last: Date | null; now: Date }>`
    with own as (select state, ended_at, provider from payouts
      where owner_id = ${ownerId} and user_id = ${userId} and currency = ${currency})
    select count(*) as refusals, max(ended_at) as last, now() as now from own
    where state = 'failed' and provider <> ${byHand} and ended_at > coalesce(${since}::timestamptz, '-infinity')
      and ended_at > coalesce((select max(ended_at) from own where state = 'paid'), '-infinity')`.execute(tx);
  return rows[0]!;
}

/** Whether a provider that refused before is not asked again yet. */
export async function waits(tx: DatabaseTransaction, of: Creditor, accountSince: Date): Promise<boolean> {
  const { refusals, last, now } = await refusalsOf(tx, of, accountSince);
  return last !== null && now.getTime() < last.getTime() + payoutWaitSeconds(refusals) * 1000;
}

/** What creators are owed in a currency that has no threshold is paid by nobody: who runs the marketplace is told of each. */
export async function tellWithoutThreshold(db: Database, currencies: readonly string[]): Promise<void> {
  const ownerId = await firstOperator(db);
  if (ownerId === undefined) return;
  const { rows } = await sql<{ currency: string; owed: number; creators: number }>`
    select currency, sum(balance)::bigint as owed, count(*) as creators from ledger_accounts
    where owner_id = ${ownerId} and kind = 'creator' and balance > 0 and currency <> all(${[...currencies]}::text[])
    group by currency order by currency`.execute(db);
  const notices = rows.map(({ currency, owed, creators }) => ({
    id: newId('notice'),
    key: `payout_no_threshold:${ownerId}:${currency}`,
    subject: currency,
    title: `${moneyText({ amount: owed, currency })} of ${creators} creators is never paid out`,
    action: `Name ${currency} in market.payouts.threshold of fleet.yaml.`,
  }));
  await db.transaction().execute((tx) => replaceNotices(tx, { ownerId, kind: 'payout_no_threshold' }, notices));
}
