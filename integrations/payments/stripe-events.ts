import Stripe from 'stripe';
import { DomainError } from '../../domain/errors.ts';
import type { PaymentObjectKind } from '../../domain/payments.ts';

/** How far the time in a signature may lie back, or ahead, in seconds. */
const toleranceSeconds = 300;
const header = /^t=(\d{1,12})(?:,v\d{1,2}=[0-9a-f]+){1,10}$/;

export interface SignedEvent {
  id: string;
  type: string;
  /** When Stripe says that it happened. */
  at: Date;
  /** Of live money, or of test mode. */
  live: boolean;
  /** A connected account's; null: the own one's. */
  account: string | null;
  /** What it is of, to be looked up; null: nothing that we act on. */
  object: { kind: PaymentObjectKind; id: string } | null;
}

/**
 * An event by the bytes as they came. What it says of its object is not read: events come twice, late and out of order.
 * @returns undefined where the signature does not fit, or is older than the tolerance or ahead by as much
 */
export function readStripeEvent(body: Buffer, signature: string, secret: string, now: Date): SignedEvent | undefined {
  // The library looks back only, takes much for a number, and fails on half a header.
  const signedAt = header.exec(signature)?.[1];
  if (signedAt === undefined || Number(signedAt) > now.getTime() / 1000 + toleranceSeconds) return undefined;
  let event: Stripe.Event;
  try {
    event = Stripe.webhooks.constructEvent(body, signature, secret, toleranceSeconds, undefined, now.getTime());
  } catch (err) {
    if (err instanceof Stripe.errors.StripeSignatureVerificationError) return undefined;
    throw new DomainError('MALFORMED_BODY', 'this is no event of Stripe that is known here', { cause: err });
  }
  return {
    id: event.id,
    type: event.type,
    at: new Date(event.created * 1000),
    live: event.livemode,
    account: event.account ?? null,
    object: objectOf(event),
  };
}

function objectOf(event: Stripe.Event): SignedEvent['object'] {
  const object = event.data.object as { object?: string; id?: string; payment_intent?: string | { id: string } | null };
  if (object.id === undefined) return null;
  switch (object.object) {
    case 'checkout.session':
      return { kind: 'checkout', id: object.id };
    case 'payment_intent':
      return { kind: 'payment', id: object.id };
    case 'charge': {
      const intent = object.payment_intent;
      const id = typeof intent === 'string' ? intent : intent?.id;
      return id === undefined ? null : { kind: 'payment', id };
    }
    case 'refund':
      return { kind: 'refund', id: object.id };
    case 'dispute':
      return { kind: 'dispute', id: object.id };
    default:
      return null;
  }
}
