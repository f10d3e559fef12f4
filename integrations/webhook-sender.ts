import { DomainError, isDomainError } from '../domain/errors.ts';
import { retryAfterOf } from '../domain/retry-after.ts';
import type { GuardedFetch } from './guarded-fetch.ts';
import type { SecretBox } from './secret-box.ts';
import { signatureOf } from './standard-webhooks.ts';

/** Milliseconds for names, connection and the head of the answer: the specification has 15 to 30 s. */
const timeoutMs = 15_000;

export interface SignedEvent {
  /** The webhook-id: the same at every try. */
  id: string;
  /** Whose endpoint it is. */
  ownerId: string;
  url: string;
  body: string;
  secrets: ReadonlyArray<{ id: string; sealed: Uint8Array }>;
  signal: AbortSignal;
}

export interface WebhookAnswer {
  /** Undefined: nothing came. */
  status: number | undefined;
  reason: string;
  retryAfterSeconds?: number | undefined;
}

export interface WebhookSenderDeps {
  guardedFetch: GuardedFetch;
  /** Absent: no SOULFRA_WEBHOOK_KEY, so nothing can be signed. */
  box: SecretBox | undefined;
  /** Hosts in private networks that endpoints of this owner may lie on. */
  allowPrivate: (ownerId: string) => Promise<readonly string[]>;
}

/** What a sealed secret of an endpoint is of: it cannot be opened as another one. */
export function webhookSecretAbout(id: string): string {
  return `webhook secret ${id}`;
}

/** Sends one event, signed with each live secret at the time of this try; whatever comes of it is an answer, never a throw. */
export function createWebhookSender({ guardedFetch, box, allowPrivate }: WebhookSenderDeps) {
  return async ({ id, ownerId, url, body, secrets, signal }: SignedEvent): Promise<WebhookAnswer> => {
    try {
      const bytes = Buffer.from(body, 'utf8');
      const timestamp = String(Math.floor(Date.now() / 1000));
      const signatures = opened(secrets).map((secret) => signatureOf(secret, { id, timestamp, body: bytes }));
      const { status, headers } = await guardedFetch(url, {
        body: bytes,
        headers: {
          'content-type': 'application/json',
          'user-agent': 'soulfra-webhooks',
          'webhook-id': id,
          'webhook-timestamp': timestamp,
          'webhook-signature': signatures.join(' '),
        },
        allowPrivate: await allowPrivate(ownerId),
        mostBytes: 0,
        timeoutMs,
        signal,
      });
      const reason =
        status >= 300 && status < 400 ? `it answered ${status}, and no redirect is followed` : `it answered ${status}`;
      return { status, reason, retryAfterSeconds: retryAfterOf(headers['retry-after'], new Date()) };
    } catch (err) {
      if (signal.aborted || !isDomainError(err)) throw err;
      return { status: undefined, reason: err.message.slice(0, 300) };
    }
  };

  function opened(secrets: SignedEvent['secrets']): string[] {
    if (box === undefined) throw new DomainError('UNAVAILABLE', 'SOULFRA_WEBHOOK_KEY is not set for the worker');
    try {
      return secrets.map((secret) => box.open(secret.sealed, webhookSecretAbout(secret.id)));
    } catch (cause) {
      throw new DomainError('UNAVAILABLE', 'SOULFRA_WEBHOOK_KEY is another than the secrets were made under', {
        cause,
      });
    }
  }
}
export type WebhookSender = ReturnType<typeof createWebhookSender>;
