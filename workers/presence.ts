import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { presenceKey, type Presence, presenceSeconds, showAgainSeconds } from '../domain/presence.ts';

/** What changes several times in one is shown once. */
const gatherMs = 1_000;

/**
 * Shows in Redis what the machine does right now: what has changed soon, and the same again only so that it does not expire.
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
  read: () => Omit<Presence, 'at'>;
  log: Logger;
}) {
  let shownAt = Number.NEGATIVE_INFINITY;
  let gathering: NodeJS.Timeout | undefined;
  let stopped = false;

  async function show(): Promise<void> {
    if (stopped) return;
    shownAt = Number.NEGATIVE_INFINITY;
    if (redis.status !== 'ready') return;
    shownAt = performance.now();
    try {
      const value = JSON.stringify({ ...read(), at: new Date().toISOString() } satisfies Presence);
      await redis.set(presenceKey(machineId), value, 'EX', presenceSeconds);
    } catch (err) {
      shownAt = Number.NEGATIVE_INFINITY;
      log.debug({ err }, 'presence not shown');
    }
  }

  return {
    /** To be called every few seconds: it has no timer of its own, so that it wakes no process that is up for something else anyway. */
    beat(): void {
      if (performance.now() - shownAt >= showAgainSeconds * 1000) void show();
    },
    /** What is shown is no longer so. */
    changed(): void {
      gathering ??= setTimeout(() => {
        gathering = undefined;
        void show();
      }, gatherMs);
    },
    stop(): void {
      stopped = true;
      clearTimeout(gathering);
    },
  };
}
