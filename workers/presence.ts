import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { leaseSeconds, renewEverySeconds } from '../domain/health.ts';
import { presenceKey, type Presence } from '../domain/presence.ts';

/** Shows in Redis what the machine does right now. For display alone: without Redis, or after a FLUSHALL, nothing else changes. */
export function showPresence({
  redis,
  machineId,
  read,
  log,
}: {
  redis: Redis;
  machineId: string;
  read: () => Presence;
  log: Logger;
}) {
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
    },
  };
}
