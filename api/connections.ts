import type { ConnectionOptions } from 'node:tls';
import { Client, Connection } from '@temporalio/client';
import { OpenTelemetryWorkflowClientInterceptor } from '@temporalio/interceptors-opentelemetry/lib/client/index.js';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { createPayloads, dataConverterOf, type PayloadSettings } from '../config/payload-codec.ts';
import type { ServerTls } from '../config/tls.ts';
import { createEmbedders } from '../integrations/embeddings/embedders.ts';
import { announcePayloadKey } from '../integrations/payload-keys.ts';
import { secretBoxOf } from '../integrations/secret-box.ts';
import { openSigningKey } from '../integrations/signing.ts';
import { createApiMetrics } from '../observability/api-metrics.ts';
import { createDatabase } from '../stores/database.ts';
import { createListenerFactory } from '../stores/listen.ts';
import type { ApiDeps } from './types.ts';

export interface ConnectionSettings {
  databaseUrl: string;
  redisUrl: string;
  temporalAddress: string;
  temporalNamespace: string;
  /** Absent: all three in the clear. */
  tls?: ServerTls | undefined;
  /** By what payloads are encoded and read; absent: neither. */
  payloads?: PayloadSettings;
  controlSocket?: string | undefined;
  temporalUi?: string | undefined;
  prometheusUrl?: string | undefined;
  publicUrl?: string | undefined;
  modelKey?: string | undefined;
  /** 32 bytes, base64url, as the three after it. */
  secretKey?: string | undefined;
  secretKeyOld?: string | undefined;
  webhookKey?: string | undefined;
  webhookKeyOld?: string | undefined;
  /** PKCS8 PEM of an Ed25519 key. */
  signingKey?: string | undefined;
  stripeWebhookSecret?: string | undefined;
  trustProxy?: readonly string[] | undefined;
  /** Whether what it starts carries the trace of the request on. */
  traced?: boolean;
  log: Logger;
}

/** Everything the API stands on, opened when first used: each may come later, go away and come back. */
export function connect(settings: ConnectionSettings): { deps: ApiDeps; close(): Promise<void> } {
  const { log } = settings;
  const db = createDatabase({
    url: settings.databaseUrl,
    name: 'soulfra api',
    tls: settings.tls?.postgres,
    onIdleError: (err) => log.warn({ err }, 'a database connection broke'),
  });
  const connection = Connection.lazy({
    address: settings.temporalAddress,
    connectTimeout: '3 seconds',
    ...(settings.tls && { tls: settings.tls.temporal }),
  });
  const { temporalNamespace: namespace } = settings;
  const payloads = createPayloads(settings.payloads, {
    announce: (keyId) => announcePayloadKey(connection, { namespace, keyId, log }),
  });
  const temporal = new Client({
    connection,
    namespace,
    dataConverter: dataConverterOf(payloads),
    ...(settings.traced && { interceptors: { workflow: [new OpenTelemetryWorkflowClientInterceptor()] } }),
  });
  const redis = connectRedis(settings.redisUrl, log, settings.tls?.redis);
  const embedders = createEmbedders({ apiKey: settings.modelKey });
  const deps: ApiDeps = {
    db,
    listen: createListenerFactory(
      settings.databaseUrl,
      (err) => log.warn({ err }, 'listening broke off'),
      settings.tls?.postgres,
    ),
    temporal,
    redis,
    controlSocket: settings.controlSocket,
    temporalUi: settings.temporalUi,
    prometheusUrl: settings.prometheusUrl,
    payloads,
    publicUrl: settings.publicUrl,
    embedderOf: embedders.of,
    secretBox: secretBoxOf(settings.secretKey, settings.secretKeyOld),
    webhookBox: secretBoxOf(settings.webhookKey, settings.webhookKeyOld),
    signingKey: settings.signingKey === undefined ? undefined : openSigningKey(settings.signingKey),
    stripeWebhookSecret: settings.stripeWebhookSecret,
    trustProxy: settings.trustProxy,
    log,
    metrics: createApiMetrics(),
  };
  return {
    deps,
    async close() {
      redis.disconnect();
      await Promise.all([connection.close(), db.destroy(), embedders.close()]);
    },
  };
}

/** Commands fail at once while it is away: whoever asks has a way without it. */
function connectRedis(url: string, log: Logger, tls?: ConnectionOptions): Redis {
  const redis = new Redis(url, {
    ...(tls && { tls }),
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 2_000,
    commandTimeout: 500,
    retryStrategy: (times) => Math.min(2_000, times * 200),
  });
  let away = false;
  redis.on('error', (err) => {
    if (!away) log.warn({ err }, 'Redis is away; limits are counted in this process');
    away = true;
  });
  redis.on('ready', () => {
    if (away) log.info('Redis is back');
    away = false;
  });
  // Its failure is told by the error event, and it is tried again from there.
  redis.connect().catch(() => undefined);
  return redis;
}
