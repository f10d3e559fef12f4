import type Stripe from 'stripe';
import { DomainError } from '../../domain/errors.ts';
import { type Money, sumOf } from '../../domain/money.ts';
import type {
  DisputeFacts,
  PaymentFacts,
  PaymentState,
  ProviderFee,
  RefundFacts,
  RefundState,
} from '../../domain/payments.ts';
import { fromStripe } from './stripe-amounts.ts';

/** Under these names our ids stand in the metadata of Stripe's objects. */
export const purchaseKey = 'soulfra_purchase';
export const refundKey = 'soulfra_refund';
export const payoutKey = 'soulfra_payout';

export function paymentFacts(intent: Stripe.PaymentIntent, checkoutId: string | null = null): PaymentFacts {
  const charge = intent.latest_charge;
  const entry = charge !== null && typeof charge === 'object' ? charge.balance_transaction : null;
  return {
    purchaseId: intent.metadata[purchaseKey] ?? null,
    paymentId: intent.id,
    checkoutId,
    state: stateOf(intent.status),
    received: receivedOf(intent),
    fee: entry !== null && typeof entry === 'object' ? feeOf(entry) : null,
  };
}

export function checkoutFacts(session: Stripe.Checkout.Session): PaymentFacts {
  const intent = session.payment_intent;
  if (intent !== null && typeof intent === 'object') {
    const facts = paymentFacts(intent, session.id);
    // Nobody can pay any more, though the payment itself still says that it waits.
    return facts.state === 'opened' && session.status === 'expired' ? { ...facts, state: 'canceled' } : facts;
  }
  return {
    purchaseId: session.metadata?.[purchaseKey] ?? null,
    paymentId: idOf(intent),
    checkoutId: session.id,
    state: session.status === 'expired' ? 'canceled' : 'opened',
    received: null,
    fee: null,
  };
}

function stateOf(status: Stripe.PaymentIntent.Status): PaymentState {
  if (status === 'requires_capture') return 'authorized';
  if (status === 'succeeded') return 'captured';
  return status === 'canceled' ? 'canceled' : 'opened';
}

function receivedOf({ status, currency, amount_capturable, amount_received }: Stripe.PaymentIntent): Money | null {
  if (status === 'requires_capture') return fromStripe({ amount: amount_capturable, currency });
  return status === 'succeeded' ? fromStripe({ amount: amount_received, currency }) : null;
}

export function refundFacts(refund: Stripe.Refund): RefundFacts {
  return {
    providerRefundId: refund.id,
    refundId: refund.metadata?.[refundKey] ?? null,
    paymentId: idOf(refund.payment_intent),
    state: refundState(refund.status),
    money: fromStripe(refund),
    reason: refund.failure_reason ?? '',
  };
}

function refundState(status: Stripe.Refund['status']): RefundState {
  if (status === 'succeeded') return 'done';
  return status === 'failed' || status === 'canceled' ? 'failed' : 'pending';
}

export function disputeFacts(dispute: Stripe.Dispute): DisputeFacts {
  return {
    disputeId: dispute.id,
    paymentId: idOf(dispute.payment_intent),
    state: disputeState(dispute.status),
    money: fromStripe(dispute),
    reason: dispute.reason,
    fees: dispute.balance_transactions.map(feeOf).filter((fee) => fee !== null),
    kept: keptOf(dispute),
  };
}

/**
 * What Stripe's own books lack of a dispute that was won, once something of it came back. Where it settles in another currency
 * the rate of exchange makes a difference too, so that nothing follows from it.
 */
function keptOf({ status, currency, balance_transactions: entries }: Stripe.Dispute): Money | null {
  if (status !== 'won' || !entries.some(({ amount }) => amount > 0)) return null;
  if (entries.some((entry) => entry.currency !== currency)) return null;
  const amount = -sumOf(entries.map((entry) => entry.amount));
  return amount > 0 ? fromStripe({ amount, currency }) : null;
}

function disputeState(status: Stripe.Dispute.Status): DisputeFacts['state'] {
  if (status === 'won') return 'won';
  if (status === 'lost') return 'lost';
  // `prevented` was settled before it took money.
  if (status.startsWith('warning_') || status === 'prevented') return 'inquiry';
  if (['needs_response', 'under_review', 'appeal_needs_response', 'appeal_under_review'].includes(status))
    return 'open';
  throw new DomainError('INTERNAL', `Stripe says a dispute is ${status}, which is not known here`);
}

function feeOf(entry: Stripe.BalanceTransaction): ProviderFee | null {
  if (entry.fee === 0) return null;
  return { id: entry.id, money: fromStripe({ amount: entry.fee, currency: entry.currency }) };
}

function idOf(ref: string | { id: string } | null | undefined): string | null {
  return typeof ref === 'string' ? ref : (ref?.id ?? null);
}
