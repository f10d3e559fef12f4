import {
  continueAsNew,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
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
  /** How often an earlier execution of this run has looked at it. */
  looked?: number;
}
export interface SettleRefundResult {
  state: RefundState | 'foreign' | 'nothing_taken';
}

const { refundAtProvider, fetchPaymentObject } = proxyActivities<PaymentActivities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumInterval: '5 minutes' },
});
const { openRefund, refuseRefund, settlePaymentObject, tellRefundPending } = proxyLocalActivities<PaymentActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '1 minute' },
});

/** When a refund that is on its way is looked at again; the provider tells earlier, where its webhook is set up. */
const waits = ['1 minute', '10 minutes', '1 hour', '6 hours'] as const;
/** About ten days: longer than a refund should take. Somebody is told, and it is looked at once a day from then on. */
const toldAfter = 40;

/** A refund through the provider: reserved, asked for under its own id, posted once. */
export async function settleRefund({ looked = 0, ...asked }: SettleRefundInput): Promise<SettleRefundResult> {
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
  for (let nth = looked; ; nth += 1) {
    const { outcome } = await settlePaymentObject({ provider, object: { kind: 'refund', facts }, of: { refundId } });
    setCurrentDetails(`${facts.providerRefundId}: ${outcome}`);
    // An event has told how it ended, and looks it up again where that was not the end.
    if (outcome === 'contradicted') return { state: 'failed' };
    if (outcome !== 'pending') return { state: outcome as SettleRefundResult['state'] };
    if (nth === toldAfter) await tellRefundPending({ refundId });
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof settleRefund>({ ...asked, looked: nth + 1 });
    await sleep(nth < toldAfter ? waits[Math.min(nth, waits.length - 1)]! : '1 day', {
      summary: 'before the provider is asked again',
    });
    const now = await fetchPaymentObject({ provider, kind: 'refund', id: facts.providerRefundId, of: { refundId } });
    if (now.kind === 'refund') facts = now.facts;
  }
}
