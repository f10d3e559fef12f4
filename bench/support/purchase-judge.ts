import { sql } from 'kysely';
import type { Database } from '../../stores/database.ts';
import { refusedAt } from './bench-payments.ts';
import type { BenchShop } from './purchase-shop.ts';

interface Judged {
  id: string;
  state: string;
  payment: string;
  buyer: string;
  listingId: string;
  licenses: number;
  active: number;
  usable: number;
  sales: string[] | null;
  transfers: number;
  captures: number | null;
  paymentState: string | null;
}

/**
 * What is wrong with the purchases, found without the product's rules: each is one row with one active license, one sale whose
 * sides are what this file counts, and one capture; or it is undone, for a reason that it had, and there is no
 * trace of it but the row that says why.
 * @param canceled purchases that their buyers asked to cancel
 */
export async function wrongPurchases(db: Database, shop: BenchShop, canceled: ReadonlySet<string>): Promise<string[]> {
  const wrong: string[] = [];
  const { rows } = await sql<Judged>`
    select p.id, p.state, p.payment, p.owner_id as buyer, p.listing_id,
      (select count(*)::int from licenses l where l.purchase_id = p.id) as licenses,
      (select count(*)::int from licenses l where l.purchase_id = p.id and l.state = 'active' and l.owner_id = p.owner_id) as active,
      (select count(*)::int from licenses l where l.purchase_id = p.id and l.state <> 'revoked') as usable,
      (select array_agg(a.kind || ':' || a.holder || '=' || e.amount order by a.kind, a.holder)
        from ledger_transfers t join ledger_entries e on e.transfer_id = t.id join ledger_accounts a on a.id = e.account_id
        where t.purchase_id = p.id and t.kind = 'sale') as sales,
      (select count(*)::int from ledger_transfers t where t.purchase_id = p.id) as transfers,
      b.captures, b.state as payment_state
    from purchases p left join bench_payments b on b.key = p.id order by p.id`.execute(db);
  const balances = await sql<{ holder: string; balance: number }>`
    select holder, balance from ledger_accounts where kind = 'credits'`.execute(db);
  const balanceOf = (buyer: string) => balances.rows.find(({ holder }) => holder === buyer)?.balance ?? 0;
  const seen = new Set<string>();
  for (const row of rows) {
    const { id, state, payment } = row;
    if (seen.has(id)) wrong.push(`${id} is there twice`);
    seen.add(id);
    if (state === 'completed') {
      if (row.licenses !== 1 || row.active !== 1)
        wrong.push(`${id} has ${row.licenses} licenses, ${row.active} active`);
      const expected = sidesOf(shop, row);
      if (row.transfers !== 1 || row.sales?.join(' ') !== expected)
        wrong.push(`${id} has ${row.transfers} transfers, ${row.sales?.join(' ')} and not ${expected}`);
      if (payment === 'bench' && refusedAt(id) !== undefined) wrong.push(`${id} is completed, its payment was refused`);
      if (payment === 'bench' && (row.captures !== 1 || row.paymentState !== 'captured'))
        wrong.push(`${id} was captured ${row.captures} times`);
    } else if (state === 'canceled') {
      if (row.usable > 0) wrong.push(`${id} was undone and has a license`);
      if (row.transfers > 0) wrong.push(`${id} was undone and has ${row.transfers} transfers`);
      // Balances only fall here: who could not pay then cannot now.
      const hadCause =
        payment === 'bench'
          ? refusedAt(id) !== undefined || canceled.has(id)
          : balanceOf(row.buyer) < priceOf(shop, row.listingId);
      if (!hadCause) wrong.push(`${id} came to nothing for no cause`);
      if (payment === 'bench' && row.paymentState !== 'void')
        wrong.push(`${id} was undone, its payment is ${row.paymentState}`);
    } else wrong.push(`${id} is ${state}`);
  }
  const orphans = await sql<{ what: string }>`
    select id || ' is of no purchase' as what from licenses where purchase_id is null or purchase_id not in (select id from purchases)
    union all select id || ' is of no purchase' from ledger_transfers
      where purchase_id is not null and purchase_id not in (select id from purchases)
    union all select key || ' was captured for nothing' from bench_payments where state = 'captured'
      and key not in (select id from purchases where state = 'completed')`.execute(db);
  wrong.push(...orphans.rows.map(({ what }) => what));
  for (const { ownerId, granted } of shop.buyers) {
    const spent = rows
      .filter(({ buyer, state, payment }) => buyer === ownerId && state === 'completed' && payment === 'credits')
      .reduce((sum, { listingId }) => sum + priceOf(shop, listingId), 0);
    const balance = balanceOf(ownerId);
    if (balance < 0) wrong.push(`${ownerId} has spent ${-balance} more than was granted`);
    if (balance !== granted - spent) wrong.push(`${ownerId} has ${balance} of ${granted} and spent ${spent}`);
  }
  return wrong;
}

const priceOf = ({ listings }: BenchShop, id: string) => listings.find((listing) => listing.id === id)!.amount;

/** 70, 20 and 10 percent by largest remainder, ties to the first, and of the first each creator by weight. */
function sidesOf(shop: BenchShop, { listingId, buyer, payment }: Judged): string {
  const { amount, creators } = shop.listings.find(({ id }) => id === listingId)!;
  const [part, platform, pool] = largestRemainder(amount, [70, 20, 10]) as [number, number, number];
  const shares = largestRemainder(
    part,
    creators.map(({ weight }) => weight),
  );
  const sides = [
    ['blessings', '', pool],
    ...creators.map(({ userId }, i) => ['creator', userId, shares[i]!] as const),
    payment === 'credits' ? ['credits', buyer, -amount] : ['outside', payment, -amount],
    ['platform', '', platform],
  ] as Array<[string, string, number]>;
  return sides
    .filter(([, , units]) => units !== 0)
    .toSorted(([a, x], [b, y]) => (a === b ? (x < y ? -1 : 1) : a < b ? -1 : 1))
    .map(([kind, holder, units]) => `${kind}:${holder}=${units}`)
    .join(' ');
}

function largestRemainder(amount: number, weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const parts = weights.map((weight) => Math.floor((amount * weight) / total));
  const order = weights
    .map((weight, i) => ({ i, rest: (amount * weight) % total }))
    .toSorted((a, b) => b.rest - a.rest || a.i - b.i);
  const left = amount - parts.reduce((sum, part) => sum + part, 0);
  for (const { i } of order.slice(0, left)) parts[i]! += 1;
  return parts;
}

/** Over all currencies: what the ledger holds in all, and what each of its transfers leaves over. */
export async function ledgerSum(db: Database): Promise<number> {
  const { rows } = await sql<{ sum: number }>`
    select coalesce(sum(abs(total)), 0)::bigint as sum from (
      select sum(balance) as total from ledger_accounts group by currency
      union all select sum(amount) from ledger_entries group by transfer_id
      union all select a.balance - coalesce(sum(e.amount), 0) from ledger_accounts a
        left join ledger_entries e on e.account_id = a.id group by a.id) sums`.execute(db);
  return rows[0]!.sum;
}
