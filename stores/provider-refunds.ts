import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { refundWorkflowId } from '../domain/ids.ts';
import { moneyText, requireAmount } from '../domain/money.ts';
import {
  paymentProviders,
  type PaymentProviderName,
  refundCause,
  type RefundFacts,
  type RefundState,
} from '../domain/payments.ts';
import { refunded } from '../domain/postings.ts';
import { refuseSpentLicense } from '../domain/purchases.ts';
import { leftOf, type SaleState } from '../domain/sale-state.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { lockSale, postTransfers } from './ledger.ts';
import { type LicenseRow, lockLicense, databaseNow } from './license-rows.ts';
import { reinstateLicense, revokeLicense, suspendLicense } from './licenses.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { cameToNothing, findPayment } from './payments.ts';
import { stuckKey, tellBeyond, tellStuck } from './payment-notices.ts';

/** Asked for anew at a time: the next hour takes more. */
const mostResumed = 500;

export interface AskedRefund {
  /** Made before it, so that a repeated request means the same refund. */
  refundId: string;
  purchaseId: string;
  /** Minor units. @default all that is left */
  amount?: number | undefined;
  reason: string;
  /** Also where the license was used or passed on. */
  force: boolean;
  madeBy: string;
}

/** A refund that is to be made at the provider. */
export interface OpenedRefund {
  refundId: string;
  purchaseId: string;
  provider: PaymentProviderName;
  paymentId: string;
  amount: number;
  currency: string;
  state: RefundState;
}

/**
 * Reserves what goes back, before the provider is asked. Where nothing is left of the sale after it, the license permits
 * nothing from here on: it could be used up while the money is on its way.
 * @throws NOT_FOUND before the sale is posted · CONFLICT where more is asked for than is left, or the license was spent
 */
export async function openRefund(tx: DatabaseTransaction, asked: AskedRefund): Promise<OpenedRefund> {
  const { refundId, purchaseId, reason, force, madeBy } = asked;
  const payment = await findPayment(tx, { purchaseId });
  if (payment === undefined || payment.paymentId === null)
    throw new DomainError('NOT_FOUND', `nothing was paid through a provider for ${purchaseId}`);
  const { ownerId, provider, paymentId } = payment;
  const sale = await lockSale(tx, ownerId, purchaseId);
  if (!sale) throw new DomainError('CONFLICT', `the sale of ${purchaseId} is not posted yet`);
  const known = await tx.selectFrom('providerRefunds').selectAll().where('id', '=', refundId).executeTakeFirst();
  const { currency } = sale;
  if (known) {
    if (known.purchaseId !== purchaseId || (asked.amount !== undefined && asked.amount !== known.amount))
      throw new DomainError('CONFLICT', `${refundId} was asked for before with other content`);
    return {
      refundId,
      purchaseId,
      provider,
      paymentId,
      amount: known.amount,
      currency,
      state: known.state as RefundState,
    };
  }
  const left = leftOf(sale) - (await pendingOf(tx, purchaseId));
  const amount = asked.amount ?? left;
  if (left === 0) throw new DomainError('CONFLICT', `nothing is left of ${purchaseId} to be refunded`);
  requireAmount(amount, 1);
  if (amount > left) {
    const [more, most] = [amount, left].map((each) => moneyText({ amount: each, currency }));
    throw new DomainError('CONFLICT', `${more} is more than the ${most} that is left of ${purchaseId}`);
  }
  if (amount === left) {
    const license = await lockLicenseOf(tx, purchaseId);
    if (license) {
      if (!force) refuseSpentLicense(license);
      const by = { actor: refundId, reason: 'its price goes back' };
      await suspendLicense(tx, { id: license.id, cause: refundCause(refundId), by });
    }
  }
  await tx
    .insertInto('providerRefunds')
    .values({ id: refundId, ownerId, purchaseId, amount, currency, reason, state: 'pending', madeBy })
    .execute();
  return { refundId, purchaseId, provider, paymentId, amount, currency, state: 'pending' };
}

/** What is on its way back and not posted yet. */
export async function pendingOf(tx: Executor, purchaseId: string, but?: string): Promise<number> {
  const row = await tx
    .selectFrom('providerRefunds')
    .select(sql<number>`coalesce(sum(amount), 0)::bigint`.as('pending'))
    .where('purchaseId', '=', purchaseId)
    .where('state', '=', 'pending')
    .where('id', '<>', but ?? '')
    .executeTakeFirstOrThrow();
  return row.pending;
}

export async function lockLicenseOf(tx: DatabaseTransaction, purchaseId: string): Promise<LicenseRow | undefined> {
  const row = await tx.selectFrom('licenses').select('id').where('purchaseId', '=', purchaseId).executeTakeFirst();
  return row && lockLicense(tx, row.id, null, databaseNow);
}

export type RefundOutcome = RefundState | 'foreign' | 'nothing_taken';

/**
 * What the provider says of a refund now, also of one that somebody made there: posted once, the license with it.
 * @returns `foreign` for one of a payment that is not ours; `nothing_taken` for one whose purchase came to nothing, as where an
 * authorisation is let go, which some versions of Stripe tell as a refund
 * @throws UNAVAILABLE where its sale is not posted yet: it is about to be
 */
async function settleRefund(
  tx: DatabaseTransaction,
  provider: PaymentProviderName,
  facts: RefundFacts,
): Promise<RefundOutcome> {
  const { paymentId, providerRefundId, money } = facts;
  const payment = paymentId === null ? undefined : await findPayment(tx, { provider, paymentId });
  if (!payment) return 'foreign';
  const { purchaseId, ownerId, buyerId } = payment;
  const sale = await lockSale(tx, ownerId, purchaseId);
  if (!sale) {
    if (await cameToNothing(tx, payment)) {
      // It was captured, and does not come back to its buyer.
      if (payment.state === 'captured' && facts.state === 'failed') await tellFailed(providerRefundId);
      return 'nothing_taken';
    }
    throw new DomainError('UNAVAILABLE', `the sale of ${purchaseId} is not posted yet`);
  }
  const row = await rowOf();
  if (row.providerRefundId === null)
    await tx.updateTable('providerRefunds').set({ providerRefundId }).where('id', '=', row.id).execute();
  if (row.state !== 'pending') {
    if (row.state === 'done' && facts.state === 'failed') await tellFailed(row.id);
    return row.state as RefundState;
  }
  if (facts.state === 'pending') return 'pending';
  if (facts.state === 'failed') {
    await endRefund(tx, { refundId: row.id, purchaseId, ownerId, failure: facts.reason || 'the provider could not' });
    return 'failed';
  }
  return done(sale);

  async function rowOf() {
    const find = () =>
      tx
        .selectFrom('providerRefunds')
        .select(['id', 'state', 'amount', 'reason', 'providerRefundId'])
        .where('purchaseId', '=', purchaseId)
        .where((eb) => eb.or([eb('providerRefundId', '=', providerRefundId), eb('id', '=', facts.refundId ?? '')]))
        .executeTakeFirst();
    const known = await find();
    if (known) return known;
    await tx
      .insertInto('providerRefunds')
      .values({
        id: newId('refund'),
        ownerId,
        purchaseId,
        ...money,
        reason: `made at ${provider}`,
        state: 'pending',
        providerRefundId,
        madeBy: provider,
      })
      .execute();
    return (await find())!;
  }

  async function done(before: SaleState): Promise<RefundOutcome> {
    await resolveNotice(tx, stuckKey(row.id));
    // What others have reserved stays theirs: their money is on its way too.
    const left = leftOf(before) - (await pendingOf(tx, purchaseId, row.id));
    const amount = Math.min(row.amount, Math.max(0, left));
    await tx
      .updateTable('providerRefunds')
      .set({ state: 'done', posted: amount, endedAt: sql<Date>`now()` })
      .where('id', '=', row.id)
      .execute();
    const license = await lockLicenseOf(tx, purchaseId);
    if (license) {
      const by = { actor: row.id, reason: 'its price went back' };
      if (leftOf(before) === amount) await revokeLicense(tx, { id: license.id, by });
      else await reinstateLicense(tx, { id: license.id, cause: refundCause(row.id), by });
    }
    const data = { refundId: row.id, amount: row.amount, currency: money.currency };
    await appendEvents(
      tx,
      [...new Set([ownerId, buyerId])].map((each) => ({
        ownerId: each,
        type: 'purchase.refunded',
        subject: purchaseId,
        data,
      })),
    );
    await tellBeyond(tx, { ownerId, purchaseId, what: row.id, money: { ...money, amount: row.amount - amount } });
    if (amount > 0) {
      const posting = refunded(before, { refundId: row.id, amount, reason: row.reason });
      await postTransfers(tx, { ownerId, madeBy: provider }, [posting]);
    }
    return 'done';
  }

  /** It was said to have arrived, and was posted so. */
  async function tellFailed(refundId: string): Promise<void> {
    await openNotice(tx, {
      id: newId('notice'),
      ownerId,
      kind: 'refund_failed',
      key: `refund_failed:${refundId}`,
      subject: purchaseId,
      title: `the refund of ${moneyText(money)} for ${purchaseId} came back to ${provider}`,
      detail: facts.reason,
      action: 'Pay the buyer in another way: the books say that the money went back. Then: soulfra inbox done ID',
    });
  }
}

/** It came to nothing: what was reserved is free again, and the license goes on where it was. */
async function endRefund(
  tx: DatabaseTransaction,
  {
    refundId,
    purchaseId,
    ownerId,
    failure,
  }: { refundId: string; purchaseId: string; ownerId: string; failure: string },
): Promise<void> {
  const ended = await tx
    .updateTable('providerRefunds')
    .set({ state: 'failed', failure: failure.slice(0, 300), endedAt: sql<Date>`now()` })
    .where('id', '=', refundId)
    .where('state', '=', 'pending')
    .returning('id')
    .executeTakeFirst();
  if (!ended) return;
  await resolveNotice(tx, stuckKey(refundId));
  const license = await lockLicenseOf(tx, purchaseId);
  const by = { actor: refundId, reason: 'its price did not go back' };
  if (license) await reinstateLicense(tx, { id: license.id, cause: refundCause(refundId), by });
  await appendEvents(tx, [
    { ownerId, type: 'purchase.refund_failed', subject: purchaseId, data: { refundId, failure } },
  ]);
}

export function createProviderRefundStore(db: Database) {
  return {
    open: (asked: AskedRefund) => db.transaction().execute((tx) => openRefund(tx, asked)),
    settle: (provider: PaymentProviderName, facts: RefundFacts) =>
      db.transaction().execute((tx) => settleRefund(tx, provider, facts)),
    /** The provider will not make it. */
    async refuse({ refundId, failure }: { refundId: string; failure: string }): Promise<RefundState> {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .selectFrom('providerRefunds')
          .select(['purchaseId', 'ownerId'])
          .where('id', '=', refundId)
          .executeTakeFirst();
        if (!row) throw new DomainError('NOT_FOUND', `no refund ${refundId}`);
        await lockSale(tx, row.ownerId, row.purchaseId);
        await endRefund(tx, { refundId, ...row, failure });
        return stateOf(tx, refundId);
      });
    },
    /**
     * Asks anew for refunds that were asked for here more than an hour ago and have not ended: one whose workflow still runs is
     * not started again.
     */
    async resume(): Promise<number> {
      return db.transaction().execute(async (tx) => {
        const rows = await tx
          .selectFrom('providerRefunds')
          .select(['id', 'purchaseId', 'amount', 'reason', 'madeBy'])
          .where('state', '=', 'pending')
          .where('madeBy', 'not in', paymentProviders)
          .where('madeAt', '<', sql<Date>`now() - interval '1 hour'`)
          .orderBy(sql`random()`)
          .limit(mostResumed)
          .execute();
        for (const { id: refundId, ...asked } of rows) {
          const args = [{ ...asked, refundId, force: false } satisfies AskedRefund];
          await insertIntent(tx, { workflowId: refundWorkflowId(refundId), type: 'settleRefund', args });
        }
        return rows.length;
      });
    },
    /** It does not get done: somebody is told. */
    async stuck(refundId: string, reason: string): Promise<void> {
      const row = await db
        .selectFrom('providerRefunds')
        .select('ownerId')
        .where('id', '=', refundId)
        .executeTakeFirst();
      if (row) await tellStuck(db, { ownerId: row.ownerId, subject: refundId, reason });
    },
  };
}
export type ProviderRefundStore = ReturnType<typeof createProviderRefundStore>;

/** Undefined before it is opened. */
export async function refundState(db: Executor, refundId: string): Promise<RefundState | undefined> {
  const row = await db.selectFrom('providerRefunds').select('state').where('id', '=', refundId).executeTakeFirst();
  return row?.state as RefundState | undefined;
}

async function stateOf(db: Executor, refundId: string): Promise<RefundState> {
  const row = await db
    .selectFrom('providerRefunds')
    .select('state')
    .where('id', '=', refundId)
    .executeTakeFirstOrThrow();
  return row.state as RefundState;
}
