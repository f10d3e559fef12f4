import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { accountOf, type Posting } from '../domain/ledger.ts';
import { isSameMoney, type Money } from '../domain/money.ts';
import {
  followingState,
  type PaymentFacts,
  type PaymentProviderName,
  type PaymentState,
  type ProviderFee,
} from '../domain/payments.ts';
import { isUndone } from '../domain/purchases.ts';
import type { PurchaseState } from '../domain/states.ts';
import { feeReturned, feeTaken, moneyHeld, moneyReleased } from '../domain/postings.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { findPosting, lockSale, postTransfers } from './ledger.ts';
import { tellOther } from './payment-notices.ts';

export interface PaymentRow {
  purchaseId: string;
  /** Whose books its money goes through. */
  ownerId: string;
  buyerId: string;
  provider: PaymentProviderName;
  money: Money;
  state: PaymentState;
  /** Milliseconds since 1970; nobody can pay after it. */
  expiresAt: number;
  checkoutId: string | null;
  checkoutUrl: string | null;
  paymentId: string | null;
  /** Where the provider sends the buyer back to. */
  returnUrl: string;
  /** What the provider says that it holds, or has taken. */
  received: Money | null;
  fee: ProviderFee | null;
}

export interface NewPayment
  extends Pick<PaymentRow, 'purchaseId' | 'ownerId' | 'buyerId' | 'provider' | 'money' | 'returnUrl'> {
  /** How long the buyer may take to pay. */
  payWithinSeconds: number;
}

/**
 * Writes down what will be asked for, before anybody is asked; a later request is for what the first one wrote.
 * @throws CONFLICT where the purchase has another one, or is undone: its row is held, so that either the undo finds the
 * payment or the payment finds the undo
 */
async function addPayment(tx: Executor, payment: NewPayment): Promise<PaymentRow> {
  const { purchaseId, ownerId, buyerId, provider, money, returnUrl, payWithinSeconds } = payment;
  if (await isPurchaseUndone(tx, purchaseId, 'for share'))
    throw new DomainError('CONFLICT', `${purchaseId} is undone: nothing more is asked for it`);
  await tx
    .insertInto('payments')
    .values({
      purchaseId,
      ownerId,
      buyerId,
      provider,
      ...money,
      returnUrl,
      // Whole seconds, as providers tell time.
      expiresAt: sql<Date>`date_trunc('second', now()) + make_interval(secs => ${payWithinSeconds})`,
    })
    .onConflict((conflict) => conflict.column('purchaseId').doNothing())
    .execute();
  const row = await findPayment(tx, { purchaseId });
  if (!row) throw new DomainError('INTERNAL', `the payment of ${purchaseId} was added and is not there`);
  const same =
    row.ownerId === ownerId && row.buyerId === buyerId && row.provider === provider && isSameMoney(row.money, money);
  if (!same) throw new DomainError('CONFLICT', `${purchaseId} has another payment already`);
  return row;
}

async function isPurchaseUndone(tx: Executor, id: string, lock?: 'for share'): Promise<boolean> {
  const query = tx.selectFrom('purchases').select(['state', 'undoingAt']).where('id', '=', id);
  const row = await (lock === undefined ? query : query.forShare()).executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no purchase ${id}`);
  return isUndone({ state: row.state as PurchaseState, undoing: row.undoingAt !== null });
}

/** Whether no sale will ever be posted for a payment: what its provider gives back of it is no refund of ours. */
export async function cameToNothing(
  tx: Executor,
  { purchaseId, state }: Pick<PaymentRow, 'purchaseId' | 'state'>,
): Promise<boolean> {
  return state === 'canceled' || (await isPurchaseUndone(tx, purchaseId));
}

export async function findPayment(
  db: Executor,
  by: { purchaseId: string } | { provider: PaymentProviderName; paymentId: string },
): Promise<PaymentRow | undefined> {
  let query = db.selectFrom('payments').selectAll();
  if ('purchaseId' in by) query = query.where('purchaseId', '=', by.purchaseId);
  else query = query.where('provider', '=', by.provider).where('paymentId', '=', by.paymentId);
  const row = await query.executeTakeFirst();
  if (!row) return undefined;
  const { feeId, feeAmount, feeCurrency, receivedAmount, receivedCurrency } = row;
  return {
    purchaseId: row.purchaseId,
    ownerId: row.ownerId,
    buyerId: row.buyerId,
    provider: row.provider as PaymentProviderName,
    money: { amount: row.amount, currency: row.currency },
    state: row.state as PaymentState,
    expiresAt: row.expiresAt.getTime(),
    checkoutId: row.checkoutId,
    checkoutUrl: row.checkoutUrl,
    paymentId: row.paymentId,
    returnUrl: row.returnUrl,
    received:
      receivedAmount === null || receivedCurrency === null
        ? null
        : { amount: receivedAmount, currency: receivedCurrency },
    fee:
      feeId === null || feeAmount === null || feeCurrency === null
        ? null
        : { id: feeId, money: { amount: feeAmount, currency: feeCurrency } },
  };
}

/** @returns undefined where nothing was kept or given back */
export function feePosting(
  { purchaseId, provider }: Pick<PaymentRow, 'purchaseId' | 'provider'>,
  { id: feeId, money: { amount, currency } }: ProviderFee,
): Posting | undefined {
  if (amount === 0) return undefined;
  const fee = { feeId, purchaseId, provider, money: { amount: Math.abs(amount), currency } };
  return amount > 0 ? feeTaken(fee) : feeReturned(fee);
}

/**
 * What the provider is known to have kept of a purchase's payment, for who posts its sale: in the same transaction, after
 * `lockSale`. A fee that is told later is posted when it is told.
 */
export async function paymentFees(tx: DatabaseTransaction, purchaseId: string): Promise<Posting[]> {
  const payment = await findPayment(tx, { purchaseId });
  const fee = payment?.fee ? feePosting(payment, payment.fee) : undefined;
  return fee === undefined ? [] : [fee];
}

export function createPaymentStore(db: Database) {
  return {
    find: (purchaseId: string) => findPayment(db, { purchaseId }),
    add: (payment: NewPayment) => db.transaction().execute((tx) => addPayment(tx, payment)),

    async isKnown(provider: PaymentProviderName, paymentId: string): Promise<boolean> {
      return (await findPayment(db, { provider, paymentId })) !== undefined;
    },

    /** What is bought, as its listing called it. */
    async titleOf(purchaseId: string): Promise<string> {
      const row = await db.selectFrom('purchases').select('title').where('id', '=', purchaseId).executeTakeFirst();
      if (!row) throw new DomainError('NOT_FOUND', `no purchase ${purchaseId}`);
      return row.title;
    },

    /** Ends a payment that has no page yet, so that an attempt that is late opens none. @returns the row as it is then */
    async cancelUnopened(purchaseId: string): Promise<PaymentRow | undefined> {
      await db
        .updateTable('payments')
        .set({ state: 'canceled', changedAt: sql<Date>`now()` })
        .where('purchaseId', '=', purchaseId)
        .where('checkoutId', 'is', null)
        .where('state', '=', 'opened')
        .execute();
      return findPayment(db, { purchaseId });
    },

    /** The provider's page for it, where there is none yet. @returns the row as it is then */
    async noteCheckout(purchaseId: string, checkout: { checkoutId: string; url: string | null }): Promise<PaymentRow> {
      await db
        .updateTable('payments')
        .set({ checkoutId: checkout.checkoutId, checkoutUrl: checkout.url, changedAt: sql<Date>`now()` })
        .where('purchaseId', '=', purchaseId)
        .where('checkoutId', 'is', null)
        .execute();
      return (await findPayment(db, { purchaseId }))!;
    },

    /** What was held goes back to where it came from; the provider keeps its fee all the same. */
    async release(purchaseId: string): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const payment = await findPayment(tx, { purchaseId });
        if (!payment) throw new DomainError('NOT_FOUND', `no payment of ${purchaseId}`);
        const { ownerId, provider, received, fee } = payment;
        await lockSale(tx, ownerId, purchaseId);
        if (!received || !(await findPosting(tx, ownerId, `hold:${purchaseId}`))) return;
        const released = moneyReleased(heldOf(payment, received), accountOf.outside(provider));
        const kept = fee ? feePosting(payment, fee) : undefined;
        await postTransfers(tx, { ownerId, madeBy: purchaseId }, kept === undefined ? [released] : [released, kept]);
      });
    },

    /**
     * What the provider says of a payment now. It never goes back to what it was before, and a fee is posted once the sale is.
     * @returns undefined where the payment is none of ours
     */
    async note(provider: PaymentProviderName, facts: PaymentFacts): Promise<PaymentRow | undefined> {
      return db.transaction().execute(async (tx) => {
        const known = await ownOf(tx, provider, facts);
        if (!known) return undefined;
        const { purchaseId, ownerId } = known;
        // Who posts the sale holds the same lock, so that one of us two sees both sale and fee.
        const sale = await lockSale(tx, ownerId, purchaseId);
        const before = (await findPayment(tx, { purchaseId }))!;
        const fee = before.fee ?? facts.fee;
        const received = facts.received ?? before.received;
        await tx
          .updateTable('payments')
          .set({
            state: followingState(before.state, facts.state),
            checkoutId: before.checkoutId ?? facts.checkoutId,
            paymentId: before.paymentId ?? facts.paymentId,
            ...(received === null ? {} : { receivedAmount: received.amount, receivedCurrency: received.currency }),
            ...(fee === null ? {} : { feeId: fee.id, feeAmount: fee.money.amount, feeCurrency: fee.money.currency }),
            changedAt: sql<Date>`now()`,
          })
          .where('purchaseId', '=', purchaseId)
          .execute();
        const isNews = received !== null && (before.received === null || !isSameMoney(before.received, received));
        if (isNews && !isSameMoney(received, before.money)) await tellOther(tx, before, received);
        const postings: Posting[] = [];
        // Taken, and not split yet: it is held for its buyer until the sale is posted, or it goes back.
        if (!sale && facts.state === 'captured' && facts.received && facts.received.amount > 0)
          postings.push(moneyHeld(heldOf(before, facts.received), accountOf.outside(provider)));
        const ended = sale !== undefined || (await findPosting(tx, ownerId, releaseId(purchaseId))) !== undefined;
        const posting = ended && fee ? feePosting(before, fee) : undefined;
        if (posting) postings.push(posting);
        await postTransfers(tx, { ownerId, madeBy: provider }, postings);
        return findPayment(tx, { purchaseId });
      });
    },
  };
}
const releaseId = (purchaseId: string) => `hold:${purchaseId}:ended`;
const heldOf = ({ purchaseId, buyerId: userId }: PaymentRow, money: Money) => ({ purchaseId, userId, money });
export type PaymentStore = ReturnType<typeof createPaymentStore>;

/** By what we wrote into the provider's object; where that names another payment than the row has, it is none of ours. */
async function ownOf(
  tx: Executor,
  provider: PaymentProviderName,
  facts: PaymentFacts,
): Promise<PaymentRow | undefined> {
  const { purchaseId, paymentId } = facts;
  const row = purchaseId === null ? undefined : await findPayment(tx, { purchaseId });
  if (row?.provider !== provider) return undefined;
  if (row.paymentId !== null && paymentId !== null && row.paymentId !== paymentId) return undefined;
  if (row.checkoutId !== null && facts.checkoutId !== null && row.checkoutId !== facts.checkoutId) return undefined;
  return row;
}
