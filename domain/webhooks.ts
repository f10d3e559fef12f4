import { z } from 'zod';
import { DomainError } from './errors.ts';
import { idSchema } from './ids.ts';
import { amountSchema, currencySchema } from './money.ts';
import { disputeStates } from './payments.ts';

/** What is told to programs of others, by the Standard Webhooks specification. Pure: stores/webhooks.ts keeps it. */

/** What each event says: ids and amounts, never a document, so that it stays far below what receivers take. */
export const webhookEventData = {
  'order.paid': z.strictObject({
    purchaseId: z.string().min(1).max(100),
    listingId: z.string().min(1).max(100),
    licenseId: idSchema('license'),
    buyerId: z.string().min(1).max(100),
    amount: amountSchema,
    currency: currencySchema,
    paidAt: z.iso.datetime(),
  }),
  'order.refunded': z.strictObject({
    purchaseId: z.string().min(1).max(100),
    refundId: idSchema('refund'),
    buyerId: z.string().min(1).max(100),
    amount: amountSchema,
    currency: currencySchema,
    refundedAt: z.iso.datetime(),
  }),
  'order.disputed': z.strictObject({
    purchaseId: z.string().min(1).max(100),
    disputeId: z.string().min(1).max(255),
    buyerId: z.string().min(1).max(100),
    state: z.enum(disputeStates),
    amount: amountSchema,
    currency: currencySchema,
    changedAt: z.iso.datetime(),
  }),
  'license.revoked': z.strictObject({
    licenseId: idSchema('license'),
    holderId: z.string().min(1).max(100),
    packageHash: z.string().regex(/^[0-9a-f]{64}$/),
    purchaseId: z.string().max(100).nullable(),
    revokedAt: z.iso.datetime(),
  }),
} as const;
export type WebhookEventType = keyof typeof webhookEventData;
export type WebhookEventData<Type extends WebhookEventType> = z.infer<(typeof webhookEventData)[Type]>;
export const webhookEventTypes = Object.keys(webhookEventData) as [WebhookEventType, ...WebhookEventType[]];

/** The specification asks for less than 20 kB. */
export const mostEventBytes = 16 * 1024;

/** What is the same event, however often it is told: a purchase is paid once, a dispute opened once and ended once. */
const subjects: { [Type in WebhookEventType]: (data: WebhookEventData<Type>) => string } = {
  'order.paid': ({ purchaseId }) => purchaseId,
  'order.refunded': ({ refundId }) => refundId,
  'order.disputed': ({ disputeId, state }) => `${disputeId}:${state}`,
  'license.revoked': ({ licenseId }) => licenseId,
};

export interface WebhookEvent {
  key: string;
  /** The bytes that are signed and sent, the same at every try. */
  body: string;
}

/** @throws INTERNAL for data that is not of the type, or too long: both are a fault of ours */
export function webhookEventOf<Type extends WebhookEventType>(
  type: Type,
  data: WebhookEventData<Type>,
  at: Date,
): WebhookEvent {
  const parsed = webhookEventData[type].safeParse(data);
  if (!parsed.success)
    throw new DomainError('INTERNAL', `the data of ${type} is not what it says`, { cause: parsed.error });
  const body = JSON.stringify({ type, timestamp: at.toISOString(), data: parsed.data });
  if (new TextEncoder().encode(body).length > mostEventBytes)
    throw new DomainError('INTERNAL', `an event ${type} is over ${mostEventBytes} bytes`);
  return { key: `${type}:${subjects[type](data)}`, body };
}

export const webhookStates = ['active', 'disabled'] as const;
export type WebhookState = (typeof webhookStates)[number];

export const deliveryStates = ['pending', 'sending', 'delivered', 'failed'] as const;
export type DeliveryState = (typeof deliveryStates)[number];

/** Endpoints of one owner. */
export const mostWebhooks = 10;
/** Two, so that a receiver can go over to the new one before the old one is gone; each event is signed with both. */
export const mostWebhookSecrets = 2;
/** Deliveries to one endpoint at once: one that is slow does not take all there is. */
export const mostAtOnce = 2;
/** To all endpoints of an owner at once, whoever works: what others wait for is not how slow, or many, theirs are. */
export const mostAtOnceOfOwner = 4;

/** How often a person may ask for one delivery again. */
export const mostRedeliveries = 20;
/** How many of an owner's deliveries that were asked for again may be under way at once. */
export const mostRedeliveriesAtOnce = 20;

const leastWaitSeconds = 5;
const longestWaitSeconds = 600;

/**
 * Seconds until there may be room for a delivery: one for each that stands before it, so that of a long line a few a second look
 * whether there is room, and the first ones first.
 * @param ahead how many to its endpoint have waited for longer, counted up to `mostCounted`
 */
export function waitInLine(ahead: number): number {
  return Math.min(Math.max(leastWaitSeconds, ahead), longestWaitSeconds);
}
/** Further back in the line everybody waits alike. */
export const mostCounted = longestWaitSeconds;

/** Seconds between tries: a day and some hours in all. */
const delays = [5, 60, 300, 1_800, 7_200, 18_000, 36_000, 36_000] as const;
/** A receiver may put it off for a day. */
const longestPutOffSeconds = 86_400;

export interface WebhookTry {
  /** Tries so far, with this one. */
  attempts: number;
  /** What it answered; undefined: nothing came. */
  status: number | undefined;
  retryAfterSeconds?: number | undefined;
}

export interface WebhookStep {
  state: DeliveryState;
  /** The receiver wants no more of them, ever. */
  disable?: true;
  againInSeconds?: number;
}

/** What follows from a try: 2xx is delivered, 410 ends the endpoint, everything else is tried again for a while, redirects too. */
export function afterWebhookTry({ attempts, status, retryAfterSeconds = 0 }: WebhookTry): WebhookStep {
  if (status !== undefined && status >= 200 && status < 300) return { state: 'delivered' };
  if (status === 410) return { state: 'failed', disable: true };
  const delay = delays[attempts - 1];
  if (delay === undefined) return { state: 'failed' };
  return { state: 'pending', againInSeconds: Math.max(delay, Math.min(retryAfterSeconds, longestPutOffSeconds)) };
}

/**
 * @param setting of fleet.yaml that has `allowPrivate`
 * @returns why it can be no endpoint, and what would be one; undefined where it may be
 */
export function webhookUrlFault(
  text: string,
  allowPrivate: readonly string[],
  setting = 'webhooks.allowPrivate',
): { rule: string; mend: string } | undefined {
  const url = URL.parse(text);
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    return {
      rule: 'must be an https:// address',
      mend: 'Write the whole address, such as https://shop.example/hooks.',
    };
  if (url.username !== '' || url.password !== '')
    return { rule: 'must hold no name or password', mend: 'Every event is signed: check the signature instead.' };
  if (url.hash !== '') return { rule: 'must hold no fragment', mend: 'Leave out what follows the #.' };
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (url.protocol === 'http:' && !allowPrivate.includes(host))
    return {
      rule: 'must be https',
      mend: `Use https; http goes only to hosts that \`${setting}\` of fleet.yaml names.`,
    };
  return undefined;
}
