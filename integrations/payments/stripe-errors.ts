import Stripe from 'stripe';
import { DomainError } from '../../domain/errors.ts';

const { StripeAuthenticationError, StripeConnectionError, StripeError, StripeIdempotencyError, StripePermissionError } =
  Stripe.errors;

/** The request was never sent. */
const unsent = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'CERT_HAS_EXPIRED']);

/**
 * The one place where a failure of Stripe becomes a code of the table.
 * @param changes whether the request asked for a change, whose outcome may then be unknown
 */
export function stripeError(err: unknown, changes: boolean): unknown {
  if (!(err instanceof StripeError)) return err;
  const told = `Stripe: ${clip(err.message)}`;
  const open = changes ? 'PAYMENT_UNKNOWN' : 'PAYMENT_PROVIDER_DOWN';
  if (err instanceof StripeConnectionError) {
    const sent = !unsent.has(codeOf(err));
    return new DomainError(sent ? open : 'PAYMENT_PROVIDER_DOWN', told, { cause: err });
  }
  if (err instanceof StripeAuthenticationError || err instanceof StripePermissionError)
    return new DomainError('PAYMENTS_NOT_SET_UP', told, { cause: err });
  // The key came before with other content: a fault of ours, which no repetition mends.
  if (err instanceof StripeIdempotencyError) return new DomainError('CONFLICT', told, { cause: err });
  const status = err.statusCode ?? 500;
  // 409: the same key is being worked on, or another request holds the object.
  if (status === 429 || status === 409 || err.code === 'rate_limit' || err.code === 'lock_timeout')
    return new DomainError('PAYMENT_PROVIDER_DOWN', told, { cause: err });
  if (status >= 500) return new DomainError(open, told, { cause: err });
  // What we look up is there, or it is not. Any other answer to that is a fault of the question, and says nothing of the money.
  const answers = changes || status === 404 || err.code === 'resource_missing';
  return new DomainError(answers ? 'PAYMENT_REFUSED' : 'INTERNAL', told, { cause: err });
}

/** A failure that the key will give again for as long as it is kept: the first execution has ended, however it went. */
export function isReplayedFailure(err: unknown): boolean {
  if (!(err instanceof StripeError) || (err.statusCode ?? 0) < 500) return false;
  return err.headers?.['idempotent-replayed'] === 'true';
}

export function isRefusedAs(err: unknown, code: string): boolean {
  return err instanceof StripeError && err.code === code;
}

/** The library hides what the socket said. */
function codeOf(err: InstanceType<typeof StripeConnectionError>): string {
  const at: unknown = err.detail;
  return at instanceof Error && 'code' in at && typeof at.code === 'string' ? at.code : '';
}

function clip(message: string): string {
  return message.length > 300 ? `${message.slice(0, 300)}…` : message;
}
