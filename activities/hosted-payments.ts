import { durationSeconds } from '../domain/durations.ts';
import { DomainError } from '../domain/errors.ts';
import type { PaymentFacts, PaymentProviderName } from '../domain/payments.ts';
import type { PaymentProvider as PurchasePayments } from '../domain/purchases.ts';
import type { PaymentProvider } from '../integrations/payments/payments.ts';
import type { PaymentRow, PaymentStore } from '../stores/payments.ts';
import type { FleetReader } from './fleet-view.ts';

/** By name; one without keys is not there. */
export type PaymentProviders = Partial<Record<PaymentProviderName, PaymentProvider>>;

export function providerOf(providers: PaymentProviders, name: PaymentProviderName): PaymentProvider {
  const provider = providers[name];
  if (!provider) throw new DomainError('PAYMENTS_NOT_SET_UP', `this worker has no keys of ${name}`);
  return provider;
}

/**
 * What a purchase asks of a provider on whose own page the buyer pays. The row is written before the provider is asked, every key
 * is made of the purchase and the step, and what the provider says is kept before it is gone by.
 */
export function createHostedPayments({
  name,
  providers,
  payments,
  fleet,
}: {
  name: PaymentProviderName;
  providers: PaymentProviders;
  payments: PaymentStore;
  fleet: FleetReader;
}): PurchasePayments {
  async function noted(facts: PaymentFacts): Promise<PaymentRow> {
    const row = await payments.note(name, facts);
    if (!row) throw new DomainError('INTERNAL', `${name} gave another payment than was asked for`);
    return row;
  }

  async function open(row: PaymentRow): Promise<PaymentRow> {
    const { purchaseId, money, expiresAt } = row;
    const { returnUrl } = (await fleet()).fleet.market;
    if (returnUrl === undefined)
      throw new DomainError(
        'PAYMENTS_NOT_SET_UP',
        'fleet.yaml does not say where buyers come back to: market.returnUrl',
      );
    const title = await payments.titleOf(purchaseId);
    const request = { purchaseId, money, title, returnUrl, expiresAt };
    const checkout = await providerOf(providers, name).openCheckout(request, `${purchaseId}:checkout`);
    await payments.noteCheckout(purchaseId, checkout);
    return (await payments.find(purchaseId))!;
  }

  return {
    async authorize({ key: purchaseId, booksId, buyerId, amount, currency }) {
      const { payWithin } = (await fleet()).fleet.market;
      const asked = await payments.add({
        purchaseId,
        ownerId: booksId,
        buyerId,
        provider: name,
        money: { amount, currency },
        payWithinSeconds: durationSeconds(payWithin),
      });
      const row = asked.checkoutId === null && asked.state === 'opened' ? await open(asked) : asked;
      const { state } = row.state === 'canceled' ? row : await noted(await lookUp(row));
      if (state === 'canceled') throw new DomainError('PAYMENT_REFUSED', `nobody paid for ${purchaseId} in time`);
      return state === 'opened' ? { until: row.expiresAt } : undefined;
    },

    async void({ key: purchaseId }) {
      const row = await payments.cancelUnopened(purchaseId);
      // Nobody was told of a page: what may yet be opened finds that it is over.
      if (row === undefined || row.checkoutId === null) return;
      const { checkoutId, paymentId } = row;
      const facts = await providerOf(providers, name).cancel({ checkoutId, paymentId }, `${purchaseId}:cancel`);
      const { state } = await noted(facts);
      if (state !== 'canceled') throw new DomainError('UNAVAILABLE', `the payment of ${purchaseId} is ${state}`);
    },

    async capture({ key: purchaseId }) {
      const row = await payments.find(purchaseId);
      if (row === undefined || row.paymentId === null)
        throw new DomainError('PAYMENT_REFUSED', `nobody has paid for ${purchaseId}`);
      const { paymentId, state } = await noted(
        await providerOf(providers, name).capture(row.paymentId, `${purchaseId}:capture`),
      );
      if (state !== 'captured') throw new DomainError('PAYMENT_REFUSED', `the payment of ${purchaseId} is ${state}`);
      // What the provider keeps is posted under its own entry, in the currency that it settles in: `paymentFees`.
      return { reference: paymentId!, fee: 0 };
    },
  };

  function lookUp({ paymentId, checkoutId }: PaymentRow): Promise<PaymentFacts> {
    const provider = providerOf(providers, name);
    return paymentId === null ? provider.checkout(checkoutId!) : provider.payment(paymentId);
  }
}
