import { DomainError } from '../domain/errors.ts';
import { type AwaitedPayment, type Captured, isEndedPurchase, type PaymentProvider } from '../domain/purchases.ts';
import type { PurchaseStore } from '../stores/purchase-steps.ts';
import type { NewPurchase, PurchaseEnd } from '../stores/purchases.ts';

interface PurchaseRef {
  purchaseId: string;
}

/** @param deps.providers by the name that purchases have for them; credits are none, they are the ledger's own */
export function createPurchaseActivities({
  purchases,
  providers,
}: {
  purchases: PurchaseStore;
  providers: Readonly<Record<string, PaymentProvider>>;
}) {
  function providerOf(payment: string): PaymentProvider {
    const provider = providers[payment];
    if (!provider) throw new DomainError('UNAVAILABLE', `no provider ${payment} is set up on this machine`);
    return provider;
  }

  return {
    /** A whole sale in one transaction. */
    settleByCredits: (input: NewPurchase): Promise<PurchaseEnd> => purchases.settleByCredits(input),

    openPurchase: (input: NewPurchase): Promise<PurchaseEnd> => purchases.open(input),

    /** @returns until when the buyer may pay, where it is up to the buyer still; null once the money is set aside */
    async authorizePayment({ purchaseId }: PurchaseRef): Promise<AwaitedPayment | null> {
      const purchase = await purchases.find(purchaseId);
      if (isEndedPurchase(purchase)) throw new DomainError('CONFLICT', `${purchaseId} is ${purchase.state}`);
      const { payment, amount, currency, ownerId: buyerId, booksId } = purchase;
      const provider = providerOf(payment);
      const awaited = await provider.authorize({ key: purchaseId, amount, currency, buyerId, booksId });
      if (awaited) {
        if (!isEndedPurchase(await purchases.find(purchaseId))) return awaited;
      } else if (await purchases.authorized(purchaseId)) return null;
      // An attempt that nobody waited for any more: the purchase was undone while the provider thought.
      await provider.void({ key: purchaseId });
      throw new DomainError('CONFLICT', `${purchaseId} was undone meanwhile`);
    },

    async voidPayment({ purchaseId }: PurchaseRef): Promise<void> {
      const { payment } = await purchases.find(purchaseId);
      await providerOf(payment).void({ key: purchaseId });
    },

    issuePending: ({ purchaseId }: PurchaseRef): Promise<void> => purchases.issuePending(purchaseId),

    dropLicense: ({ purchaseId }: PurchaseRef): Promise<void> => purchases.dropLicense(purchaseId),

    async capturePayment({ purchaseId }: PurchaseRef): Promise<Captured> {
      const { payment } = await purchases.find(purchaseId);
      const captured = await providerOf(payment).capture({ key: purchaseId });
      await purchases.captured(purchaseId, captured);
      return captured;
    },

    completePurchase: ({ purchaseId, ...captured }: PurchaseRef & Captured): Promise<PurchaseEnd> =>
      purchases.complete(purchaseId, captured),

    endPurchase: ({
      purchaseId,
      state,
      ...why
    }: PurchaseRef & { state: 'canceled' | 'failed'; code: string; reason: string }): Promise<PurchaseEnd> =>
      purchases.end(purchaseId, state, why),

    tellStuck: ({ purchaseId, step, reason }: PurchaseRef & { step: string; reason: string }): Promise<void> =>
      purchases.tellStuck(purchaseId, step, reason),

    tellUnstuck: ({ purchaseId }: PurchaseRef): Promise<void> => purchases.tellUnstuck(purchaseId),
  };
}
export type PurchaseActivities = ReturnType<typeof createPurchaseActivities>;
