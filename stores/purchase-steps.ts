import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { accountOf } from '../domain/ledger.ts';
import { sold } from '../domain/postings.ts';
import { type Captured, isEndedPurchase, isUndone, undoneText } from '../domain/purchases.ts';
import type { SaleSplit } from '../domain/shares.ts';
import type { PurchaseState } from '../domain/states.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { newId } from './ids.ts';
import { findPosting, lockSale, postTransfers } from './ledger.ts';
import { activateLicense, revokeLicense } from './licenses.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { paymentFees } from './payments.ts';
import { firstOperator } from './principals.ts';
import { addPurchase, findOwn, freezeSale, issuePurchased, licenseIdOf } from './purchases.ts';
import { type NewPurchase, type PurchaseEnd, settleByCredits, tellOfPurchase } from './purchases.ts';
import { tellSold } from './sold-purchases.ts';

/** Of a purchase by a provider, as it stands while its row is locked. */
export interface PurchaseRow {
  id: string;
  ownerId: string;
  sellerId: string;
  booksId: string;
  listingId: string;
  title: string;
  licenseKind: string;
  contentHash: Buffer;
  payment: string;
  amount: number;
  currency: string;
  tax: number;
  split: SaleSplit;
  state: PurchaseState;
  /** Its undo has begun: what comes late does nothing. */
  undoing: boolean;
  licenseId: string | null;
}

/** Steps of a purchase, each one transaction and each safe to repeat; they run one after the other under the row's lock. */
export function createPurchaseStore(db: Database) {
  const locked = <T>(id: string, work: (tx: DatabaseTransaction, row: PurchaseRow) => Promise<T>) =>
    db.transaction().execute(async (tx) => work(tx, await lockPurchase(tx, id)));

  return {
    settleByCredits: (input: NewPurchase) => settleByCredits(db, input),

    /** Price, split and license kind frozen; what is not for sale is written down as canceled. */
    async open(input: NewPurchase): Promise<PurchaseEnd> {
      return db.transaction().execute(async (tx) => {
        const known = await findOwn(tx, input);
        if (known) return known;
        const frozen = await freezeSale(tx, input);
        const standing =
          frozen.refused === undefined
            ? ({ state: 'pending', code: '', reason: '' } as const)
            : ({ state: 'canceled', code: frozen.refused.code, reason: frozen.refused.message } as const);
        return (await addPurchase(tx, input, frozen, standing)).end;
      });
    },

    /** What a step that leaves the database needs to know. */
    async find(id: string): Promise<PurchaseRow> {
      return db.transaction().execute((tx) => lockPurchase(tx, id));
    },

    /** @returns false where it has ended meanwhile: what was set aside must be given back */
    async authorized(id: string): Promise<boolean> {
      return locked(id, async (tx, row) => {
        if (isUndone(row)) return false;
        if (row.state === 'pending') await move(tx, row, 'authorized');
        return true;
      });
    },

    /** @throws CONFLICT where it has ended or is undone: an attempt that came late issues nothing */
    async issuePending(id: string): Promise<void> {
      await locked(id, async (tx, row) => {
        refuseUndone(row);
        if (row.state !== 'authorized') {
          if (row.licenseId !== null && !isEndedPurchase(row)) return;
          throw new DomainError('CONFLICT', `${id} is ${row.state}`);
        }
        if (row.licenseId !== null) return;
        await tx
          .updateTable('purchases')
          .set({ licenseId: licenseIdOf(id) })
          .where('id', '=', id)
          .execute();
        await issuePurchased(tx, { purchaseId: id, ownerId: row.ownerId, licenseKind: row.licenseKind }, row);
      });
    },

    /** Before anything is undone: from here on every step of the purchase finds that it is too late. */
    async beginUndo(id: string): Promise<void> {
      await locked(id, async (tx, row) => {
        if (isUndone(row)) return;
        refusePastPivot(row);
        await tx.updateTable('purchases').set({ undoingAt: sql<Date>`now()` }).where('id', '=', id).execute();
      });
    },

    /** Takes the license back that was pending; without one there is nothing to do. */
    async dropLicense(id: string): Promise<void> {
      await locked(id, async (tx, row) => {
        refusePastPivot(row);
        if (row.licenseId === null) return;
        await revokeLicense(tx, { id: row.licenseId, by: { actor: id, reason: 'its purchase came to nothing' } });
      });
    },

    /** The money is taken: from here on it only goes forward. */
    async captured(id: string, { reference }: Captured): Promise<void> {
      await locked(id, async (tx, row) => {
        if (row.state === 'captured' || row.state === 'completed') return;
        refuseUndone(row);
        if (row.state !== 'authorized') throw new DomainError('CONFLICT', `${id} is ${row.state}`);
        await tx.updateTable('purchases').set({ paymentReference: reference }).where('id', '=', id).execute();
        await move(tx, row, 'captured');
      });
    },

    /** License active, money split, purchase completed: one transaction. */
    async complete(id: string): Promise<PurchaseEnd> {
      return locked(id, async (tx, row) => {
        const { state, licenseId, booksId, payment, currency, split } = row;
        if (state === 'completed') return { purchaseId: id, state, licenseId };
        if (state !== 'captured' || licenseId === null) throw new DomainError('CONFLICT', `${id} is ${state}`);
        // Who is told the provider's fee holds the same lock, so that one of us two sees both sale and fee.
        await lockSale(tx, booksId, id);
        await activateLicense(tx, { id: licenseId, by: { actor: id, reason: 'its purchase is completed' } });
        const endedAt = await move(tx, row, 'completed');
        await tellSold(tx, {
          ...row,
          buyerId: row.ownerId,
          licenseId,
          price: { amount: row.amount, currency },
          paidAt: endedAt!,
        });
        const held = await findPosting(tx, booksId, `hold:${id}`);
        const from = held ? accountOf.escrow(row.ownerId) : accountOf.outside(payment);
        const postings = [sold({ purchaseId: id, currency, from, split })!, ...(await paymentFees(tx, id))];
        await postTransfers(tx, { ownerId: booksId, madeBy: id }, postings);
        return { purchaseId: id, state: 'completed', licenseId };
      });
    },

    /** After all was undone. What has ended stays as it is. */
    async end(id: string, to: 'canceled' | 'failed', { code, reason }: { code: string; reason: string }) {
      return locked(id, async (tx, row): Promise<PurchaseEnd> => {
        const { state, licenseId } = row;
        if (isEndedPurchase(row)) return { purchaseId: id, state, licenseId };
        refusePastPivot(row);
        await tx
          .updateTable('purchases')
          .set({ state: to, reasonCode: code, reason: reason.slice(0, 1_000), endedAt: sql<Date>`now()` })
          .where('id', '=', id)
          .execute();
        await tellOfPurchase(tx, row, to, { code, reason });
        return { purchaseId: id, state: to, licenseId };
      });
    },

    /** A step that does not come through is told to who runs the marketplace, and goes on being tried. */
    async tellStuck(id: string, step: string, reason: string): Promise<void> {
      const row = await db.selectFrom('purchases').select('booksId').where('id', '=', id).executeTakeFirst();
      const ownerId = row?.booksId ?? (await firstOperator(db));
      if (ownerId === undefined) throw new DomainError('INTERNAL', 'there is no operator to tell');
      await openNotice(db, {
        id: newId('notice'),
        ownerId,
        kind: 'purchase_stuck',
        key: stuckKey(id),
        subject: id,
        title: `a purchase is stuck at ${step}`,
        detail: reason.slice(0, 1_000),
        action: `soulfra purchases show ${id}`,
      });
    },

    async tellUnstuck(id: string): Promise<void> {
      await resolveNotice(db, stuckKey(id));
    },
  };
}
export type PurchaseStore = ReturnType<typeof createPurchaseStore>;

const stuckKey = (id: string) => `purchase_stuck:${id}`;

/** @returns when it ended, where it has */
async function move(tx: DatabaseTransaction, row: PurchaseRow, to: PurchaseState): Promise<Date | null> {
  const endedAt = isEndedPurchase({ state: to }) ? sql<Date>`now()` : null;
  const moved = await tx
    .updateTable('purchases')
    .set({ state: to, endedAt })
    .where('id', '=', row.id)
    .returning('endedAt')
    .executeTakeFirstOrThrow();
  await tellOfPurchase(tx, row, to, {});
  return moved.endedAt;
}

function refuseUndone(row: PurchaseRow): void {
  if (isUndone(row)) throw new DomainError('CONFLICT', `${row.id} is ${undoneText(row)}`);
}

function refusePastPivot({ id, state }: PurchaseRow): void {
  if (state === 'captured' || state === 'completed')
    throw new DomainError('CONFLICT', `the money of ${id} is taken: it is not undone but refunded`);
}

/** Waits for the row and holds it until the transaction ends. @throws NOT_FOUND */
export async function lockPurchase(tx: DatabaseTransaction, id: string): Promise<PurchaseRow> {
  const row = await tx
    .selectFrom('purchases')
    .select(['id', 'ownerId', 'sellerId', 'booksId', 'licenseKind', 'contentHash', 'payment', 'amount', 'currency'])
    .select(['split', 'state', 'licenseId', 'listingId', 'title', 'tax', 'undoingAt'])
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no purchase ${id}`);
  const { undoingAt, ...rest } = row;
  // Written by us from what was computed.
  return {
    ...rest,
    undoing: undoingAt !== null,
    split: row.split as unknown as SaleSplit,
    state: row.state as PurchaseState,
  };
}
