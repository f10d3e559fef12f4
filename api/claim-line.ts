import type { Logger } from 'pino';
import { DomainError } from '../domain/errors.ts';
import type { Listener, ListenerFactory } from '../stores/listen.ts';
import { type Claim, workOffersChannel, type WorkStore } from '../stores/work.ts';
import type { WorkLeases } from './work-leases.ts';

/** What a lost NOTIFY left lying is seen after this. */
const sweepEveryMs = 10_000;
/** Claims of one service that wait at once in this process. */
const mostWaiting = 500;

interface Waiter {
  give(claim: Claim | undefined): void;
  fail(err: unknown): void;
}

export interface ClaimLineOptions {
  works: WorkStore;
  leases: WorkLeases;
  listen: ListenerFactory;
  log: Logger;
}

/**
 * Claims that wait for work, the first first. One look at a time a service, whenever NOTIFY says that there is something: a
 * crowd that waits asks Postgres no more often than one that waits alone.
 */
export function createClaimLine({ works, leases, listen, log }: ClaimLineOptions) {
  const lines = new Map<string, Set<Waiter>>();
  const looking = new Map<string, { done: Promise<void>; again: boolean }>();
  let listener: Listener | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  /** A claim that Temporal still stands by. */
  async function take(serviceId: string): Promise<Claim | undefined> {
    for (;;) {
      const claim = await works.claim(serviceId);
      if (claim === undefined) return undefined;
      const stands = await leases.renew(claim.taskToken).catch(async (err: unknown) => {
        // Temporal has not said no: whoever claims next may have it.
        await works.giveBack(claim, true);
        throw err;
      });
      if (stands) return claim;
      await works.giveBack(claim);
    }
  }

  async function giveBack(claim: Claim): Promise<void> {
    await works.giveBack(claim);
    await leases.release(claim);
  }

  async function serve(serviceId: string, state: { again: boolean }): Promise<void> {
    do {
      state.again = false;
      const line = lines.get(serviceId);
      while (line !== undefined && line.size > 0) {
        const claim = await take(serviceId);
        if (claim === undefined) break;
        const [first] = line;
        if (first === undefined) await giveBack(claim);
        else first.give(claim);
      }
    } while (state.again);
  }

  async function look(serviceId: string): Promise<void> {
    const known = looking.get(serviceId);
    if (known) {
      known.again = true;
      return known.done;
    }
    const state = { again: false, done: Promise.resolve() };
    looking.set(serviceId, state);
    state.done = serve(serviceId, state)
      .catch((err: unknown) => {
        log.warn({ err, serviceId }, 'work not claimed');
        for (const waiter of lines.get(serviceId) ?? []) waiter.fail(err);
      })
      .then(() => {
        looking.delete(serviceId);
        // Whoever asked after the last look, and before this line, is not to wait for the sweep.
        return state.again ? look(serviceId) : undefined;
      });
    return state.done;
  }

  function lookAtAll(): void {
    for (const serviceId of lines.keys()) void look(serviceId);
  }

  function begin(): void {
    listener ??= listen(workOffersChannel, lookAtAll);
    timer ??= setInterval(lookAtAll, sweepEveryMs);
  }

  return {
    /** The next work of a service; undefined when nothing came in time, or whoever asks is gone. */
    async next(serviceId: string, waitMs: number, gone: AbortSignal): Promise<Claim | undefined> {
      if (closed || gone.aborted) return undefined;
      const line = lines.get(serviceId) ?? new Set<Waiter>();
      lines.set(serviceId, line);
      if (line.size >= mostWaiting)
        throw new DomainError('RATE_LIMITED', `${mostWaiting} claims of ${serviceId} wait already`);
      if (waitMs > 0) begin();
      const { promise, resolve, reject } = Promise.withResolvers<Claim | undefined>();
      const waiter: Waiter = {
        give(claim) {
          line.delete(waiter);
          resolve(claim);
        },
        fail(err) {
          line.delete(waiter);
          reject(err as Error);
        },
      };
      line.add(waiter);
      const leave = () => waiter.give(undefined);
      gone.addEventListener('abort', leave);
      const late = waitMs > 0 ? setTimeout(leave, waitMs) : undefined;
      try {
        const looked = look(serviceId);
        if (waitMs === 0) void looked.then(leave);
        return await promise;
      } finally {
        clearTimeout(late);
        gone.removeEventListener('abort', leave);
        if (line.size === 0 && lines.get(serviceId) === line) lines.delete(serviceId);
      }
    },

    giveBack,

    /** Sends everybody away who waits. */
    async close(): Promise<void> {
      closed = true;
      clearInterval(timer);
      for (const line of lines.values()) for (const waiter of line) waiter.give(undefined);
      await Promise.all([...looking.values()].map(({ done }) => done));
      await listener?.close();
    },
  };
}
