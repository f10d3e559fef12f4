import type { Logger } from 'pino';
import { durationSeconds } from '../domain/durations.ts';
import type { Pool } from './inference-pool.ts';

const lookEveryMs = 1_000;

/** Looks every second for models that no call has used for as long as `unloadAfter` says, and has the pool unload them. */
export function watchIdleModels({
  unloadAfter,
  pool,
  stopping,
  log,
}: {
  /** Of fleet.yaml as it is now; undefined: models stay in memory. */
  unloadAfter: () => string | undefined;
  pool: Pick<Pool, 'unloadIdle'>;
  stopping: AbortSignal;
  log: Logger;
}) {
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;

  async function look(): Promise<void> {
    const after = unloadAfter();
    if (after !== undefined) await pool.unloadIdle(durationSeconds(after) * 1000, stopping);
  }

  function lookSoon(): void {
    if (stopping.aborted) return;
    timer = setTimeout(() => {
      looking = look()
        .catch((err: unknown) => {
          if (!stopping.aborted) log.warn({ err }, 'idle models not looked for');
        })
        .finally(lookSoon);
    }, lookEveryMs);
  }

  lookSoon();
  return {
    async stop(): Promise<void> {
      clearTimeout(timer);
      await looking;
    },
  };
}
