import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { leaseSeconds, renewEverySeconds } from '../domain/health.ts';
import { presenceKey, type Presence } from '../domain/presence.ts';

/** Shows in Redis what the machine does right now. For display alone: without Redis, or after a FLUSHALL, nothing else changes. */
export function showPresence({
  redisUrl,
  machineId,
  read,
  log,
}: {
  redisUrl: string;
  machineId: string;
  read: () => Presence;
  log: Logger;
}) {
  const redis = new Redis(redisUrl, {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    retryStrategy: (times) => Math.min(times * 500, 5_000),
  });
  // Said once an outage, not at every retry.
  let away = false;
  redis.on('error', (err: Error) => {
    if (!away) log.warn({ err }, 'Redis away: presence is not shown');
    away = true;
  });
  redis.on('ready', () => {
    away = false;
  });
  // A refused connection comes by the error event too, and is retried.
  redis.connect().catch(() => undefined);
  const timer = setInterval(
    () => {
      if (redis.status !== 'ready') return;
      redis
        .set(presenceKey(machineId), JSON.stringify(read()), 'EX', leaseSeconds)
        .catch((err: unknown) => log.debug({ err }, 'presence not shown'));
    },
    (renewEverySeconds * 1000) / 5,
  );
  return {
    stop(): void {
      clearInterval(timer);
      redis.disconnect();
    },
  };
}
