import { Context } from '@temporalio/activity';
import { DomainError, errorTable, isDomainError } from '../domain/errors.ts';
import type {
  DisputeFacts,
  PaymentFacts,
  PaymentObjectKind,
  PaymentProviderName,
  PaymentState,
  RefundFacts,
  RefundState,
} from '../domain/payments.ts';
import type { PaymentProvider } from '../integrations/payments/payments.ts';
import type { DisputeStore } from '../stores/disputes.ts';
import type { EventRef, PaymentEventStore } from '../stores/payment-events.ts';
import type { PaymentRow, PaymentStore } from '../stores/payments.ts';
import type { AskedRefund, OpenedRefund, ProviderRefundStore } from '../stores/provider-refunds.ts';

/** By name; one without keys is not there. */
export type PaymentProviders = Partial<Record<PaymentProviderName, PaymentProvider>>;

export function providerOf(providers: PaymentProviders, name: PaymentProviderName): PaymentProvider {
  const provider = providers[name];
  if (!provider) throw new DomainError('PAYMENTS_NOT_SET_UP', `this worker has no keys of ${name}`);
  return provider;
}

/** What a provider says now of what an event was about. */
export type PaymentObjectFacts =
  | { kind: 'payment'; facts: PaymentFacts }
  | { kind: 'refund'; facts: RefundFacts }
  | { kind: 'dispute'; facts: DisputeFacts };

/** What a step is done for: who waits for it is told where it does not get done. */
interface WatchedStep {
  of: { event: EventRef } | { refundId: string };
}
type OfObject = WatchedStep & { provider: PaymentProviderName; kind: PaymentObjectKind; id: string };
/** From this try on somebody is told. */
const toldFrom = 5;

export interface SettledObject {
  outcome: string;
  /** Whose payment is another than it was. */
  purchaseId: string | null;
}

interface PaymentDeps {
  payments: PaymentStore;
  paymentEvents: PaymentEventStore;
  providerRefunds: ProviderRefundStore;
  disputes: DisputeStore;
  providers: PaymentProviders;
}

/** Payments of purchases at their provider. The row is written before (`addPayment`); every key is made of its id and the step. */
export function createPaymentActivities({
  payments,
  paymentEvents,
  providerRefunds,
  disputes,
  providers,
}: PaymentDeps) {
  async function rowOf(purchaseId: string): Promise<PaymentRow> {
    const row = await payments.find(purchaseId);
    if (!row) throw new DomainError('NOT_FOUND', `${purchaseId} has no payment`);
    return row;
  }

  async function noted(provider: PaymentProvider, facts: PaymentFacts): Promise<PaymentState> {
    const row = await payments.note(provider.name, facts);
    if (!row) throw new DomainError('INTERNAL', `${provider.name} gave another payment than was asked for`);
    return row.state;
  }

  async function watched<T>({ of }: WatchedStep, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (err) {
      // What is refused is told by who asked.
      const refused = isDomainError(err, 'PAYMENT_REFUSED');
      const final = isDomainError(err) && !errorTable[err.code].retryable;
      if (!refused && (final || Context.current().info.attempt >= toldFrom)) {
        const reason = err instanceof Error ? err.message : String(err);
        if ('event' in of) await paymentEvents.stuck(of.event, reason);
        else await providerRefunds.stuck(of.refundId, reason);
      }
      throw err;
    }
  }

  async function lookUp(row: PaymentRow): Promise<PaymentFacts | undefined> {
    const provider = providerOf(providers, row.provider);
    if (row.paymentId !== null) return provider.payment(row.paymentId);
    return row.checkoutId === null ? undefined : provider.checkout(row.checkoutId);
  }

  return {
    /** The page where the buyer pays; asked for again it is the same page. */
    async openCheckout(request: {
      purchaseId: string;
      title: string;
      returnUrl: string;
    }): Promise<{ url: string | null; expiresAt: number }> {
      const { purchaseId } = request;
      const row = await rowOf(purchaseId);
      if (row.checkoutId !== null) return { url: row.checkoutUrl, expiresAt: row.expiresAt };
      const provider = providerOf(providers, row.provider);
      const checkout = await provider.openCheckout(
        { ...request, money: row.money, expiresAt: row.expiresAt },
        `${purchaseId}:checkout`,
      );
      await payments.noteCheckout(purchaseId, checkout);
      return { url: checkout.url, expiresAt: row.expiresAt };
    },

    /** How the payment stands at the provider now. */
    async readPayment({ purchaseId }: { purchaseId: string }): Promise<PaymentState> {
      const row = await rowOf(purchaseId);
      const facts = await lookUp(row);
      return facts === undefined ? row.state : noted(providerOf(providers, row.provider), facts);
    },

    /** The pivot: takes what was authorised. @throws PAYMENT_REFUSED where that is gone */
    async capturePayment({ purchaseId }: { purchaseId: string }): Promise<PaymentState> {
      const row = await rowOf(purchaseId);
      if (row.paymentId === null) throw new DomainError('PAYMENT_REFUSED', `nobody has paid for ${purchaseId}`);
      const provider = providerOf(providers, row.provider);
      return noted(provider, await provider.capture(row.paymentId, `${purchaseId}:capture`));
    },

    /** Undoes what was opened or authorised; `captured` says that it came too late. */
    async cancelPayment({ purchaseId }: { purchaseId: string }): Promise<PaymentState> {
      const row = await payments.find(purchaseId);
      // A page that nobody was told of cannot be paid on.
      if (row?.checkoutId == null) return 'canceled';
      const provider = providerOf(providers, row.provider);
      const { checkoutId, paymentId } = row;
      return noted(provider, await provider.cancel({ checkoutId, paymentId }, `${purchaseId}:cancel`));
    },

    async paymentEventObject(ref: EventRef): Promise<{ kind: PaymentObjectKind; id: string } | null> {
      return (await paymentEvents.unsettled(ref)) ?? null;
    },

    async fetchPaymentObject({ provider, kind, id, ...of }: OfObject): Promise<PaymentObjectFacts> {
      return watched(of, async () => {
        const at = providerOf(providers, provider);
        switch (kind) {
          case 'checkout':
            return { kind: 'payment', facts: await at.checkout(id) };
          case 'payment':
            return { kind: 'payment', facts: await at.payment(id) };
          case 'refund':
            return { kind: 'refund', facts: await at.findRefund(id) };
          case 'dispute':
            return { kind: 'dispute', facts: await at.dispute(id) };
        }
      });
    },

    /** One transaction; told again it changes nothing. */
    async settlePaymentObject({
      provider,
      object,
      ...of
    }: WatchedStep & { provider: PaymentProviderName; object: PaymentObjectFacts }): Promise<SettledObject> {
      return watched(of, async () => {
        switch (object.kind) {
          case 'payment': {
            const row = await payments.note(provider, object.facts);
            return { outcome: row?.state ?? 'foreign', purchaseId: row?.purchaseId ?? null };
          }
          case 'refund':
            return { outcome: await providerRefunds.settle(provider, object.facts), purchaseId: null };
          case 'dispute':
            return { outcome: await disputes.settle(provider, object.facts), purchaseId: null };
        }
      });
    },

    async endPaymentEvent({ outcome, ...ref }: EventRef & { outcome: string }): Promise<void> {
      await paymentEvents.settled(ref, outcome);
    },

    async openRefund(asked: AskedRefund): Promise<OpenedRefund> {
      return providerRefunds.open(asked);
    },

    async refundAtProvider({ refundId, paymentId, amount, currency, provider }: OpenedRefund): Promise<RefundFacts> {
      const request = { paymentId, refundId, money: { amount, currency } };
      return watched({ of: { refundId } }, () => providerOf(providers, provider).refund(request, `${refundId}:refund`));
    },

    async refuseRefund(refusal: { refundId: string; failure: string }): Promise<RefundState> {
      return providerRefunds.refuse(refusal);
    },
  };
}
export type PaymentActivities = ReturnType<typeof createPaymentActivities>;
