import { proxyLocalActivities } from '@temporalio/workflow';
import type { PaymentActivities } from '../activities/payments.ts';

/** Of a Schedule: nothing is handed in. */
export type ResumePaymentsInput = Record<string, never>;
export interface ResumePaymentsResult {
  events: number;
  refunds: number;
}

const { resumePayments: resume } = proxyLocalActivities<PaymentActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '1 minute' },
});

/** Asks anew for what a provider told, and for refunds, whose workflow has failed or was ended; one that runs stays as it is. */
export async function resumePayments(_input: ResumePaymentsInput): Promise<ResumePaymentsResult> {
  return resume();
}
