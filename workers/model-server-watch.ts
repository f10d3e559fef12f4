import type { Logger } from 'pino';
import { leaseSeconds } from '../domain/health.ts';
import type { HeldEpoch, MachineStore } from '../stores/machines.ts';
import type { Pool } from './inference-pool.ts';
import type { MachineModels } from './model-calls.ts';

const probeEveryMs = 2_000;
const heldReason = 'model server down';

/**
 * Watches the machine's model server. While it is down its queues are not polled: a living worker beside a dead server
 * would fail jobs faster than a healthy machine runs them.
 */
export function watchModelServer({
  models,
  pool,
  machines,
  lease,
  log,
}: {
  models: MachineModels;
  pool: Pool;
  machines: MachineStore;
  lease: () => HeldEpoch;
  log: Logger;
}) {
  const stopping = new AbortController();
  let downSince: number | undefined;
  let told = false;
  let judgedUp = false;
  let looking: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    const { up, reason } = await models.probe();
    if (stopping.signal.aborted) return;
    if (up) await wentUp();
    else await wentDown(reason ?? 'it does not answer');
  }

  async function wentDown(reason: string): Promise<void> {
    judgedUp = false;
    if (downSince === undefined) {
      downSince = performance.now();
      log.warn({ reason }, 'model server down: its queues are not polled');
      pool.forgetResident();
      await pool.hold(heldReason);
    }
    // Shorter than a lease nothing moves: loading models elsewhere costs more than the wait.
    if (!told && performance.now() - downSince > leaseSeconds * 1000) {
      await machines.modelServerDown(lease(), reason);
      told = true;
    }
  }

  async function wentUp(): Promise<void> {
    if (judgedUp) return pool.retryMissing(stopping.signal);
    if (downSince !== undefined) {
      log.info('model server up again');
      await pool.release(heldReason, stopping.signal);
      downSince = undefined;
      told = false;
    }
    // Also when this process told nobody that it was down: an earlier one may have.
    await machines.modelServerUp(lease());
    judgedUp = true;
  }

  /** Looks at once: a call has just failed. */
  function lookNow(): void {
    clearTimeout(timer);
    looking ??= look()
      .catch((err: unknown) => log.warn({ err }, 'model server not judged'))
      .finally(() => {
        looking = undefined;
        if (!stopping.signal.aborted) timer = setTimeout(lookNow, probeEveryMs);
      });
  }

  lookNow();
  return {
    lookNow,
    async stop(): Promise<void> {
      stopping.abort(new Error('the worker stops'));
      clearTimeout(timer);
      await looking;
    },
  };
}
