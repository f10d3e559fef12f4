import { DomainError } from '../domain/errors.ts';
import { type AwaitedPayment, isUndone, type PaymentProvider, undoneText } from '../domain/purchases.ts';
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

  /** @throws CONFLICT for an attempt that nobody waited for any more: undone while the provider thought, it is given back */
  async function toldBy(
    provider: PaymentProvider,
    purchaseId: string,
    awaited: AwaitedPayment | void,
  ): Promise<AwaitedPayment | null> {
    if (awaited) {
      if (!isUndone(await purchases.find(purchaseId))) return awaited;
    } else if (await purchases.authorized(purchaseId)) return null;
    await provider.void({ key: purchaseId });
    throw new DomainError('CONFLICT', `${purchaseId} was undone meanwhile`);
  }

  async function goingOn(purchaseId: string) {
    const purchase = await purchases.find(purchaseId);
    if (isUndone(purchase)) throw new DomainError('CONFLICT', `${purchaseId} is ${undoneText(purchase)}`);
    return purchase;
  }

  return {
    /** A whole sale in one transaction. */
    settleByCredits: (input: NewPurchase): Promise<PurchaseEnd> => purchases.settleByCredits(input),

    openPurchase: (input: NewPurchase): Promise<PurchaseEnd> => purchases.open(input),

    /** @returns until when the buyer may pay, where it is up to the buyer still; null once the money is set aside */
    async authorizePayment({ purchaseId }: PurchaseRef): Promise<AwaitedPayment | null> {
      const { payment, amount, currency, ownerId: buyerId, booksId } = await goingOn(purchaseId);
      const provider = providerOf(payment);
      const asked = { key: purchaseId, amount, currency, buyerId, booksId };
      return toldBy(provider, purchaseId, await provider.authorize(asked));
    },

    /** What became of what the buyer was to pay; answers as `authorizePayment`. */
    async lookAtPayment({ purchaseId }: PurchaseRef): Promise<AwaitedPayment | null> {
      const provider = providerOf((await goingOn(purchaseId)).payment);
      return toldBy(provider, purchaseId, await provider.look({ key: purchaseId }));
    },

    beginUndo: ({ purchaseId }: PurchaseRef): Promise<void> => purchases.beginUndo(purchaseId),

    /** What was set aside goes back, and what was taken all the same. @throws CONFLICT for one whose undo has not begun */
    async voidPayment({ purchaseId }: PurchaseRef): Promise<void> {
      const purchase = await purchases.find(purchaseId);
      if (!isUndone(purchase))
        throw new DomainError('CONFLICT', `${purchaseId} is ${purchase.state}: it is not undone`);
      await providerOf(purchase.payment).void({ key: purchaseId });
    },

    issuePending: ({ purchaseId }: PurchaseRef): Promise<void> => purchases.issuePending(purchaseId),

    dropLicense: ({ purchaseId }: PurchaseRef): Promise<void> => purchases.dropLicense(purchaseId),

    async capturePayment({ purchaseId }: PurchaseRef): Promise<void> {
      const { payment } = await purchases.find(purchaseId);
      await purchases.captured(purchaseId, await providerOf(payment).capture({ key: purchaseId }));
    },

    completePurchase: ({ purchaseId }: PurchaseRef): Promise<PurchaseEnd> => purchases.complete(purchaseId),

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
