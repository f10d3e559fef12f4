import type { Logger } from 'pino';
import { durationSeconds } from '../domain/durations.ts';
import { DomainError } from '../domain/errors.ts';
import { nextYielding, type OwnerSigns, yieldCause, type Yielding, type YieldRule } from '../domain/yield.ts';
import type { Gpu } from '../integrations/gpu/nvidia-smi.ts';
import { runningPrograms } from '../integrations/host/programs.ts';
import type { HeldEpoch, MachineStore } from '../stores/machines.ts';
import type { Pool } from './inference-pool.ts';

const lookEveryMs = 2_000;
const heldReason = 'its owner needs the GPUs';

export interface YieldWatchOptions {
  machineId: string;
  /** Of fleet.yaml as it is now; undefined: the machine yields to nobody. */
  rule: () => YieldRule | undefined;
  /** Of the host the cards are in; undefined: they cannot be seen from here. */
  gpus: (() => Promise<Gpu[]>) | undefined;
  /** Whether the worker runs on the machine itself. */
  ownHost: boolean;
  pool: Pick<Pool, 'giveUp' | 'release' | 'memoryGiB'>;
  machines: Pick<MachineStore, 'setYields'>;
  lease: () => HeldEpoch;
  /** Why it yielded when this process began, as its row says. */
  before: string | null;
  stopping: AbortSignal;
  log: Logger;
}

/**
 * Looks every 2 s whether the machine's owner needs its GPUs. If so, calls in hand are broken off (their workflows go on elsewhere),
 * queues are no longer polled, models are unloaded, and the plan does without the machine until it is left alone again.
 */
export function watchYield(options: YieldWatchOptions) {
  const { machineId, rule, gpus, ownHost, pool, machines, lease, stopping, log } = options;
  let yielding: Yielding | null =
    options.before === null ? null : { reason: options.before, lingers: true, seenAt: performance.now() };
  /** What the row says. */
  let told = options.before;
  /** Whether the pool is held back. */
  let held = false;
  let calls = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let blind = false;

  async function signs(of: YieldRule): Promise<OwnerSigns> {
    try {
      const [programs, cards] = await Promise.all([
        ownHost && of.processes.length > 0 ? runningPrograms() : undefined,
        of.foreignVramGiB === undefined ? undefined : gpus?.(),
      ]);
      blind = false;
      const used = cards?.reduce((sum, { memoryUsedMiB }) => sum + (memoryUsedMiB ?? 0) / 1024, 0);
      return { programs, foreignGiB: used === undefined ? undefined : Math.max(0, used - pool.memoryGiB()) };
    } catch (err) {
      if (!blind) log.warn({ err }, 'signs of the owner not read');
      blind = true;
      return {};
    }
  }

  async function look(): Promise<void> {
    const now = rule();
    const cause = now === undefined ? null : yieldCause(now, await signs(now), new Date());
    const returnAfterMs = now === undefined ? 0 : durationSeconds(now.returnAfter) * 1000;
    yielding = nextYielding(yielding, cause, { now: performance.now(), returnAfterMs });
    if (yielding !== null && !held) {
      held = true;
      const { reason } = yielding;
      log.info({ machineId, reason }, 'the GPUs are given to their owner');
      calls.abort(new DomainError('MACHINE_YIELDED', `${machineId} gave its GPUs to their owner: ${reason}`));
      await Promise.all([pool.giveUp(heldReason, stopping), tell()]);
    } else if (yielding === null && held) {
      log.info({ machineId }, 'the owner is done: back to work');
      held = false;
      calls = new AbortController();
      await pool.release(heldReason, stopping);
    }
    await tell();
  }

  async function tell(): Promise<void> {
    const reason = yielding?.reason ?? null;
    if (told === reason) return;
    await machines.setYields(lease(), reason);
    told = reason;
  }

  function lookSoon(): void {
    if (stopping.aborted) return;
    timer = setTimeout(() => {
      looking = look()
        .catch((err: unknown) => log.warn({ err }, 'not told that the machine yields'))
        .finally(lookSoon);
    }, lookEveryMs);
  }

  return {
    /** Aborted while the machine yields: for calls that begin or are in hand. */
    signal: () => calls.signal,
    /** The first look, before anything is loaded or polled; then one every 2 s. */
    async start(): Promise<void> {
      await look().catch((err: unknown) => log.warn({ err }, 'not told that the machine yields'));
      lookSoon();
    },
    async stop(): Promise<void> {
      clearTimeout(timer);
      await looking;
    },
  };
}
