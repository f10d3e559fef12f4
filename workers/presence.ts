import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { leaseSeconds, renewEverySeconds } from '../domain/health.ts';
import { presenceKey, type Presence } from '../domain/presence.ts';

const lookMs = 1_000;

/**
 * Shows in Redis what the machine does right now: what has changed at once, and the same again only so that it does not expire.
 * For display alone: without Redis, or after a FLUSHALL, nothing else changes.
 */
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
  let shown: { what: string; at: number } | undefined;

  async function show(): Promise<void> {
    if (redis.status !== 'ready') return;
    const { at, ...now } = read();
    const what = JSON.stringify(now);
    if (shown?.what === what && performance.now() - shown.at < renewEverySeconds * 1000) return;
    const before = shown;
    shown = { what, at: performance.now() };
    try {
      await redis.set(presenceKey(machineId), JSON.stringify({ ...now, at }), 'EX', leaseSeconds);
    } catch (err) {
      shown = before;
      log.debug({ err }, 'presence not shown');
    }
  }

  const timer = setInterval(() => void show(), lookMs);
  return {
    stop(): void {
      clearInterval(timer);
    },
  };
}
