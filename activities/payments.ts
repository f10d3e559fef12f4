import { Context } from '@temporalio/activity';
import { errorTable, isDomainError } from '../domain/errors.ts';
import type {
  DisputeFacts,
  PaymentFacts,
  PaymentObjectKind,
  PaymentProviderName,
  RefundFacts,
  RefundState,
} from '../domain/payments.ts';
import type { DisputeStore } from '../stores/disputes.ts';
import type { EventRef, PaymentEventStore } from '../stores/payment-events.ts';
import type { PaymentStore } from '../stores/payments.ts';
import type { AskedRefund, OpenedRefund, ProviderRefundStore } from '../stores/provider-refunds.ts';
import { type PaymentProviders, providerOf } from './payment-providers.ts';

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

/** What providers tell of payments, refunds and disputes, and refunds that are asked of them. */
export function createPaymentActivities({
  payments,
  paymentEvents,
  providerRefunds,
  disputes,
  providers,
}: PaymentDeps) {
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

  return {
    async paymentEventObject(ref: EventRef): Promise<{ kind: PaymentObjectKind; id: string } | null> {
      return (await paymentEvents.unsettled(ref)) ?? null;
    },

    async fetchPaymentObject({ provider, kind, id, ...of }: OfObject): Promise<PaymentObjectFacts> {
      return watched(of, async () => {
        const at = providerOf(providers, provider);
        /** What was paid may be told after what goes back of it: then nobody knows yet whose it is. */
        const withPayment = async <Facts extends RefundFacts | DisputeFacts>(facts: Facts): Promise<Facts> => {
          const { paymentId } = facts;
          if (paymentId !== null && !(await payments.isKnown(provider, paymentId)))
            await payments.note(provider, await at.payment(paymentId));
          return facts;
        };
        switch (kind) {
          case 'checkout':
            return { kind: 'payment', facts: await at.checkout(id) };
          case 'payment':
            return { kind: 'payment', facts: await at.payment(id) };
          case 'refund':
            return { kind: 'refund', facts: await withPayment(await at.findRefund(id)) };
          case 'dispute':
            return { kind: 'dispute', facts: await withPayment(await at.dispute(id)) };
        }
      });
    },

    /** One transaction; told again it changes nothing. */
    async settlePaymentObject({
      provider,
      object,
      again = false,
      ...of
    }: WatchedStep & {
      provider: PaymentProviderName;
      object: PaymentObjectFacts;
      /** It was looked up anew, since what was settled before said otherwise. */
      again?: boolean;
    }): Promise<SettledObject> {
      return watched(of, async () => {
        switch (object.kind) {
          case 'payment': {
            const row = await payments.note(provider, object.facts);
            return { outcome: row?.state ?? 'foreign', purchaseId: row?.purchaseId ?? null };
          }
          case 'refund':
            return { outcome: await providerRefunds.settle(provider, object.facts, { again }), purchaseId: null };
          case 'dispute': {
            const outcome = await disputes.settle(provider, object.facts);
            const kept = outcome === 'won' ? keptAsRefund(object.facts) : undefined;
            if (kept) await providerRefunds.settle(provider, kept);
            return { outcome, purchaseId: null };
          }
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

    /** It takes longer than any refund should. */
    async tellRefundPending({ refundId }: { refundId: string }): Promise<void> {
      await providerRefunds.stuck(refundId, 'the provider has not ended it for ten days');
    },

    async resumePayments(): Promise<{ events: number; refunds: number }> {
      return { events: await paymentEvents.resume(), refunds: await providerRefunds.resume() };
    },

    async refuseRefund(refusal: { refundId: string; failure: string }): Promise<RefundState> {
      return providerRefunds.refuse(refusal);
    },
  };
}

/** What a bank leaves with its customer of a dispute that it decided for us is a refund that it has made. */
function keptAsRefund({ disputeId, paymentId, kept }: DisputeFacts): RefundFacts | undefined {
  // Facts that were looked up by an earlier version have none.
  if (kept === undefined || kept === null) return undefined;
  const reason = `${disputeId} was won in part`;
  return { providerRefundId: disputeId, refundId: null, paymentId, state: 'done', money: kept, reason };
}

export type PaymentActivities = ReturnType<typeof createPaymentActivities>;
