import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import Stripe from 'stripe';
import { DomainError } from '../../domain/errors.ts';
import type { ProviderAccount } from '../../domain/payments.ts';
import type { PaymentProvider } from './payments.ts';
import { toStripe } from './stripe-amounts.ts';
import { isRefusedAs, isReplayedFailure, stripeError } from './stripe-errors.ts';
import {
  checkoutFacts,
  disputeFacts,
  paymentFacts,
  payoutKey,
  purchaseKey,
  refundFacts,
  refundKey,
} from './stripe-facts.ts';

export interface StripeSettings {
  secretKey: string;
  /** Another place than Stripe's own, such as a double of it. */
  url?: string | undefined;
  /** A call takes no longer, or its outcome is unknown. @default 20000 */
  callMs?: number | undefined;
}

/** Objects that a list of ours may hold: what one purchase or one payout has. */
const mostListed = 100;
/** Keys tried before somebody must look: each failed at Stripe for good. */
const mostKeys = 5;
const withFee = ['latest_charge.balance_transaction'];

/**
 * Stripe: hosted Checkout with manual capture, separate charges and transfers. Whatever is not naturally once (a refund, a
 * transfer) is looked for before it is asked for, since Stripe forgets keys after a day.
 */
export function createStripe({ secretKey, url, callMs = 20_000 }: StripeSettings): PaymentProvider {
  const stripe = new Stripe(secretKey, {
    // Temporal is the one retry loop.
    maxNetworkRetries: 0,
    httpClient: askingOnce(url),
    timeout: callMs,
    telemetry: false,
    ...(url === undefined ? {} : addressOf(url)),
  });

  async function ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (err) {
      throw stripeError(err, false);
    }
  }

  /**
   * Asks for a change under a key. Stripe answers a key whose execution failed with that failure for as long as it keeps it:
   * then what was asked for is looked for, and where it is not there, asked for under the next key.
   */
  async function change<T>(
    key: string,
    make: (options: Stripe.RequestOptions) => Promise<T>,
    look: () => Promise<T | undefined>,
  ): Promise<T> {
    for (let nth = 1; nth <= mostKeys; nth += 1) {
      try {
        return await make({ idempotencyKey: nth === 1 ? key : `${key}:${nth}` });
      } catch (err) {
        if (!isReplayedFailure(err)) throw stripeError(err, true);
      }
      const found = await ask(look);
      if (found !== undefined) return found;
    }
    throw new DomainError('PAYMENT_UNKNOWN', `Stripe: ${mostKeys} tries of ${key} failed there`);
  }

  const intent = (id: string) => stripe.paymentIntents.retrieve(id, { expand: withFee });
  const session = (id: string) =>
    stripe.checkout.sessions.retrieve(id, {
      expand: ['payment_intent', 'payment_intent.latest_charge.balance_transaction'],
    });

  async function ofPayment(paymentId: string, refundId: string): Promise<Stripe.Refund | undefined> {
    const { data } = await stripe.refunds.list({ payment_intent: paymentId, limit: mostListed });
    return data.find(({ metadata }) => metadata?.[refundKey] === refundId);
  }

  let own: ProviderAccount | undefined;

  return {
    name: 'stripe',

    async account() {
      // A key stays of its account and mode, so it is asked once.
      own ??= { account: (await ask(() => stripe.accounts.retrieveCurrent())).id, live: isLive(secretKey) };
      return own;
    },

    async openCheckout({ purchaseId, money, title, returnUrl, expiresAt }, key) {
      const { amount, currency } = toStripe(money);
      const metadata = { [purchaseKey]: purchaseId };
      const opened = await change(
        key,
        (options) =>
          stripe.checkout.sessions.create(
            {
              mode: 'payment',
              // What is authorised first and captured later; wallets come with it.
              allowed_payment_method_types: ['card'],
              // The price is what was agreed on here, in its currency.
              adaptive_pricing: { enabled: false },
              client_reference_id: purchaseId,
              metadata,
              line_items: [
                { quantity: 1, price_data: { currency, unit_amount: amount, product_data: { name: title } } },
              ],
              payment_intent_data: { capture_method: 'manual', transfer_group: purchaseId, metadata },
              success_url: returnUrl,
              cancel_url: returnUrl,
              expires_at: Math.floor(expiresAt / 1000),
            },
            options,
          ),
        // A page whose address nobody was told is no page: there is nothing to look for.
        () => Promise.resolve(undefined),
      );
      return { checkoutId: opened.id, url: opened.url };
    },

    async checkout(checkoutId) {
      return checkoutFacts(await ask(() => session(checkoutId)));
    },

    async payment(paymentId) {
      return paymentFacts(await ask(() => intent(paymentId)));
    },

    async capture(paymentId, key) {
      const before = await ask(() => intent(paymentId));
      if (before.status === 'succeeded' || before.status === 'canceled') return paymentFacts(before);
      const captured = await change(
        key,
        (options) => stripe.paymentIntents.capture(paymentId, { expand: withFee }, options),
        async () => {
          const now = await intent(paymentId);
          return now.status === 'succeeded' ? now : undefined;
        },
      );
      return paymentFacts(captured);
    },

    async cancel({ checkoutId, paymentId }, key) {
      const page = await ask(() => session(checkoutId));
      const target =
        paymentId ?? (typeof page.payment_intent === 'string' ? page.payment_intent : page.payment_intent?.id);
      if (page.status === 'open') {
        await change(
          `${key}:page`,
          async (options) => {
            try {
              await stripe.checkout.sessions.expire(checkoutId, {}, options);
            } catch (err) {
              // It was paid or ran out at this very moment: what is left is looked at below.
              if (!isRefusedAs(err, 'resource_already_exists') && !isNotOpen(err)) throw err;
            }
            return true;
          },
          () => Promise.resolve(undefined),
        );
      }
      if (target === undefined) return checkoutFacts(await ask(() => session(checkoutId)));
      const now = await ask(() => intent(target));
      // Where nobody has paid, the page was all there was: Stripe itself ends what hangs on it.
      if (now.status !== 'requires_capture') return checkoutFacts(await ask(() => session(checkoutId)));
      const canceled = await change(
        key,
        (options) => stripe.paymentIntents.cancel(target, {}, options),
        async () => {
          const found = await intent(target);
          return found.status === 'canceled' ? found : undefined;
        },
      );
      return paymentFacts(canceled, checkoutId);
    },

    async refund({ paymentId, refundId, money }, key) {
      const known = await ask(() => ofPayment(paymentId, refundId));
      const refund =
        known ??
        (await change(
          key,
          (options) =>
            stripe.refunds.create(
              { payment_intent: paymentId, amount: toStripe(money).amount, metadata: { [refundKey]: refundId } },
              options,
            ),
          () => ofPayment(paymentId, refundId),
        ));
      return refundFacts(refund);
    },

    async findRefund(id) {
      return refundFacts(await ask(() => stripe.refunds.retrieve(id)));
    },

    async dispute(id) {
      return disputeFacts(await ask(() => stripe.disputes.retrieve(id)));
    },

    async transfer({ payoutId, account, money }, key) {
      const ofPayout = async () => {
        const { data } = await stripe.transfers.list({ transfer_group: payoutId, limit: mostListed });
        return data.find(({ metadata }) => metadata[payoutKey] === payoutId);
      };
      const known = await ask(ofPayout);
      const made =
        known ??
        (await change(
          key,
          (options) =>
            stripe.transfers.create(
              {
                ...toStripe(money),
                destination: account,
                transfer_group: payoutId,
                metadata: { [payoutKey]: payoutId },
              },
              options,
            ),
          ofPayout,
        ));
      return { transferId: made.id };
    },
  };
}

/**
 * The library sends a request again when its connection broke, also where it may try no second time: it goes by the code of
 * the error, which is left out here. A connection for each request, so that none breaks because it was idle.
 */
function askingOnce(url: string | undefined): Stripe.HttpClient {
  const Agent = url?.startsWith('http:') === true ? HttpAgent : HttpsAgent;
  const client = Stripe.createNodeHttpClient(new Agent({ keepAlive: false }));
  return {
    getClientName: () => client.getClientName(),
    async makeRequest(...request) {
      try {
        return await client.makeRequest(...request);
      } catch (err) {
        if (err instanceof Error && 'code' in err && (err.code === 'ECONNRESET' || err.code === 'EPIPE'))
          throw new Error(`the connection broke: ${err.message}`, { cause: err });
        throw err;
      }
    },
  };
}

/** Stripe's keys say themselves which mode they are of. */
function isLive(secretKey: string): boolean {
  return /^[sr]k_live_/.test(secretKey);
}

function isNotOpen(err: unknown): boolean {
  return err instanceof Stripe.errors.StripeInvalidRequestError && err.statusCode === 400;
}

function addressOf(url: string): Pick<Stripe.StripeConfig, 'host' | 'port' | 'protocol'> {
  const { hostname, port, protocol } = new URL(url);
  const plain = protocol === 'http:';
  return { host: hostname, port: port === '' ? (plain ? 80 : 443) : port, protocol: plain ? 'http' : 'https' };
}
