import { DomainError, type ErrorCode, errorTable } from './errors.ts';
import type { PurchaseState } from './states.ts';

/** Who takes the money: credits are the ledger's own, everything else is a provider. */
export const creditsPayment = 'credits';

/** A purchase in one of these never changes again. */
export function isEndedPurchase({ state }: { state: PurchaseState }): boolean {
  return state === 'completed' || state === 'canceled' || state === 'failed';
}

/** What was set aside for it goes back: nothing more of it is done. */
export function isUndone({ state, undoing }: { state: PurchaseState; undoing: boolean }): boolean {
  return undoing || state === 'canceled' || state === 'failed';
}

/** How such a one stands, for who comes too late. */
export function undoneText(purchase: { state: PurchaseState; undoing: boolean }): string {
  return isEndedPurchase(purchase) || !purchase.undoing ? purchase.state : 'being undone';
}

/** What a provider is asked for and answers with; keyed by the purchase, so that asking again is the same payment. */
export interface PaymentProvider {
  /**
   * Sets the money aside. Asked again under the same key it is the same payment.
   * @returns until when the buyer may pay, where that is up to the buyer still: then it is to be looked at
   * @throws PAYMENT_REFUSED where it was surely not set aside, and will not be
   */
  authorize(payment: {
    key: string;
    amount: number;
    currency: string;
    buyerId: string;
    booksId: string;
  }): Promise<AwaitedPayment | void>;
  /**
   * What became of what the buyer was to pay.
   * @returns as `authorize`
   * @throws PAYMENT_REFUSED where it was not paid, and will not be; anything else says nothing of it
   */
  look(payment: { key: string }): Promise<AwaitedPayment | void>;
  /** Gives back what was set aside under the key, and whatever may yet come: an authorize that was late finds it void. */
  void(payment: { key: string }): Promise<void>;
  /**
   * Takes what was set aside: the pivot.
   * @throws PAYMENT_REFUSED where it was surely not taken, and will not be; anything else leaves it open
   */
  capture(payment: { key: string }): Promise<Captured>;
}

/** A payment that waits for its buyer. */
export interface AwaitedPayment {
  /** Milliseconds since 1970: a look after it ends the waiting. */
  until: number;
}

export interface Captured {
  /** The provider's own name of the payment. */
  reference: string;
}

/** Why a purchase came to nothing, as its buyer is told. */
export function refusalOf({ reasonCode, reason }: { reasonCode: string; reason: string }): DomainError {
  return new DomainError(Object.hasOwn(errorTable, reasonCode) ? (reasonCode as ErrorCode) : 'CONFLICT', reason);
}

/** Whether trying the same again could end otherwise; what is refused ends the purchase. */
export function isRefusal(err: unknown): err is DomainError {
  return err instanceof DomainError && !errorTable[err.code].retryable;
}

/**
 * Whether money may go back without somebody deciding so: a license of counted uses that has been used has given what was
 * paid for, and one that was passed on is somebody else's.
 * @throws CONFLICT with what stands against it
 */
export function refuseSpentLicense(license: {
  id: string;
  uses: number;
  usesLimit: number | null;
  holding: number;
}): void {
  const why =
    license.usesLimit !== null && license.uses > 0
      ? `${license.id} was used ${license.uses} of ${license.usesLimit} times`
      : license.holding > 0
        ? `${license.id} was passed on to somebody else`
        : undefined;
  if (why !== undefined)
    throw new DomainError('CONFLICT', `${why}; an operator may refund it all the same with \`force\``);
}
