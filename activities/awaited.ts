import { DomainError } from '../domain/errors.ts';
import type { GatewayRequestStore } from '../stores/gateway-requests.ts';

export interface Awaited {
  requestId: string;
  /** The process of the API that waits; absent in what a version before has begun. */
  caller?: number;
}

/** A caller that is not seen for so long has died: one whose connection broke is back within a few seconds. */
const graceMs = 10_000;
/** Two looks further apart say nothing of the time between them. */
const attemptForgetsMs = 300_000;
/** The sweep looks every few seconds, and only while something is open. */
const sweepForgetsMs = 15_000;
/** All requests of a worker share a look. */
const lookEveryMs = 1_000;

/** Whether the process of the API by this number lives, as far as the looks of one worker can tell. */
function createCallers(requests: Pick<GatewayRequestStore, 'livingCallers'>, forgottenMs: number) {
  /** Callers that were not seen at the last look, and since when. */
  const missing = new Map<number, { since: number; lookedAt: number }>();
  let living: ReadonlySet<number> = new Set();
  let looking: Promise<void> | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;

  async function look(): Promise<void> {
    if (performance.now() - lookedAt < lookEveryMs) return;
    looking ??= requests
      .livingCallers()
      .then((found) => {
        living = found;
        lookedAt = performance.now();
        for (const caller of missing.keys()) if (found.has(caller)) missing.delete(caller);
      })
      .finally(() => {
        looking = undefined;
      });
    await looking;
  }

  return async function lives(caller: number): Promise<boolean> {
    await look();
    if (living.has(caller)) return true;
    const now = performance.now();
    const before = missing.get(caller);
    // While nobody looked it may have been there.
    const since = before !== undefined && now - before.lookedAt < forgottenMs ? before.since : now;
    missing.set(caller, { since, lookedAt: now });
    return now - since < graceMs;
  };
}

/** Whether somebody waits for a request of a service still: whoever answers it looks from time to time, and lets it go where nobody does. */
export function createAwaited(requests: Pick<GatewayRequestStore, 'isOpen' | 'livingCallers' | 'forget'>) {
  const lives = createCallers(requests, attemptForgetsMs);

  /** @throws CONFLICT where nobody waits for it any more; its row is deleted then, since nobody else does */
  return async function assertAwaited({ requestId, caller }: Awaited): Promise<void> {
    const open = await requests.isOpen(requestId);
    if (open && (caller === undefined || (await lives(caller)))) return;
    if (open) await requests.forget(requestId);
    throw new DomainError('CONFLICT', `nobody waits for ${requestId} any more`);
  };
}

/**
 * Takes away open requests whose caller has died. Those that are being answered are let go by whoever answers; a caller that dies
 * between the row and the start of its workflow leaves a row that no other looks at. To be called every few seconds.
 * @returns how many
 */
export function createAbandoned(requests: Pick<GatewayRequestStore, 'awaited' | 'livingCallers' | 'forget'>) {
  const lives = createCallers(requests, sweepForgetsMs);

  return async function forgetAbandoned(): Promise<number> {
    let forgotten = 0;
    for (const [caller, left] of Map.groupBy(await requests.awaited(), ({ caller }) => caller)) {
      if (await lives(caller)) continue;
      for (const { id } of left) await requests.forget(id);
      forgotten += left.length;
    }
    return forgotten;
  };
}
