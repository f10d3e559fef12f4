import { proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { PayoutActivities } from '../activities/payouts.ts';
import type { PayoutState } from '../domain/payments.ts';
import { refusalOf } from './refusals.ts';

export interface PayOutCreatorInput {
  payoutId: string;
}
export interface PayOutCreatorResult {
  state: PayoutState;
}

const { sendPayout } = proxyActivities<PayoutActivities>({
  startToCloseTimeout: '1 minute',
  // For as long as it takes: whether it was sent is never guessed.
  retry: { maximumInterval: '10 minutes' },
});
const { endPayout } = proxyLocalActivities<PayoutActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '1 minute' },
});

/** Sends what has left a creator's account on its way to them; refused, it comes back. */
export async function payOutCreator({ payoutId }: PayOutCreatorInput): Promise<PayOutCreatorResult> {
  let reference: string;
  try {
    ({ reference } = await sendPayout({ payoutId }));
  } catch (err) {
    const refusal = refusalOf(err);
    if (refusal === undefined) throw err;
    return { state: await endPayout({ payoutId, failed: refusal.message }) };
  }
  return { state: await endPayout({ payoutId, paid: { reference } }) };
}
