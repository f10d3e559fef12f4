import { sql } from 'kysely';
import { onItsWay } from '../domain/claims.ts';
import { DomainError } from '../domain/errors.ts';
import { refundWorkflowId } from '../domain/ids.ts';
import { moneyText } from '../domain/money.ts';
import { paymentProviders, type PaymentProviderName, type RefundFacts, type RefundState } from '../domain/payments.ts';
import { refuseSpentLicense } from '../domain/purchases.ts';
import { leftOf, type SaleState } from '../domain/sale-state.ts';
import { settleClaim } from '../domain/settle-claim.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { tellRefunded, tellRefundFailed } from './claim-news.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { lockSale, postTransfers } from './ledger.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { cameToNothing, findPayment, type PaymentRow } from './payments.ts';
import { stuckKey, tellStuck } from './payment-notices.ts';
import { cameNow, claimsOf, followMoney, keepCovered, lockLicenseOf } from './sale-claims.ts';

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
  /** Hex; another request under the same id is refused. */
  requestHash?: string;
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
  const { refundId, purchaseId, reason, force, requestHash, madeBy } = asked;
  const payment = await findPayment(tx, { purchaseId });
  if (payment === undefined || payment.paymentId === null)
    throw new DomainError('NOT_FOUND', `nothing was paid through a provider for ${purchaseId}`);
  const { ownerId, buyerId, provider, paymentId } = payment;
  const sale = await lockSale(tx, ownerId, purchaseId);
  if (!sale) throw new DomainError('CONFLICT', `the sale of ${purchaseId} is not posted yet`);
  const known = await tx.selectFrom('refunds').selectAll().where('id', '=', refundId).executeTakeFirst();
  const { currency } = sale;
  if (known) {
    const isOther = requestHash !== undefined && known.requestHash?.toString('hex') !== requestHash;
    if (isOther || known.purchaseId !== purchaseId || (asked.amount !== undefined && asked.amount !== known.amount))
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
  const claims = await claimsOf(tx, purchaseId);
  const left = leftOf(sale) - onItsWay(sale, claims);
  // Where nothing is left any amount is refused, as what it is.
  const amount = asked.amount ?? Math.max(left, 1);
  const claim = { kind: 'refund', id: refundId, amount, currency, state: 'pending' } as const;
  const { license: standing } = settleClaim(sale, claims, claim, { userId: buyerId, reason });
  const license = await lockLicenseOf(tx, purchaseId);
  if (license && !force) refuseSpentLicense(license);
  await followMoney(tx, license, standing, { actor: refundId, reason: 'its price goes back' });
  await tx
    .insertInto('refunds')
    .values({
      id: refundId,
      ownerId,
      purchaseId,
      amount,
      currency,
      reason,
      forced: force,
      state: 'pending',
      requestHash: requestHash === undefined ? null : Buffer.from(requestHash, 'hex'),
      madeBy,
      madeAt: cameNow,
    })
    .execute();
  return { refundId, purchaseId, provider, paymentId, amount, currency, state: 'pending' };
}

export type RefundOutcome = RefundState | 'foreign' | 'nothing_taken' | 'contradicted';

/**
 * What the provider says of a refund now, also of one that somebody made there: posted once, the license with it.
 * @param again it was looked up after the last answer was `contradicted`
 * @returns `foreign` for one of a payment that is not ours; `nothing_taken` for one whose purchase came to nothing, as where an
 * authorisation is let go, which some versions of Stripe tell as a refund; `contradicted` where the provider has said before
 * that it failed: what is said now may be what was so earlier, and is to be looked up again
 * @throws UNAVAILABLE where its sale is not posted yet: it is about to be
 */
async function settleRefund(
  tx: DatabaseTransaction,
  provider: PaymentProviderName,
  facts: RefundFacts,
  again: boolean,
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
    await tx.updateTable('refunds').set({ providerRefundId }).where('id', '=', row.id).execute();
  if (row.state === 'failed' && facts.state === 'done') {
    if (row.providerRefundId !== null && !again) return 'contradicted';
    await tellDiffers(row.id, `${row.id} was given up, and ${provider} has made it all the same`);
    return done(sale);
  }
  if (row.state !== 'pending') {
    if (row.state === 'done' && facts.state === 'failed') await tellFailed(row.id);
    return row.state as RefundState;
  }
  if (facts.state === 'pending') return 'pending';
  if (facts.state === 'failed') {
    await endRefund(tx, payment, sale, { id: row.id, failure: facts.reason || 'the provider could not' });
    return 'failed';
  }
  return done(sale);

  /** Two of the provider under one id of ours are money twice: the second has a row of its own. */
  async function rowOf() {
    const of = () =>
      tx
        .selectFrom('refunds')
        .select(['id', 'state', 'amount', 'currency', 'reason', 'providerRefundId'])
        .where('purchaseId', '=', purchaseId);
    const find = () => of().where('providerRefundId', '=', providerRefundId).executeTakeFirst();
    const known = await find();
    if (known) return known;
    const asked = await of()
      .where('id', '=', facts.refundId ?? '')
      .executeTakeFirst();
    if (asked?.providerRefundId === null) return asked;
    if (asked && facts.state !== 'failed')
      await tellDiffers(providerRefundId, `${provider} was asked once for ${asked.id}, and has made it twice`);
    await tx
      .insertInto('refunds')
      .values({
        id: newId('refund'),
        ownerId,
        purchaseId,
        ...money,
        reason: facts.state === 'done' && facts.reason !== '' ? facts.reason : `made at ${provider}`,
        state: 'pending',
        providerRefundId,
        madeBy: provider,
        madeAt: cameNow,
      })
      .execute();
    return (await find())!;
  }

  async function done(before: SaleState): Promise<RefundOutcome> {
    await resolveNotice(tx, stuckKey(row.id));
    const { amount, currency } = row;
    const claim = { kind: 'refund', id: row.id, amount, currency, state: 'done' } as const;
    const by = { userId: buyerId, reason: row.reason };
    const settled = settleClaim(before, await claimsOf(tx, purchaseId), claim, by);
    await tx
      .updateTable('refunds')
      .set({ state: 'done', failure: '', endedAt: cameNow })
      .where('id', '=', row.id)
      .execute();
    await keepCovered(tx, settled.changed, { ownerId, purchaseId });
    const license = await lockLicenseOf(tx, purchaseId);
    await tellRefunded(tx, { purchaseId, refundId: row.id, money: { amount, currency }, reason: row.reason });
    await followMoney(tx, license, settled.license, { actor: row.id, reason: 'its price went back' });
    await postTransfers(tx, { ownerId, madeBy: provider }, settled.postings);
    return 'done';
  }

  async function tellDiffers(of: string, title: string): Promise<void> {
    await openNotice(tx, {
      id: newId('notice'),
      ownerId,
      kind: 'refund_differs',
      key: `refund_differs:${of}`,
      subject: purchaseId,
      title,
      detail: `${moneyText(money)}, ${providerRefundId} at ${provider}. It is booked as what it is: money that went back.`,
      action: 'See whether its buyer was to have it. Then: soulfra inbox done ID',
    });
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
  { purchaseId, ownerId, buyerId, provider }: PaymentRow,
  sale: SaleState,
  { id, failure }: { id: string; failure: string },
): Promise<void> {
  const claims = await claimsOf(tx, purchaseId);
  const pending = claims.find((each) => each.kind === 'refund' && each.id === id && each.state === 'pending');
  if (!pending) return;
  const { amount, currency } = pending;
  const told = { kind: 'refund', id, amount, currency, state: 'failed' } as const;
  const settled = settleClaim(sale, claims, told, { userId: buyerId, reason: failure });
  await tx
    .updateTable('refunds')
    .set({ state: 'failed', failure: failure.slice(0, 300), endedAt: cameNow })
    .where('id', '=', id)
    .execute();
  await resolveNotice(tx, stuckKey(id));
  await keepCovered(tx, settled.changed, { ownerId, purchaseId });
  const by = { actor: id, reason: 'its price did not go back' };
  await followMoney(tx, await lockLicenseOf(tx, purchaseId), settled.license, by);
  await tellRefundFailed(tx, { purchaseId, refundId: id, failure });
  await postTransfers(tx, { ownerId, madeBy: provider }, settled.postings);
}

export function createProviderRefundStore(db: Database) {
  return {
    open: (asked: AskedRefund) => db.transaction().execute((tx) => openRefund(tx, asked)),
    settle: (provider: PaymentProviderName, facts: RefundFacts, { again = false } = {}) =>
      db.transaction().execute((tx) => settleRefund(tx, provider, facts, again)),
    /** The provider will not make it. */
    async refuse({ refundId, failure }: { refundId: string; failure: string }): Promise<RefundState> {
      return db.transaction().execute(async (tx) => {
        const row = await tx.selectFrom('refunds').select('purchaseId').where('id', '=', refundId).executeTakeFirst();
        const payment = row && (await findPayment(tx, row));
        const sale = payment && (await lockSale(tx, payment.ownerId, payment.purchaseId));
        if (!sale) throw new DomainError('NOT_FOUND', `no refund ${refundId}`);
        await endRefund(tx, payment, sale, { id: refundId, failure });
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
          .selectFrom('refunds')
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
      const row = await db.selectFrom('refunds').select('ownerId').where('id', '=', refundId).executeTakeFirst();
      if (row) await tellStuck(db, { ownerId: row.ownerId, subject: refundId, reason });
    },
  };
}
export type ProviderRefundStore = ReturnType<typeof createProviderRefundStore>;

async function stateOf(db: Executor, refundId: string): Promise<RefundState> {
  const row = await db.selectFrom('refunds').select('state').where('id', '=', refundId).executeTakeFirstOrThrow();
  return row.state as RefundState;
}
