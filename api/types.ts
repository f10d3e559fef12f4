import type { Client } from '@temporalio/client';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Payloads } from '../config/payload-codec.ts';
import type { Embedder, EmbeddingSettings } from '../domain/embeddings.ts';
import type { Role } from '../domain/states.ts';
import type { SecretBox } from '../integrations/secret-box.ts';
import type { SigningKey } from '../integrations/signing.ts';
import type { ApiMetrics } from '../observability/api-metrics.ts';
import type { AuditActor } from '../stores/audit.ts';
import type { Database } from '../stores/database.ts';
import type { ListenerFactory } from '../stores/listen.ts';
import type { Principal } from '../stores/principals.ts';

/** What the routes stand on; created once by api/connections.ts, by tests with their own servers. */
export interface ApiDeps {
  db: Database;
  listen: ListenerFactory;
  /** Over a lazy connection: Temporal may come later than the API. */
  temporal: Client;
  /** By what payloads in Temporal are encoded and read, and what the client of `temporal` does it with. */
  payloads: Payloads;
  /** Absent or away: limits are counted in this process. */
  redis: Redis | undefined;
  /** Unix socket of the embedded supervisor; absent elsewhere. */
  controlSocket: string | undefined;
  /** Address of Temporal's UI, for links. */
  temporalUi?: string | undefined;
  /** Whose word on the alert rules is shown; absent: none is known. */
  prometheusUrl?: string | undefined;
  /** Where browsers reach this API, without a slash at its end; absent: links in the head of pages are relative. */
  publicUrl?: string | undefined;
  /** What turns texts into vectors, by what fleet.yaml says of it. */
  embedderOf: (settings: EmbeddingSettings) => Embedder;
  /** Addresses and CIDRs of the proxy, whose word on caller, host and protocol is taken. Absent: nobody's is. */
  trustProxy?: readonly string[] | undefined;
  /** Absent: no SOULFRA_SECRET_KEY, so no secret of a sender and no key to sign with can be kept. */
  secretBox: SecretBox | undefined;
  /** Absent: no SOULFRA_WEBHOOK_KEY, so no endpoint can have a secret. Another key than the other secrets': workers have it too. */
  webhookBox?: SecretBox | undefined;
  /** The operator's key out of SOULFRA_SIGNING_KEY_FILE; absent: one is made and kept sealed. */
  signingKey?: SigningKey | undefined;
  /** What Stripe signs its events with; absent: none is taken. */
  stripeWebhookSecret?: string | undefined;
  log: Logger;
  metrics: ApiMetrics;
  /** Where an Ollama of this host would listen. */
  ollamaUrl?: string;
  /** Seconds an SSE stream waits before it looks by itself. @default 10 */
  eventPollSeconds?: number;
  /** Seconds for which a revocation list is answered as it was. @default 10 */
  revocationsKeptSeconds?: number;
  /** Where the built web UI lies. @default dist/ui */
  uiFolder?: string;
}

export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The least role that may call the route; `none` asks for no sign-in. A route without it stops the start. */
    role?: Role | 'none';
    /** Whether the tokens of services open it, too. @default false */
    services?: boolean;
    /** Open to every token whatever its scopes: it tells of or ends the token itself. @default false */
    anyScope?: boolean;
    /** A POST that changes nothing: it asks with more than an address holds. @default false */
    reads?: boolean;
    /** false: no write to account for, such as a renewal every few seconds or a call that leaves nothing behind. true: kept although it only reads. @default each write */
    audit?: boolean;
    /** Origins besides our own whose pages may ask with the session of their browser, such as that of Temporal's UI. */
    origins?: readonly string[];
  }
  interface FastifyRequest {
    /** Null only on routes of role `none`. */
    caller: Principal | null;
    /** Who signed in by a request that came without a caller, for the audit log. */
    signedIn: AuditActor | null;
    /** Whether the audit log has its beginning. */
    auditBegun: boolean;
    /** What it is answered, before that is text. */
    auditAnswer: unknown;
  }
}
