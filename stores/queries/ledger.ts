import { sql } from 'kysely';
import type { AccountKind, TransferKind } from '../../domain/ledger.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

/**
 * Who runs the marketplace sees all of their books; a holder sees their own accounts, the transfers that touched them, and
 * of those their own sides alone.
 */
export interface LedgerAccountView {
  id: string;
  kind: AccountKind;
  /** A user, a provider, or empty for what the platform holds itself. */
  holder: string;
  currency: string;
  balance: number;
  /** Entries so far. */
  version: number;
  createdAt: string;
}

export interface LedgerTransferView {
  id: string;
  seq: number;
  kind: TransferKind;
  currency: string;
  purchaseId: string | null;
  reason: string;
  /** Of the sides that the caller may see: what came to accounts, and what left them. */
  credited: number;
  debited: number;
  at: string;
}

export interface LedgerTransferDetail extends LedgerTransferView {
  /** Null for who is not the owner of the books. */
  madeBy: string | null;
  entries: Array<{
    accountId: string;
    kind: AccountKind;
    holder: string;
    amount: number;
    /** Of the account with this entry. */
    balance: number;
    version: number;
  }>;
}

/** The first opened first. */
export async function listLedgerAccounts(
  db: Executor,
  page: PageRequest & { kind?: AccountKind | undefined; currency?: string | undefined },
): Promise<LedgerAccountView[]> {
  const { ownerId } = page;
  let query = db
    .selectFrom('ledgerAccounts')
    .select(['id', 'kind', 'holder', 'currency', 'balance', 'version', 'createdAt'])
    .where((eb) => eb.or([eb('ownerId', '=', ownerId), eb('userId', '=', ownerId)]));
  if (page.after !== undefined) query = query.where('id', '>', page.after);
  if (page.kind !== undefined) query = query.where('kind', '=', page.kind);
  if (page.currency !== undefined) query = query.where('currency', '=', page.currency);
  const rows = await query.orderBy('id').limit(page.limit).execute();
  return rows.map((row) => ({ ...row, kind: row.kind as AccountKind, createdAt: iso(row.createdAt) }));
}

export interface TransferFilters {
  kind?: TransferKind | undefined;
  purchaseId?: string | undefined;
  accountId?: string | undefined;
}

/** The last posted first; `after` is the `seq` of a transfer. */
export async function listLedgerTransfers(
  db: Executor,
  { ownerId, limit, after, kind, purchaseId, accountId }: PageRequest & TransferFilters,
): Promise<LedgerTransferView[]> {
  const wanted = sql`(${after ?? null}::bigint is null or t.seq < ${after ?? null}::bigint)
    and (${kind ?? null}::text is null or t.kind = ${kind ?? null})
    and (${purchaseId ?? null}::text is null or t.purchase_id = ${purchaseId ?? null})
    and (${accountId ?? null}::text is null or exists (select from ledger_entries e join ledger_accounts a on a.id = e.account_id
      where e.transfer_id = t.id and a.id = ${accountId ?? null} and (a.owner_id = ${ownerId} or a.user_id = ${ownerId})))`;
  const { rows } = await sql<TransferRow>`
    with page as (
      (select t.seq from ledger_transfers t where t.owner_id = ${ownerId} and ${wanted} order by t.seq desc limit ${limit})
      union
      (select t.seq from ledger_accounts own join ledger_entries s on s.account_id = own.id
        join ledger_transfers t on t.id = s.transfer_id
        where own.user_id = ${ownerId} and ${wanted} order by t.seq desc limit ${limit})
      order by seq desc limit ${limit}
    )
    ${transferColumns(ownerId)} where t.seq in (select seq from page) order by t.seq desc`.execute(db);
  return rows.map((row) => transferView(row));
}

export async function findLedgerTransfer(
  db: Executor,
  ownerId: string,
  id: string,
): Promise<LedgerTransferDetail | undefined> {
  const { rows } = await sql<TransferRow>`${transferColumns(ownerId)} where t.id = ${id} and sides.n > 0`.execute(db);
  const [row] = rows;
  if (!row) return undefined;
  const entries = await sql<LedgerTransferDetail['entries'][number]>`
    select e.account_id, a.kind, a.holder, e.amount, e.balance, e.version
    from ledger_entries e join ledger_accounts a on a.id = e.account_id
    where e.transfer_id = ${id} and (a.owner_id = ${ownerId} or a.user_id = ${ownerId}) order by e.ordinal`.execute(db);
  return { ...transferView(row), madeBy: row.madeBy, entries: entries.rows };
}

interface TransferRow extends Omit<LedgerTransferView, 'at'> {
  at: Date;
  madeBy: string | null;
}

function transferColumns(ownerId: string) {
  return sql`
    select t.id, t.seq, t.kind, t.currency, t.purchase_id, t.reason, t.at,
      case when t.owner_id = ${ownerId} then t.made_by end as made_by, sides.credited, sides.debited
    from ledger_transfers t cross join lateral (
      select count(*) as n, coalesce(sum(e.amount) filter (where e.amount > 0), 0)::bigint as credited,
        coalesce(-sum(e.amount) filter (where e.amount < 0), 0)::bigint as debited
      from ledger_entries e join ledger_accounts a on a.id = e.account_id
      where e.transfer_id = t.id and (a.owner_id = ${ownerId} or a.user_id = ${ownerId})
    ) sides`;
}

function transferView(row: TransferRow): LedgerTransferView {
  const { id, seq, kind, currency, purchaseId, reason, credited, debited } = row;
  return { id, seq, kind, currency, purchaseId, reason, credited, debited, at: iso(row.at) };
}
