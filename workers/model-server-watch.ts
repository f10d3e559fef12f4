import type { Logger } from 'pino';
import type { MachineStore } from '../stores/machines.ts';
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
  machineId,
  log,
}: {
  models: MachineModels;
  pool: Pool;
  machines: MachineStore;
  machineId: string;
  log: Logger;
}) {
  const stopping = new AbortController();
  let down = false;
  let looking: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    const { up, reason } = await models.probe();
    if (stopping.signal.aborted) return;
    if (!up && !down) {
      down = true;
      log.warn({ machineId, reason }, 'model server down: its queues are not polled');
      pool.forgetResident();
      await pool.hold(heldReason);
      await machines.modelServerDown(machineId, reason ?? 'it does not answer');
    } else if (up && down) {
      down = false;
      log.info({ machineId }, 'model server up again');
      await pool.release(heldReason, stopping.signal);
      await machines.modelServerUp(machineId);
    } else if (up) {
      await pool.retryMissing(stopping.signal);
    }
  }

  /** Looks at once: a call has just failed. */
  function lookNow(): void {
    clearTimeout(timer);
    looking ??= look()
      .catch((err: unknown) => log.warn({ err, machineId }, 'model server not judged'))
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
