import { durationSeconds } from '../domain/durations.ts';
import { DomainError, isDomainError } from '../domain/errors.ts';
import { isSameMoney, moneyText } from '../domain/money.ts';
import type { PaymentFacts, PaymentProviderName } from '../domain/payments.ts';
import type { AwaitedPayment, PaymentProvider as PurchasePayments } from '../domain/purchases.ts';
import type { PaymentRow, PaymentStore } from '../stores/payments.ts';
import type { FleetReader } from './fleet-view.ts';
import { type PaymentProviders, providerOf } from './payment-providers.ts';

/** After the page is over: clocks differ, and who paid at the last second is still told of. */
const marginMs = 120_000;

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

  /** What was asked for first is asked for again: the key is of these parameters alone. */
  async function open(row: PaymentRow): Promise<PaymentRow> {
    const { purchaseId, money, returnUrl, expiresAt } = row;
    const title = await payments.titleOf(purchaseId);
    const request = { purchaseId, money, title, returnUrl, expiresAt };
    const checkout = await providerOf(providers, name).openCheckout(request, `${purchaseId}:checkout`);
    const opened = await payments.noteCheckout(purchaseId, checkout);
    // It was undone while the provider thought: its page is ended before anybody is told of it.
    if (opened.state === 'canceled') await cancel(opened);
    return opened;
  }

  function cancel({ purchaseId, checkoutId, paymentId }: PaymentRow): Promise<PaymentFacts> {
    return providerOf(providers, name).cancel({ checkoutId: checkoutId!, paymentId }, `${purchaseId}:cancel`);
  }

  function awaited(row: PaymentRow): AwaitedPayment | void {
    const { purchaseId, state } = row;
    const until = row.expiresAt + marginMs;
    if (state === 'canceled' || (state === 'opened' && Date.now() > until))
      throw new DomainError('PAYMENT_REFUSED', `nobody paid for ${purchaseId} in time`);
    if (state === 'opened') return { until };
    refuseOther(row);
  }

  /** It was told when it was noted, and the undo gives it back. */
  function refuseOther({ purchaseId, money, received }: PaymentRow): void {
    if (received === null || isSameMoney(received, money)) return;
    const [has, costs] = [received, money].map(moneyText);
    throw new DomainError('PAYMENT_REFUSED', `${name} has ${has} for ${purchaseId}, which costs ${costs}`);
  }

  /** Refused, it may have been taken before, or may yet be, as while the provider works on it. */
  async function captureOrLook(purchaseId: string, paymentId: string): Promise<PaymentFacts> {
    const provider = providerOf(providers, name);
    try {
      return await provider.capture(paymentId, `${purchaseId}:capture`);
    } catch (err) {
      if (!isDomainError(err, 'PAYMENT_REFUSED')) throw err;
      const facts = await provider.payment(paymentId);
      if (facts.state === 'captured' || facts.state === 'canceled') return facts;
      throw new DomainError('UNAVAILABLE', `${err.message}; the payment is ${facts.state}`, { cause: err });
    }
  }

  /** Taken before the undo came: all of it goes back, under an id that is made of the purchase. */
  async function giveBack({ purchaseId, paymentId, received, money }: PaymentRow): Promise<void> {
    const request = { paymentId: paymentId!, refundId: `${purchaseId}:undone`, money: received ?? money };
    const { state, reason } = await providerOf(providers, name).refund(request, `${purchaseId}:undone`);
    if (state === 'failed') throw new DomainError('UNAVAILABLE', `${name} does not give ${purchaseId} back: ${reason}`);
    await payments.release(purchaseId);
  }

  return {
    async authorize({ key: purchaseId, booksId, buyerId, amount, currency }) {
      const row = (await payments.find(purchaseId)) ?? (await add());
      return awaited(row.checkoutId === null && row.state === 'opened' ? await open(row) : row);

      async function add(): Promise<PaymentRow> {
        const { payWithin, returnUrl } = (await fleet()).fleet.market;
        if (returnUrl === undefined)
          throw new DomainError(
            'PAYMENTS_NOT_SET_UP',
            'fleet.yaml does not say where buyers come back to: market.returnUrl',
          );
        return payments.add({
          purchaseId,
          ownerId: booksId,
          buyerId,
          provider: name,
          money: { amount, currency },
          returnUrl,
          payWithinSeconds: durationSeconds(payWithin),
        });
      }
    },

    async look({ key: purchaseId }) {
      const row = await payments.find(purchaseId);
      if (row === undefined || row.checkoutId === null)
        throw new DomainError('PAYMENT_REFUSED', `no page was opened for ${purchaseId}`);
      // The page says more than the payment, which a declined card leaves as it was when the page is over.
      const looked =
        row.state === 'opened' ? await noted(await providerOf(providers, name).checkout(row.checkoutId)) : row;
      return awaited(looked);
    },

    async void({ key: purchaseId }) {
      const row = await payments.cancelUnopened(purchaseId);
      // Nobody was told of a page: what may yet be opened finds that it is over.
      if (row === undefined || row.checkoutId === null) return;
      const facts = await cancel(row);
      const known = await noted(facts);
      // By what it is there, not by how far the row has come.
      if (facts.state === 'captured') await giveBack(known);
      else if (facts.state !== 'canceled')
        throw new DomainError('UNAVAILABLE', `the payment of ${purchaseId} is ${facts.state}`);
    },

    async capture({ key: purchaseId }) {
      const row = await payments.find(purchaseId);
      if (row === undefined || row.paymentId === null)
        throw new DomainError('PAYMENT_REFUSED', `nobody has paid for ${purchaseId}`);
      const captured = await noted(await captureOrLook(purchaseId, row.paymentId));
      if (captured.state === 'canceled')
        throw new DomainError('PAYMENT_REFUSED', `the payment of ${purchaseId} is canceled`);
      if (captured.state !== 'captured')
        throw new DomainError('UNAVAILABLE', `the payment of ${purchaseId} is ${captured.state}`);
      refuseOther(captured);
      // What the provider keeps is posted under its own entry, in the currency that it settles in: `paymentFees`.
      return { reference: captured.paymentId! };
    },
  };
}
