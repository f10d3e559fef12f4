import type { Logger } from 'pino';
import { durationSeconds } from '../domain/durations.ts';
import { DomainError } from '../domain/errors.ts';
import { nextYielding, type OwnerSigns, yieldCause, type Yielding, type YieldRule } from '../domain/yield.ts';
import type { Gpu } from '../integrations/gpu/nvidia-smi.ts';
import { runningPrograms } from '../integrations/host/programs.ts';
import type { HeldEpoch, MachineStore } from '../stores/machines.ts';
import type { ServiceStore } from '../stores/services.ts';
import type { Pool } from './inference-pool.ts';
import type { MachineModels } from './model-calls.ts';

const lookEveryMs = 2_000;
const heldReason = 'its owner needs the GPUs';
/** Between why a machine yields and what else is to be told of it. */
const reasonsApart = '; ';
const reasonOf = (told: string) => told.split(reasonsApart)[0] ?? told;

export interface YieldWatchOptions {
  machineId: string;
  /** Of fleet.yaml as it is now; undefined: the machine yields to nobody. */
  rule: () => YieldRule | undefined;
  /** Of the host the cards are in; undefined: they cannot be seen from here. */
  gpus: (() => Promise<Gpu[]>) | undefined;
  /** Whether the worker runs on the machine itself. */
  ownHost: boolean;
  pool: Pick<Pool, 'giveUp' | 'release' | 'loading'>;
  models: Pick<MachineModels, 'holds'>;
  machines: Pick<MachineStore, 'setYields'>;
  services: Pick<ServiceStore, 'plannedVramGiB'>;
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
  const { machineId, rule, gpus, ownHost, pool, models, machines, services, lease, stopping, log } = options;
  let yielding: Yielding | null =
    options.before === null ? null : { reason: reasonOf(options.before), lingers: true, seenAt: performance.now() };
  /** What the row says. */
  let told = options.before;
  /** Whether the pool is held back. */
  let held = false;
  let calls = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  /** Models that may be in memory while it yields. */
  let left: string[] = [];
  /** Whether the server has said that it holds none of ours since it yields. */
  let freed = false;
  let looked = false;
  let wasOver = false;
  /** What could not be seen, in words: told once each. */
  let unseen: string[] = [];

  async function signs(of: YieldRule): Promise<OwnerSigns> {
    const limit = of.foreignVramGiB;
    const [programs, foreign] = await Promise.allSettled([
      ownHost && of.processes.length > 0 ? runningPrograms() : undefined,
      limit === undefined ? undefined : foreignGiB(limit),
    ]);
    const failed = [
      { what: 'its programs', sign: programs },
      { what: 'its memory', sign: foreign },
    ].flatMap(({ what, sign }) => (sign.status === 'rejected' ? [{ what, err: sign.reason as unknown }] : []));
    for (const { what, err } of failed)
      if (!unseen.includes(what)) log.warn({ err, machineId, what }, 'a sign of the owner is not seen');
    unseen = failed.map(({ what }) => what);
    return {
      programs: programs.status === 'fulfilled' ? programs.value : undefined,
      foreignGiB: foreign.status === 'fulfilled' ? sure(foreign.value, limit) : undefined,
    };
  }

  /** What programs hold that are neither the model server nor services of the fleet; the whole where that alone is within the limit. */
  async function foreignGiB(limit: number): Promise<number | undefined> {
    const cards = await gpus?.();
    if (cards === undefined) return undefined;
    if (cards.length === 0) throw new DomainError('UNAVAILABLE', 'no card is seen');
    // Cards that share the memory of the host do not say.
    if (cards.every(({ memoryUsedMiB }) => memoryUsedMiB === null)) return undefined;
    const used = cards.reduce((sum, { memoryUsedMiB }) => sum + (memoryUsedMiB ?? 0) / 1024, 0);
    if (used <= limit) return used;
    const held = await models.holds();
    if (held === undefined) throw new DomainError('MODEL_SERVER_DOWN', 'the model server does not say what it holds');
    const coming = [...pool.loading()].filter(([modelId]) => !held.modelIds.includes(modelId));
    const own = await services.plannedVramGiB(machineId);
    return Math.max(0, used - own - coming.reduce((sum, [, gib]) => sum + gib, held.gib));
  }

  /** For a moment a model that leaves is named by its server no more and in memory still: more than the limit must be seen twice. */
  function sure(foreign: number | undefined, limit = 0): number | undefined {
    const before = wasOver || !looked;
    wasOver = foreign !== undefined && foreign > limit;
    return wasOver && !before && yielding === null ? undefined : foreign;
  }

  async function look(): Promise<void> {
    const now = rule();
    if (now === undefined) unseen = [];
    const cause = now === undefined ? null : yieldCause(now, await signs(now), new Date());
    looked = true;
    const returnAfterMs = now === undefined ? 0 : durationSeconds(now.returnAfter) * 1000;
    const kept = cause === null && unseen.length > 0;
    yielding = nextYielding(yielding, cause, { now: performance.now(), returnAfterMs, unseen: kept });
    if (yielding !== null && !held) {
      held = true;
      freed = false;
      const { reason } = yielding;
      log.info({ machineId, reason }, 'the GPUs are given to their owner');
      calls.abort(new DomainError('MACHINE_YIELDED', `${machineId} gave its GPUs to their owner: ${reason}`));
      [left] = await Promise.all([pool.giveUp(heldReason, stopping), tell(false)]);
    } else if (yielding !== null && !freed) {
      await free();
    } else if (yielding === null && held) {
      log.info({ machineId }, 'the owner is done: back to work');
      held = false;
      left = [];
      calls = new AbortController();
      await pool.release(heldReason, stopping);
    }
    await tell(kept);
  }

  /**
   * What the server says counts, and not that it was told: it unloads in its own time, may have failed to, and an earlier process may
   * have left models there. Once it holds none of ours its owner may use it.
   */
  async function free(): Promise<void> {
    const holds = await models.holds();
    left = await pool.giveUp(heldReason, stopping, holds?.modelIds);
    freed = holds?.modelIds.length === 0;
  }

  async function tell(kept: boolean): Promise<void> {
    const reason =
      yielding === null
        ? null
        : [
            yielding.reason,
            ...(left.length > 0 ? [`${left.join(', ')} still in memory, unloading is tried again`] : []),
            ...(kept ? [`whether it still is so cannot be seen: ${unseen.join(', ')}`] : []),
          ].join(reasonsApart);
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
