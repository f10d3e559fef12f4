import type { Money } from '../../domain/money.ts';
import type {
  DisputeFacts,
  PaymentFacts,
  PaymentProviderName,
  ProviderAccount,
  RefundFacts,
} from '../../domain/payments.ts';

export interface CheckoutRequest {
  purchaseId: string;
  money: Money;
  /** What is bought, as the buyer reads it. */
  title: string;
  /** Where the provider sends the buyer back to. */
  returnUrl: string;
  /** Nobody can pay after it, milliseconds since 1970. A repeated request must say the same. */
  expiresAt: number;
}

export interface Checkout {
  checkoutId: string;
  /** Where the buyer pays; null once that is over. */
  url: string | null;
}

/**
 * Money outside. Whoever asks for a change brings a key that was made before: the same key again is the same change, also
 * after a time-out, and also where the first answer was a failure. There is one retry loop, Temporal's: nothing here tries again.
 * @throws PAYMENT_REFUSED (asking again is of no use) · PAYMENT_PROVIDER_DOWN (nothing was done) · PAYMENT_UNKNOWN (it may have
 * been done) · PAYMENTS_NOT_SET_UP
 */
export interface PaymentProvider {
  readonly name: PaymentProviderName;
  /** Whose keys these are. */
  account(): Promise<ProviderAccount>;
  /** Opens a page of the provider where the buyer pays; what is paid is authorised, not yet taken. */
  openCheckout(request: CheckoutRequest, key: string): Promise<Checkout>;
  checkout(checkoutId: string): Promise<PaymentFacts>;
  payment(paymentId: string): Promise<PaymentFacts>;
  /** Takes what was authorised; taken already, or canceled, it says so. Refused, it may yet be taken: look at the payment. */
  capture(paymentId: string, key: string): Promise<PaymentFacts>;
  /** Lets go of what was authorised, or of a page that nobody has paid on. */
  cancel(target: { checkoutId: string; paymentId: string | null }, key: string): Promise<PaymentFacts>;
  refund(request: { paymentId: string; refundId: string; money: Money }, key: string): Promise<RefundFacts>;
  findRefund(providerRefundId: string): Promise<RefundFacts>;
  dispute(disputeId: string): Promise<DisputeFacts>;
  /** From the platform's balance to a creator's account. */
  transfer(request: { payoutId: string; account: string; money: Money }, key: string): Promise<{ transferId: string }>;
}
