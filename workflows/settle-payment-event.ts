import {
  getExternalWorkflowHandle,
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
} from '@temporalio/workflow';
import type { PaymentActivities } from '../activities/payments.ts';
import { purchaseWorkflowId } from '../domain/ids.ts';
import { type PaymentObjectKind, type PaymentProviderName, paymentChangedSignal } from '../domain/payments.ts';
import { refusalOf } from './refusals.ts';

export interface SettlePaymentEventInput {
  provider: PaymentProviderName;
  eventId: string;
}
export interface SettlePaymentEventResult {
  outcome: string;
}

const { fetchPaymentObject } = proxyActivities<PaymentActivities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumInterval: '5 minutes' },
});
const { paymentEventObject, settlePaymentObject, endPaymentEvent } = proxyLocalActivities<PaymentActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '5 minutes' },
});

/**
 * What an event is about is looked up as it is now, and settled: so events may come twice and in any order. The event itself
 * is done last.
 */
export async function settlePaymentEvent(ref: SettlePaymentEventInput): Promise<SettlePaymentEventResult> {
  const of = await paymentEventObject(ref);
  if (of === null) return { outcome: 'settled before' };
  const { outcome, purchaseId } = await settle(ref, of);
  if (purchaseId !== null) await tellPurchase(purchaseId);
  await endPaymentEvent({ ...ref, outcome });
  setCurrentDetails(`${of.kind} ${of.id}: ${outcome}`);
  return { outcome };
}

async function settle(event: SettlePaymentEventInput, object: { kind: PaymentObjectKind; id: string }) {
  const { provider } = event;
  try {
    const fetched = () => fetchPaymentObject({ provider, ...object, of: { event } });
    const settled = await settlePaymentObject({ provider, object: await fetched(), of: { event } });
    // Another event may have told a later end while this one was looked up: what is so now counts.
    if (settled.outcome !== 'contradicted') return settled;
    return await settlePaymentObject({ provider, object: await fetched(), of: { event }, again: true });
  } catch (err) {
    // The provider knows nothing of it (any more): it is of another account, or of its test mode.
    const refusal = refusalOf(err);
    if (refusal?.code !== 'PAYMENT_REFUSED') throw err;
    return { outcome: refusal.message, purchaseId: null };
  }
}

async function tellPurchase(purchaseId: string): Promise<void> {
  try {
    await getExternalWorkflowHandle(purchaseWorkflowId(purchaseId)).signal(paymentChangedSignal);
  } catch (err) {
    if (isCancellation(err)) throw err;
    // It has ended; the row says all that there is to know.
    log.info('no purchase waits for this payment', { purchaseId });
  }
}
