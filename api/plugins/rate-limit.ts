import fastifyRateLimit from '@fastify/rate-limit';
import type { FastifyRequest } from 'fastify';
import type { Redis } from 'ioredis';
import { DomainError } from '../../domain/errors.ts';
import type { Api } from '../types.ts';

const minuteMs = 60_000;
/** Without a token there is no limit of its own to go by. */
const strangerShare = 0.5;
const prefix = 'soulfra:limit:';
/** Callers remembered in this process while Redis is away. */
const mostCallers = 10_000;

interface Counted {
  current: number;
  /** Milliseconds until the window ends. */
  ttl: number;
}

/** Counts in Redis, so that every API process sees the same count; while Redis is away each counts for itself. */
export function createLimitCounter(
  redis: Redis | undefined,
  { windowMs = minuteMs }: { /** Milliseconds. */ windowMs?: number } = {},
) {
  const local = new Map<string, { count: number; until: number }>();

  function countHere(key: string, now: number): Counted {
    const known = local.get(key);
    if (known && known.until > now) {
      known.count += 1;
      return { current: known.count, ttl: known.until - now };
    }
    if (local.size >= mostCallers) for (const [old, { until }] of local) if (until <= now) local.delete(old);
    if (local.size >= mostCallers) local.clear();
    local.set(key, { count: 1, until: now + windowMs });
    return { current: 1, ttl: windowMs };
  }

  async function countInRedis(connected: Redis, key: string): Promise<Counted> {
    const answers = await connected
      .multi()
      .set(prefix + key, 0, 'PX', windowMs, 'NX')
      .incr(prefix + key)
      .pttl(prefix + key)
      .exec();
    const [, [, current] = [], [, ttl] = []] = answers ?? [];
    if (typeof current !== 'number' || typeof ttl !== 'number') throw new Error('Redis did not count');
    return { current, ttl: ttl < 0 ? windowMs : ttl };
  }

  return async (key: string): Promise<Counted> => {
    if (redis?.status !== 'ready') return countHere(key, Date.now());
    try {
      return await countInRedis(redis, key);
    } catch {
      // Its connection broke just now; the connection's own listener logs that once.
      return countHere(key, Date.now());
    }
  };
}

/**
 * Whom a request counts for: its token; without one its address, each open route by itself and all that nobody was let in to
 * together. Many people share an address: what one of them guesses or signs in with locks nobody else out of reading.
 */
function limitKey(request: FastifyRequest): string {
  if (request.caller !== null) return request.caller.tokenId;
  const { config, method, url } = request.routeOptions;
  return `${request.ip} ${config?.role === 'none' ? `${String(method)} ${url}` : 'refused'}`;
}

/** A token's limit a minute is that of fleet.yaml; who comes without one has half of it, see `limitKey`. */
export async function registerRateLimit(
  app: Api,
  options: { redis: Redis | undefined; requestsPerMinute: () => Promise<number> },
): Promise<void> {
  const count = createLimitCounter(options.redis);
  class LimitStore {
    /** `count` has its own way out of every failure, so this never rejects. */
    async incr(key: string, done: (err: Error | null, counted?: Counted) => void): Promise<void> {
      done(null, await count(key));
    }
    child(): LimitStore {
      return this;
    }
  }
  await app.register(fastifyRateLimit, {
    timeWindow: minuteMs,
    store: LimitStore,
    keyGenerator: limitKey,
    max: async (request: FastifyRequest) => {
      const most = await options.requestsPerMinute();
      return request.caller === null ? Math.max(1, Math.round(most * strangerShare)) : most;
    },
    errorResponseBuilder: (_request, { max, ttl }) =>
      new DomainError('RATE_LIMITED', `more than ${max} requests a minute; wait ${Math.ceil(ttl / 1000)} s`),
  });
}
