import { sql } from 'kysely';
import type { ApiDeps } from './types.ts';

export interface PartHealth {
  state: 'up' | 'down';
  ms: number;
  reason?: string;
}
export interface Readiness {
  /** degraded: there is no Redis, everything works with limits counted per process. One that should be there and is not makes it unavailable. */
  state: 'ready' | 'degraded' | 'unavailable';
  parts: Record<'postgres' | 'temporal' | 'redis', PartHealth>;
}

export const notConfigured = 'not configured';
const partMs = 1_500;
/** Whoever asks many times a second is told the same. */
const keptMs = 200;

export function createReadiness({ db, temporal, redis }: Pick<ApiDeps, 'db' | 'temporal' | 'redis'>) {
  let kept: { at: number; readiness: Promise<Readiness> } | undefined;

  async function look(): Promise<Readiness> {
    const [postgres, temporalHealth, redisHealth] = await Promise.all([
      timed(() => sql`select 1`.execute(db)),
      timed(() => temporal.withDeadline(Date.now() + partMs, () => temporal.workflowService.getSystemInfo({}))),
      redis === undefined
        ? { state: 'down' as const, ms: 0, reason: notConfigured }
        : timed(async () => {
            if (redis.status !== 'ready') throw new Error(`its connection is ${redis.status}`);
            await redis.ping();
          }),
    ]);
    const up = [postgres, temporalHealth, ...(redis === undefined ? [] : [redisHealth])];
    return {
      state: up.some(({ state }) => state === 'down') ? 'unavailable' : redis === undefined ? 'degraded' : 'ready',
      parts: { postgres, temporal: temporalHealth, redis: redisHealth },
    };
  }

  return (): Promise<Readiness> => {
    if (kept === undefined || Date.now() - kept.at > keptMs) kept = { at: Date.now(), readiness: look() };
    return kept.readiness;
  };
}

async function timed(ask: () => Promise<unknown>): Promise<PartHealth> {
  const since = performance.now();
  const ms = () => Math.round(performance.now() - since);
  const asked = ask().then(
    () => ({ state: 'up' as const, ms: ms() }),
    (err: unknown) => ({ state: 'down' as const, ms: ms(), reason: reasonOf(err) }),
  );
  const late = Promise.withResolvers<PartHealth>();
  const timer = setTimeout(() => late.resolve({ state: 'down', ms: ms(), reason: 'no answer in time' }), partMs);
  try {
    return await Promise.race([asked, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Addresses stay in the log; whoever may ask without a sign-in learns only which part it is. */
function reasonOf(err: unknown): string {
  if (err instanceof Error && 'code' in err && typeof err.code === 'string') return err.code;
  return err instanceof Error && err.message.startsWith('its connection') ? err.message : 'does not answer';
}
