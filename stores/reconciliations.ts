import { sql } from 'kysely';
import { comparePurchase } from '../domain/reconciled-purchases.ts';
import type { Discrepancy, WalkedEntry } from '../domain/reconciliation.ts';
import type { Database } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { takeLock } from './locks.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { purchaseFactsAfter } from './queries/reconciled-purchases.ts';

export interface Reconciliation {
  ownerId: string;
  period: string;
  accounts: number;
  transfers: number;
  entries: number;
  discrepancies: number;
  /** The first of them. */
  found: readonly Discrepancy[];
}

/** Reads of one pass over an owner's books, each a statement of its own: within it the books stand still. */
export function createReconciliationStore(db: Database) {
  return {
    async owners(): Promise<string[]> {
      const rows = await db.selectFrom('ledgerAccounts').select('ownerId').distinct().orderBy('ownerId').execute();
      return rows.map(({ ownerId }) => ownerId);
    },

    async find(ownerId: string, period: string): Promise<{ entries: number; discrepancies: number } | undefined> {
      return db
        .selectFrom('ledgerReconciliations')
        .select(['entries', 'discrepancies'])
        .where('ownerId', '=', ownerId)
        .where('period', '=', period)
        .executeTakeFirst();
    },

    /** Entries behind `after` in the order of account and version, each with its account as it stands with them. */
    async entriesAfter(
      ownerId: string,
      after: { accountId: string; version: number } | undefined,
      limit: number,
    ): Promise<WalkedEntry[]> {
      const { accountId, version } = after ?? { accountId: '', version: 0 };
      const { rows } = await sql<WalkedEntry>`
        select e.account_id, e.version, e.amount, e.balance, a.balance as account_balance, a.version as account_version
        from ledger_entries e join ledger_accounts a on a.id = e.account_id
        where a.owner_id = ${ownerId} and (e.account_id, e.version) > (${accountId}, ${version}::bigint)
        order by e.account_id, e.version limit ${limit}`.execute(db);
      return rows;
    },

    /** Of the accounts behind `after` those that moved without an entry; `next` is null after the last. */
    async movedAfter(
      ownerId: string,
      after: string,
      limit: number,
    ): Promise<{ next: string | null; accounts: number; found: Discrepancy[] }> {
      const { rows } = await sql<{ id: string; balance: string; version: string; bare: boolean }>`
        select id, balance::text, version::text, (balance <> 0 or version <> 0)
          and not exists (select from ledger_entries e where e.account_id = a.id) as bare
        from ledger_accounts a where owner_id = ${ownerId} and id > ${after} order by id limit ${limit}`.execute(db);
      return {
        next: rows.length < limit ? null : rows.at(-1)!.id,
        accounts: rows.length,
        found: rows
          .filter(({ bare }) => bare)
          .map(({ id, balance, version }) =>
            balance === '0'
              ? { kind: 'version', subject: id, expected: '0', found: version }
              : { kind: 'balance', subject: id, expected: '0', found: balance },
          ),
      };
    },

    /** Balances by currency that do not add up to zero. */
    async sums(ownerId: string): Promise<Discrepancy[]> {
      const { rows } = await sql<{ currency: string; total: string }>`
        select currency, sum(balance)::text as total from ledger_accounts where owner_id = ${ownerId}
        group by currency having sum(balance) <> 0 order by currency`.execute(db);
      return rows.map(({ currency, total }) => ({ kind: 'sum', subject: currency, expected: '0', found: total }));
    },

    /** Transfers behind `after` that do not add up to zero; `next` is null after the last. */
    async lopsidedAfter(
      ownerId: string,
      after: number,
      limit: number,
    ): Promise<{ next: number | null; transfers: number; found: Discrepancy[] }> {
      const { rows } = await sql<{
        last: number | null;
        transfers: number;
        wrong: Array<{ id: string; total: string }>;
      }>`
        with page as (
          select id, seq from ledger_transfers where owner_id = ${ownerId} and seq > ${after} order by seq limit ${limit}
        ), sums as (
          select p.id, p.seq, count(e.amount) as sides, coalesce(sum(e.amount), 0) as total
          from page p left join ledger_entries e on e.transfer_id = p.id group by p.id, p.seq
        )
        select max(seq) as last, count(*) as transfers,
          coalesce(jsonb_agg(jsonb_build_object('id', id, 'total', case when sides < 2 then sides || ' entries' else total::text end)
            order by seq) filter (where sides < 2 or total <> 0), '[]') as wrong
        from sums`.execute(db);
      const { last, transfers, wrong } = rows[0]!;
      return {
        next: transfers < limit ? null : last,
        transfers,
        found: wrong.map(({ id, total }) => ({ kind: 'transfer', subject: id, expected: '0', found: total })),
      };
    },

    /** Purchases behind `after` that do not agree with their license or their money; `next` is null after the last. */
    async comparedAfter(
      ownerId: string,
      after: string,
      limit: number,
    ): Promise<{ next: string | null; purchases: number; found: Discrepancy[] }> {
      const facts = await purchaseFactsAfter(db, ownerId, after, limit);
      return {
        next: facts.length < limit ? null : facts.at(-1)!.id,
        purchases: facts.length,
        found: facts.flatMap(comparePurchase),
      };
    },

    /** Sales behind `after` of which there is no purchase; `next` is null after the last. */
    async unboughtAfter(
      ownerId: string,
      after: number,
      limit: number,
    ): Promise<{ next: number | null; sales: number; found: Discrepancy[] }> {
      const { rows } = await sql<{ seq: number; id: string; isBought: boolean }>`
        select t.seq, t.id, exists (select from purchases p where p.id = t.purchase_id and p.books_id = t.owner_id) as is_bought
        from ledger_transfers t where t.owner_id = ${ownerId} and t.kind = 'sale' and t.seq > ${after}
        order by t.seq limit ${limit}`.execute(db);
      return {
        next: rows.length < limit ? null : rows.at(-1)!.seq,
        sales: rows.length,
        found: rows
          .filter(({ isBought }) => !isBought)
          .map(({ id }) => ({ kind: 'purchase', subject: id, expected: 'one that is completed', found: 'none' })),
      };
    },

    /**
     * Keeps what a pass has found. The notice opens with the first pass that finds something and closes with the first that
     * finds nothing; each is told once, as an event. A second execution of the same pass changes nothing.
     */
    async store({ ownerId, period, discrepancies, found, ...counts }: Reconciliation): Promise<void> {
      await db.transaction().execute(async (tx) => {
        await takeLock(tx, 'reconciliation', ownerId);
        const stored = await tx
          .insertInto('ledgerReconciliations')
          .values({ ...counts, ownerId, period, discrepancies, found: JSON.stringify(found) })
          .onConflict((conflict) => conflict.columns(['ownerId', 'period']).doNothing())
          .returning('period')
          .executeTakeFirst();
        if (!stored) return;
        const key = `ledger_unbalanced:${ownerId}`;
        const open = await tx
          .selectFrom('notices')
          .select('id')
          .where('key', '=', key)
          .where('resolvedAt', 'is', null)
          .executeTakeFirst();
        const event = { ownerId, subject: period, data: { discrepancies } };
        if (discrepancies > 0) {
          await openNotice(tx, {
            id: newId('notice'),
            ownerId,
            kind: 'ledger_unbalanced',
            key,
            subject: 'ledger',
            title: `the ledger does not add up in ${discrepancies} ${discrepancies === 1 ? 'place' : 'places'}`,
            detail: found.slice(0, 5).map(told).join('; '),
            action: 'soulfra ledger reconcile',
          });
          if (!open) await appendEvents(tx, [{ ...event, type: 'ledger.unbalanced' }]);
        } else if (open) {
          await resolveNotice(tx, key);
          await appendEvents(tx, [{ ...event, type: 'ledger.balanced' }]);
        }
      });
    },
  };
}
export type ReconciliationStore = ReturnType<typeof createReconciliationStore>;

function told({ kind, subject, expected, found }: Discrepancy): string {
  return `${kind} of ${subject} is ${found}, not ${expected}`;
}
