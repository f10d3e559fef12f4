import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import pg from 'pg';
import { DomainError } from '../domain/errors.ts';
import { fieldError } from '../domain/field-errors.ts';
import {
  accountKey,
  type AccountKind,
  type AccountRef,
  mayOverdraw,
  type Posting,
  type TransferKind,
} from '../domain/ledger.ts';
import { moneyText } from '../domain/money.ts';
import { type SaleState, saleStateOf } from '../domain/sale-state.ts';
import type { DatabaseTransaction, Executor } from './database.ts';
import { newId } from './ids.ts';
import { takeLock } from './locks.ts';

export interface PostedBy {
  /** Whose books it is posted to: who runs the marketplace. */
  ownerId: string;
  /** A token or a workflow. */
  madeBy: string;
}

/**
 * Posts transfers in the caller's transaction. Who has several posts them in one call, as the last thing of the
 * transaction: locks are taken in one order here (transfers by id, new accounts by name, accounts by id), and an account is
 * locked until the commit.
 * @returns for each whether it was posted now; false where the same posting was there already
 * @throws CONFLICT where an id was posted before with other content or more leaves a purchase than came in, as where what was
 * held for it ends twice; BALANCE_TOO_LOW where an account holds too little
 */
export async function postTransfers(
  tx: DatabaseTransaction,
  by: PostedBy,
  postings: readonly Posting[],
): Promise<boolean[]> {
  const fresh = new Set<string>();
  for (const each of postings.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    if (await insertTransfer(tx, by, each)) fresh.add(each.id);
  }
  const unposted = postings.filter(({ id }) => fresh.has(id));
  if (unposted.length > 0) {
    const accounts = await lockAccounts(tx, by.ownerId, unposted);
    refuseOverdrawn(unposted, accounts);
    const rows = unposted.flatMap(({ id, currency, entries }) =>
      entries.map(({ account, amount }, i) => ({
        transferId: id,
        ordinal: i + 1,
        accountId: accounts.get(keyIn(currency, account))!.id,
        currency,
        amount,
      })),
    );
    for (const batch of batchesOf(rows)) await tx.insertInto('ledgerEntries').values(batch).execute();
    if (unposted.some(takesBack)) await refuseBeyondPurchase(tx);
  }
  return postings.map(({ id }) => fresh.has(id));
}

/** Whether it takes of what a purchase has brought to somebody: only such a posting can take too much of it. */
function takesBack({ purchaseId, entries }: Posting): boolean {
  const isPayer = ({ kind }: AccountRef) => kind === 'credits' || kind === 'outside';
  return purchaseId !== null && entries.some(({ account, amount }) => (isPayer(account) ? amount > 0 : amount < 0));
}

/**
 * What the database would say at the commit, now, while it can be told as what it is. A plain sale is spared it: accounts of
 * the platform are locked meanwhile, and every sale waits for them.
 */
async function refuseBeyondPurchase(tx: DatabaseTransaction): Promise<void> {
  try {
    await sql`set constraints ledger_transfers_add_up immediate`.execute(tx);
    await sql`set constraints ledger_transfers_add_up deferred`.execute(tx);
  } catch (err) {
    if (!(err instanceof pg.DatabaseError) || err.constraint !== 'ledger_transfers_within_purchase') throw err;
    throw new DomainError('CONFLICT', err.message, { cause: err });
  }
}

/** A statement has 65,535 parameters at most; a pool is shared out among any number. */
function batchesOf<Row>(rows: readonly Row[]): Row[][] {
  const most = 1_000;
  return Array.from({ length: Math.ceil(rows.length / most) }, (_, i) => rows.slice(i * most, (i + 1) * most));
}

async function insertTransfer(tx: DatabaseTransaction, { ownerId, madeBy }: PostedBy, each: Posting): Promise<boolean> {
  const { id, kind, currency, purchaseId, reason } = each;
  const contentHash = hashOf(ownerId, each);
  const row = await tx
    .insertInto('ledgerTransfers')
    .values({ id, ownerId, kind, currency, purchaseId, reason, madeBy, contentHash })
    // No index is named: an insert waits at the named one only, and of two at once the second would fail at (id, currency).
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst();
  if (row) return true;
  const known = await tx
    .selectFrom('ledgerTransfers')
    .select('contentHash')
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  if (!known.contentHash.equals(contentHash))
    throw new DomainError('CONFLICT', `${id} is posted already, with other content`);
  return false;
}

function hashOf(ownerId: string, { kind, currency, purchaseId, reason, entries }: Posting): Buffer {
  const sides = entries.map(({ account, amount }) => [accountKey(account), amount] as const);
  const content = [ownerId, kind, currency, purchaseId, reason, sides.toSorted(([a], [b]) => (a < b ? -1 : 1))];
  return createHash('sha256').update(JSON.stringify(content)).digest();
}

interface LockedAccount {
  id: string;
  kind: AccountKind;
  holder: string;
  currency: string;
  balance: number;
}

const keyIn = (currency: string, account: AccountRef) => `${currency}:${accountKey(account)}`;

/** Opens what is not there, then locks all. */
async function lockAccounts(
  tx: DatabaseTransaction,
  ownerId: string,
  postings: readonly Posting[],
): Promise<Map<string, LockedAccount>> {
  const named = new Map(
    postings.flatMap(({ currency, entries }) =>
      entries.map(({ account }) => [keyIn(currency, account), { ...account, currency }]),
    ),
  );
  const wanted = [...named].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, account]) => account);
  for (const batch of batchesOf(wanted)) {
    await tx
      .insertInto('ledgerAccounts')
      .values(batch.map((account) => ({ ...account, id: newId('ledgerAccount'), ownerId })))
      .onConflict((conflict) => conflict.columns(['ownerId', 'kind', 'holder', 'currency']).doNothing())
      .execute();
  }
  const column = (name: 'kind' | 'holder' | 'currency') => wanted.map((account) => account[name]);
  const { rows } = await sql<LockedAccount>`
    select id, kind, holder, currency, balance from ledger_accounts a
    where owner_id = ${ownerId} and (kind, holder, currency) in
      (select * from unnest(${column('kind')}::text[], ${column('holder')}::text[], ${column('currency')}::text[]))
    order by id for update of a`.execute(tx);
  return new Map(rows.map((row) => [keyIn(row.currency, row), row]));
}

/** The database refuses the same; here it can be told which account lacks how much. */
function refuseOverdrawn(postings: readonly Posting[], accounts: ReadonlyMap<string, LockedAccount>): void {
  const balances = new Map([...accounts].map(([key, { balance }]) => [key, balance]));
  for (const { kind, currency, entries } of postings) {
    for (const { account, amount } of entries) {
      const key = keyIn(currency, account);
      const before = balances.get(key)!;
      const after = before + amount;
      if (!Number.isSafeInteger(after)) {
        throw fieldError('amount', `must keep every balance within ${Number.MAX_SAFE_INTEGER}`, 'Move less at a time.');
      }
      if (after < 0 && amount < 0 && !mayOverdraw(kind, account.kind)) {
        const [has, takes] = [before, -amount].map((each) => moneyText({ amount: each, currency }));
        const whose = account.holder === '' ? '' : ` of ${account.holder}`;
        throw new DomainError('BALANCE_TOO_LOW', `${account.kind}${whose}: ${has} is less than ${takes}`);
      }
      balances.set(key, after);
    }
  }
}

/**
 * What the ledger knows of a purchase, under a lock that holds until the transaction ends: who refunds or disputes reads
 * it here, before anything else of the ledger, and decides by it.
 * @returns undefined before its sale is posted
 */
export async function lockSale(
  tx: DatabaseTransaction,
  ownerId: string,
  purchaseId: string,
): Promise<SaleState | undefined> {
  await takeLock(tx, 'sale', purchaseId);
  const postings = await readPostings(tx, sql`t.owner_id = ${ownerId} and t.purchase_id = ${purchaseId}`);
  return saleStateOf(purchaseId, postings);
}

/** All postings of these purchases, those of each in the order of posting. */
export async function postingsOf(db: Executor, ownerId: string, purchaseIds: readonly string[]): Promise<Posting[]> {
  return readPostings(db, sql`t.owner_id = ${ownerId} and t.purchase_id = any(${purchaseIds})`);
}

/** A stored transfer as it was posted. */
export async function findPosting(db: Executor, ownerId: string, id: string): Promise<Posting | undefined> {
  const [found] = await readPostings(db, sql`t.owner_id = ${ownerId} and t.id = ${id}`);
  return found;
}

async function readPostings(db: Executor, which: ReturnType<typeof sql>): Promise<Posting[]> {
  const { rows } = await sql<{
    id: string;
    kind: TransferKind;
    currency: string;
    purchaseId: string | null;
    reason: string;
    accountKind: AccountKind;
    holder: string;
    amount: number;
  }>`
    select t.id, t.kind, t.currency, t.purchase_id, t.reason, a.kind as account_kind, a.holder, e.amount
    from ledger_transfers t join ledger_entries e on e.transfer_id = t.id join ledger_accounts a on a.id = e.account_id
    where ${which} order by t.seq, e.ordinal`.execute(db);
  const byId = Map.groupBy(rows, ({ id }) => id);
  return [...byId.values()].map((entries) => {
    const { id, kind, currency, purchaseId, reason } = entries[0]!;
    return {
      id,
      kind,
      currency,
      purchaseId,
      reason,
      entries: entries.map(({ accountKind, holder, amount }) => ({ account: { kind: accountKind, holder }, amount })),
    };
  });
}

/** Minor units on an account; 0 where nothing was ever posted to it. */
export async function balanceOf(
  db: Executor,
  ownerId: string,
  { kind, holder }: AccountRef,
  currency: string,
): Promise<number> {
  const row = await db
    .selectFrom('ledgerAccounts')
    .select('balance')
    .where('ownerId', '=', ownerId)
    .where('kind', '=', kind)
    .where('holder', '=', holder)
    .where('currency', '=', currency)
    .executeTakeFirst();
  return row?.balance ?? 0;
}
