import { z } from 'zod';
import { clockSchema, timeZoneSchema } from './drop-times.ts';
import { durationSchema } from './durations.ts';
import { slugSchema } from './ids.ts';
import { severities } from './notices.ts';

/** Whom a fleet tells what waits for a person, and how. Pure: stores/notifications.ts keeps what was told. */

const shared = {
  id: slugSchema,
  /** What is less is not told there. */
  least: z.enum(severities).default('info'),
};
const httpUrl = z.url({ protocol: /^https?$/, error: 'must be an https:// address' }).max(2_000);

const destinationSchema = z.discriminatedUnion('kind', [
  /** Signed by the Standard Webhooks specification; its secret stands in SOULFRA_NOTIFY_SECRETS. */
  z.strictObject({ kind: z.literal('webhook'), ...shared, url: httpUrl }),
  /** Its address is a secret and stands in SOULFRA_NOTIFY_SECRETS. */
  z.strictObject({ kind: z.literal('discord'), ...shared }),
  /** Server and topic; where the topic is a secret it stands in SOULFRA_NOTIFY_SECRETS instead. */
  z.strictObject({ kind: z.literal('ntfy'), ...shared, url: httpUrl.optional() }),
  /** Through the mail server of the workers (SMTP_URL). */
  z.strictObject({ kind: z.literal('mail'), ...shared, to: z.email().max(254) }),
]);
export type Destination = z.output<typeof destinationSchema>;

export const notifySchema = z
  .strictObject({
    destinations: z
      .array(destinationSchema)
      .max(20)
      .refine((all) => new Set(all.map(({ id }) => id)).size === all.length, {
        error: 'must have ids of their own',
        params: { mend: 'Give each destination another id.' },
      })
      .default([]),
    /** What comes within this of the first is told in one message. */
    groupFor: durationSchema.default('30s'),
    /** What is still open is told again after this long. */
    remindAfter: durationSchema.default('1d'),
    /** Hosts in private networks that destinations and the heartbeat may lie on, also by http: names or addresses. */
    allowPrivate: z.array(z.string().min(1).max(253).toLowerCase()).max(50).default([]),
    /** One message a day: what ran, what failed, what waits, money, drops. */
    digest: z
      .strictObject({
        at: clockSchema,
        timeZone: timeZoneSchema.default('UTC'),
        /** Ids of destinations. @default all */
        to: z.array(slugSchema).min(1).max(20).optional(),
      })
      .optional(),
    /** An address outside that is asked for as long as the fleet works: who watches it tells when it falls silent. */
    heartbeat: z
      .strictObject({
        /** Absent: it stands in SOULFRA_NOTIFY_SECRETS under `heartbeat`. */
        url: httpUrl.optional(),
        every: durationSchema.default('1m'),
      })
      .optional(),
  })
  .refine(
    ({ destinations, digest }) => (digest?.to ?? []).every((id) => destinations.some((other) => other.id === id)),
    { path: ['digest', 'to'], error: 'must name destinations', params: { mend: 'Name ids of notify.destinations.' } },
  );
export type Notify = z.output<typeof notifySchema>;

/** What destinations have that is no one else's business, by their ids; `heartbeat` is the heartbeat's. */
export const notifySecretsSchema = z.record(
  slugSchema,
  z.strictObject({
    /** Of a Discord webhook, an ntfy topic, or the heartbeat. */
    url: httpUrl.optional(),
    /** What messages to a webhook are signed with. */
    secret: z
      .string()
      .regex(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/, 'must be whsec_ and 24 to 64 bytes as base64')
      .optional(),
    /** Of an ntfy server. */
    token: z
      .string()
      .regex(/^[\x21-\x7e]{1,500}$/, 'must be 1 to 500 visible ASCII characters')
      .optional(),
  }),
);
export type NotifySecrets = z.output<typeof notifySecretsSchema>;

/** @returns undefined for what are none; never why, since what stands there is secret */
export function notifySecretsOf(text: string): NotifySecrets | undefined {
  try {
    return notifySecretsSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

export const notificationStates = ['pending', 'sending', 'sent', 'failed'] as const;
export type NotificationState = (typeof notificationStates)[number];
export const notificationKinds = ['notices', 'digest', 'test'] as const;
export type NotificationKind = (typeof notificationKinds)[number];

/**
 * What came of a try. not_sent: no byte left, or it was asked to come later. refused: it will not be taken as it is.
 * unconfirmed: bytes left and no answer came.
 */
export type NotifyOutcome = 'sent' | 'not_sent' | 'refused' | 'unconfirmed';

export interface NotifyTry {
  outcome: NotifyOutcome;
  /** Tries so far, with this one. */
  attempts: number;
  /** Seconds since it was first to be told. */
  age: number;
  /** For how long the other side wants to be left alone. */
  waitSeconds?: number | undefined;
}

export type NotifyStep = { state: NotificationState; againInSeconds?: number };

const delays = [5, 15, 60, 120] as const;
/** A destination that comes back is told within this. */
const usualDelay = 300;
/** What it refuses a person has to mend; asked too often, services bar the address. */
const refusedDelay = 900;
/** What could not be told for a day is told no more by itself; a reminder comes where it is still open. */
const givenUpAfter = 86_400;
const longestPutOff = 3_600;
/** From so many tries on others are told that it fails. */
export const failingFrom = 3;

/** What follows from a try. Who is not told of a lost machine is worse off than who hears of it twice: it is tried again even where it may have arrived. */
export function afterNotifyTry({ outcome, attempts, age, waitSeconds = 0 }: NotifyTry): NotifyStep {
  if (outcome === 'sent') return { state: 'sent' };
  const delay = outcome === 'refused' ? refusedDelay : (delays[attempts - 1] ?? usualDelay);
  const againInSeconds = Math.max(delay, Math.min(waitSeconds, longestPutOff));
  if (age + againInSeconds > givenUpAfter) return { state: 'failed' };
  return { state: 'pending', againInSeconds };
}
