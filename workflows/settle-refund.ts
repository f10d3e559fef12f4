import { proxyActivities, proxyLocalActivities, setCurrentDetails, sleep } from '@temporalio/workflow';
import type { PaymentActivities } from '../activities/payments.ts';
import type { RefundFacts, RefundState } from '../domain/payments.ts';
import { refusalOf } from './refusals.ts';

export interface SettleRefundInput {
  refundId: string;
  purchaseId: string;
  /** Minor units. @default all that is left of the sale */
  amount?: number;
  reason: string;
  /** Also where the license was used or passed on. */
  force: boolean;
  /** Hex; another request under the same id is refused. */
  requestHash?: string;
  madeBy: string;
}
export interface SettleRefundResult {
  state: RefundState | 'foreign';
}

const { refundAtProvider, fetchPaymentObject } = proxyActivities<PaymentActivities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumInterval: '5 minutes' },
});
const { openRefund, refuseRefund, settlePaymentObject } = proxyLocalActivities<PaymentActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '1 minute' },
});

/** When a refund that is on its way is looked at again; the provider tells earlier, where its webhook is set up. */
const waits = ['1 minute', '10 minutes', '1 hour', '6 hours'] as const;
/** About 30 days: longer than any refund takes. */
const mostWaits = 120;

/** A refund through the provider: reserved, asked for under its own id, posted once. */
export async function settleRefund(asked: SettleRefundInput): Promise<SettleRefundResult> {
  const opened = await openRefund(asked);
  if (opened.state !== 'pending') return { state: opened.state };
  const { provider, refundId } = opened;
  let facts: RefundFacts;
  try {
    facts = await refundAtProvider(opened);
  } catch (err) {
    const refusal = refusalOf(err);
    if (refusal === undefined) throw err;
    setCurrentDetails(refusal.message);
    return { state: await refuseRefund({ refundId, failure: refusal.message }) };
  }
  for (let nth = 0; ; nth += 1) {
    const { outcome } = await settlePaymentObject({ provider, object: { kind: 'refund', facts }, of: { refundId } });
    setCurrentDetails(`${facts.providerRefundId}: ${outcome}`);
    if (outcome !== 'pending' || nth >= mostWaits) return { state: outcome as SettleRefundResult['state'] };
    await sleep(waits[Math.min(nth, waits.length - 1)]!);
    const now = await fetchPaymentObject({ provider, kind: 'refund', id: facts.providerRefundId, of: { refundId } });
    if (now.kind === 'refund') facts = now.facts;
  }
}
