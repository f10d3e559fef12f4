import type { Money } from './money.ts';

/** Who takes and moves money outside; credits need nobody. The same words as the checks in stores/migrations. */
export const paymentProviders = ['stripe'] as const;
export type PaymentProviderName = (typeof paymentProviders)[number];

/** Whose books at a provider; those of its test mode are others than those of live money. */
export interface ProviderAccount {
  account: string;
  live: boolean;
}
export function providerAccountText({ account, live }: ProviderAccount): string {
  return `${account} in ${live ? 'live' : 'test'} mode`;
}

/** A payment at its provider: opened until the buyer has paid, authorized until it is captured (the pivot of a purchase). */
export const paymentStates = ['opened', 'authorized', 'captured', 'canceled'] as const;
export type PaymentState = (typeof paymentStates)[number];

export const refundStates = ['pending', 'done', 'failed'] as const;
export type RefundState = (typeof refundStates)[number];

export const disputeStates = ['open', 'won', 'lost'] as const;
export type DisputeState = (typeof disputeStates)[number];

export const payoutStates = ['started', 'paid', 'failed'] as const;
export type PayoutState = (typeof payoutStates)[number];
/** In place of a provider: an operator pays, and says so. */
export const byHand = 'by_hand';

/** From this refusal in a row on somebody is told. */
export const payoutToldFrom = 3;

/** How long a refused payout waits: one refusal until the next sweep, then 2, 4, 8, 16 and every 30 days. */
export function payoutWaitSeconds(refusals: number): number {
  if (refusals < 2) return 0;
  // Sweeps are a day apart; one that comes a little earlier than the last one did counts too.
  return (Math.min(2 ** (refusals - 1), 30) - 0.5) * 86_400;
}

/** A payment is never less far than it was: what comes late, or twice, tells nothing new. */
const mayFollow: Record<PaymentState, readonly PaymentState[]> = {
  opened: ['authorized', 'captured', 'canceled'],
  authorized: ['captured', 'canceled'],
  captured: [],
  canceled: [],
};
export function followingState(before: PaymentState, told: PaymentState): PaymentState {
  return mayFollow[before].includes(told) ? told : before;
}

/** What the provider kept of a payment. */
export interface ProviderFee {
  /** The provider's id of the entry in its own books. */
  id: string;
  /** In the currency that it settles in; below zero where it was given back. */
  money: Money;
}

/** What a provider says of its own objects now, in our words and units. */
export interface PaymentFacts {
  /** The purchase that the payment was opened for; null for one that is not ours. */
  purchaseId: string | null;
  paymentId: string | null;
  checkoutId: string | null;
  state: PaymentState;
  /** What it holds, or has taken; null before the buyer has paid. */
  received: Money | null;
  fee: ProviderFee | null;
}

export interface RefundFacts {
  providerRefundId: string;
  /** Ours, where we asked for it. */
  refundId: string | null;
  paymentId: string | null;
  state: RefundState;
  money: Money;
  /** Why it failed, or whose doing it is; empty: nothing is said of it. */
  reason: string;
}

export interface DisputeFacts {
  disputeId: string;
  paymentId: string | null;
  /** An inquiry has taken no money (yet). */
  state: DisputeState | 'inquiry';
  money: Money;
  reason: string;
  fees: ProviderFee[];
  /** Won, and of the money a part alone came back: what did not. null: nothing, or it is not booked at the provider yet. */
  kept: Money | null;
}

/** What an event is of; what it says of that is looked up anew. */
export const paymentObjectKinds = ['checkout', 'payment', 'refund', 'dispute'] as const;
export type PaymentObjectKind = (typeof paymentObjectKinds)[number];

/** Tells a purchase that its payment is another than it was: it reads the row again. */
export const paymentChangedSignal = 'paymentChanged';

/** Why a license is suspended, each while its refund or dispute is open. */
export function refundCause(refundId: string): string {
  return `refund:${refundId}`;
}
export function disputeCause(disputeId: string): string {
  return `dispute:${disputeId}`;
}
