import { purchaseWorkflowId } from '../../domain/ids.ts';
import type { PaymentObjectKind } from '../../domain/payments.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { newId } from '../../stores/ids.ts';
import { createPaymentEventStore } from '../../stores/payment-events.ts';
import { createPaymentStore } from '../../stores/payments.ts';
import { createPayoutStore } from '../../stores/payouts.ts';
import { testFleet } from '../support/fleets.ts';
import { type Lab, labOwner, until } from '../support/lab.ts';
import { addListing } from '../support/market.ts';
import type { StripeDouble } from '../support/stripe-double.ts';

/** A purchase by Stripe, what is told of it, its refund, a payout, and a sharing of the pool; all through a double. */
export async function recordPayments(
  { client, db, ...lab }: Lab,
  double: StripeDouble,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  const fleet = testFleet({ heavy: 2, light: 3 });
  const market = {
    ...fleet.market,
    returnUrl: 'https://shop.example/back',
    payouts: { hold: '1s', threshold: { EUR: 100 } },
  };
  await lab.apply({ ...fleet, market });
  const payments = createPaymentStore(db);
  const events = createPaymentEventStore(db);
  const payouts = createPayoutStore(db);
  const listingId = await addListing(db, { ownerId: labOwner, agentId: 'light-001' });
  const run = (type: string, workflowId: string, args: object) =>
    client.workflow.execute(type, { workflowId, taskQueue: coordinationQueue, args: [args] });

  const buyer = newId('user');
  const known = { operatorId: labOwner, address: 'buyer@people.example', verifiedAt: new Date() };
  await db
    .insertInto('users')
    .values({ id: buyer, name: 'buyer', role: 'member', ...known })
    .execute();
  const purchaseId = newId('purchase');
  const purchase = await client.workflow.start('purchaseLicense', {
    workflowId: purchaseWorkflowId(purchaseId),
    taskQueue: coordinationQueue,
    args: [
      {
        purchaseId,
        ownerId: buyer,
        listingId,
        licenseKind: 'personal',
        payment: 'stripe',
        requestHash: 'aa',
        madeBy: 'tok',
      },
    ],
  });
  const page = async () => (await payments.find(purchaseId))?.checkoutId ?? null;
  await until('the page is open', async () => (await page()) !== null);
  const checkoutId = (await page())!;
  const paidEvent = double.pay(checkoutId);
  const received = receive(paidEvent, { kind: 'checkout', id: checkoutId });
  await purchase.result();
  await save('purchase-license-by-stripe', purchase.workflowId);
  await save('settle-payment-event-done', await received);

  await until('the sale is older than its hold time', async () => {
    const [account] = await payouts.accountsAfter('', ['EUR'], 1);
    return account !== undefined && Date.now() - (await soldAt()) > 2_000;
  });
  const account = { provider: 'stripe', account: 'acct_recorded' } as const;
  for (const { userId } of await payouts.accountsAfter('', ['EUR'], 10))
    await payouts.setAccount({ ownerId: labOwner, userId, madeBy: 'recorded' }, account);
  await run('payOutCreators', 'pay-out-creators:recorded', {});
  await save('pay-out-creators-started', 'pay-out-creators:recorded');
  const paid = () => db.selectFrom('payouts').select(['id', 'state']).executeTakeFirstOrThrow();
  await until('it is paid', async () => (await paid()).state === 'paid');
  const payout = await paid();
  await client.workflow.getHandle(`payout:${payout.id}`).result();
  await save('pay-out-creator-paid', `payout:${payout.id}`);
  await run('shareBlessings', 'blessings:recorded', {});
  await save('share-blessings-done', 'blessings:recorded');
  await run('resumePayments', 'resume-payments:recorded', {});
  await save('resume-payments-done', 'resume-payments:recorded');

  const { paymentId } = (await payments.find(purchaseId))!;
  const refund = { kind: 'refund', id: double.refundOutside(paymentId!, 100, {}, 'failed').id } as const;
  await receive(double.events.findLast(({ type }) => type === 'refund.created')!, refund);
  await save('settle-payment-event-contradicted', await receive(double.endRefund(refund.id, 'succeeded'), refund));

  const refundId = newId('refund');
  const asked = { refundId, purchaseId, reason: 'recorded', force: false, madeBy: 'tok' };
  await run('settleRefund', `refund:${refundId}`, asked);
  await save('settle-refund-done', `refund:${refundId}`);

  /** The relay starts its workflow. @returns the id of that, once it is done */
  async function receive(
    { id, type }: { id: string; type: string },
    object: { kind: PaymentObjectKind; id: string },
  ): Promise<string> {
    const own = { provider: 'stripe', id, ownerId: labOwner, type, live: false, account: null } as const;
    await events.receive({ ...own, object, happenedAt: new Date() });
    const unsettled = () => db.selectFrom('paymentEvents').select('id').where('settledAt', 'is', null).execute();
    await until('the event is settled', async () => (await unsettled()).length === 0);
    const workflowId = `payment-event:stripe:${id}`;
    await client.workflow.getHandle(workflowId).result();
    return workflowId;
  }

  async function soldAt(): Promise<number> {
    const row = await db
      .selectFrom('ledgerTransfers')
      .select('at')
      .where('kind', '=', 'sale')
      .executeTakeFirstOrThrow();
    return row.at.getTime();
  }
}
