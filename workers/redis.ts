import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';

/**
 * The worker's connection to Redis, for what is only shown: commands fail at once while it is away, and nothing waits for
 * it. Its absence is said once, not at every retry.
 */
export function connectRedis(url: string, log: Logger, tls?: ConnectionOptions): Redis {
  const redis = new Redis(url, {
    ...(tls && { tls }),
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    retryStrategy: (times) => Math.min(times * 500, 5_000),
  });
  let away = false;
  redis.on('error', (err: Error) => {
    if (!away) log.warn({ err }, 'Redis away: presence and answers under way are not shown');
    away = true;
  });
  redis.on('ready', () => {
    away = false;
  });
  // A refused connection comes by the error event too, and is retried.
  redis.connect().catch(() => undefined);
  return redis;
}
