import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { Posting } from '../domain/ledger.ts';
import type { Money } from '../domain/money.ts';
import {
  followingState,
  type PaymentFacts,
  type PaymentProviderName,
  type PaymentState,
  type ProviderFee,
} from '../domain/payments.ts';
import { feeReturned, feeTaken } from '../domain/postings.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { lockSale, postTransfers } from './ledger.ts';

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
  fee: ProviderFee | null;
}

export interface NewPayment extends Pick<PaymentRow, 'purchaseId' | 'ownerId' | 'buyerId' | 'provider' | 'money'> {
  /** How long the buyer may take to pay. */
  payWithinSeconds: number;
}

/**
 * Writes down that a payment will be asked for, in the caller's transaction and before anybody is asked.
 * @throws CONFLICT where the purchase has another one
 */
async function addPayment(tx: Executor, payment: NewPayment): Promise<PaymentRow> {
  const { purchaseId, ownerId, buyerId, provider, money, payWithinSeconds } = payment;
  await tx
    .insertInto('payments')
    .values({
      purchaseId,
      ownerId,
      buyerId,
      provider,
      ...money,
      // Whole seconds, as providers tell time.
      expiresAt: sql<Date>`date_trunc('second', now()) + make_interval(secs => ${payWithinSeconds})`,
    })
    .onConflict((conflict) => conflict.column('purchaseId').doNothing())
    .execute();
  const row = await findPayment(tx, { purchaseId });
  if (!row) throw new DomainError('INTERNAL', `the payment of ${purchaseId} was added and is not there`);
  const same =
    row.ownerId === ownerId &&
    row.buyerId === buyerId &&
    row.provider === provider &&
    row.money.amount === money.amount &&
    row.money.currency === money.currency;
  if (!same) throw new DomainError('CONFLICT', `${purchaseId} has another payment already`);
  return row;
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
  const { feeId, feeAmount, feeCurrency } = row;
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
    add: (payment: NewPayment) => addPayment(db, payment),

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

    /** The provider's page for it, where there is none yet. */
    async noteCheckout(purchaseId: string, checkout: { checkoutId: string; url: string | null }): Promise<void> {
      await db
        .updateTable('payments')
        .set({ checkoutId: checkout.checkoutId, checkoutUrl: checkout.url, changedAt: sql<Date>`now()` })
        .where('purchaseId', '=', purchaseId)
        .where('checkoutId', 'is', null)
        .execute();
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
        await tx
          .updateTable('payments')
          .set({
            state: followingState(before.state, facts.state),
            checkoutId: before.checkoutId ?? facts.checkoutId,
            paymentId: before.paymentId ?? facts.paymentId,
            ...(facts.chargeId === null ? {} : { chargeId: facts.chargeId }),
            ...(fee === null ? {} : { feeId: fee.id, feeAmount: fee.money.amount, feeCurrency: fee.money.currency }),
            changedAt: sql<Date>`now()`,
          })
          .where('purchaseId', '=', purchaseId)
          .execute();
        const posting = sale && fee ? feePosting(before, fee) : undefined;
        if (posting) await postTransfers(tx, { ownerId, madeBy: provider }, [posting]);
        return findPayment(tx, { purchaseId });
      });
    },
  };
}
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
