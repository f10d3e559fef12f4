import { Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { InferencePool } from '../activities/machines.ts';
import type { AnswerActivities } from '../activities/answers.ts';
import type { CompletionActivities } from '../activities/completions.ts';
import type { InferenceActivities } from '../activities/inference.ts';
import { activityInterceptors } from '../activities/interceptors.ts';
import type { UsedModel } from '../activities/machine-calls.ts';
import { idleModels, type ModelUse } from '../domain/idle-models.ts';
import type { RankedModel } from '../domain/plan.ts';
import { talkQueue } from '../domain/task-queues.ts';
import { pollers, type SharedByWorkers } from './coordination.ts';
import type { SlotGate } from './slot-gate.ts';

/** Loads and unloads models on the machine's server; a simulated machine has nothing to load. */
export interface ModelLoader {
  load(modelId: string, signal: AbortSignal): Promise<void>;
  /** @returns false where the server keeps it in memory */
  unload(modelId: string, signal: AbortSignal): Promise<boolean>;
  /** Whether what was loaded last is a version that may be served no more. */
  isStale?(modelId: string): boolean;
}

export interface PoolOptions extends SharedByWorkers {
  identity: string;
  gate: SlotGate;
  activities: InferenceActivities & AnswerActivities & CompletionActivities;
  loader: ModelLoader;
  /** Milliseconds a call may take: how long a queue that stops being polled may drain. */
  callTimeout: number;
  heartbeatTimeout: number;
  log: Logger;
  /** Told whenever what is polled, or unloaded for being idle, has changed, so that lease and presence say so at once. */
  onChange: () => void;
  /** A worker ended with an error of its own. */
  onFailure: (err: unknown) => void;
}

interface Polled {
  worker: Worker;
  ended: Promise<void>;
}

export type Pool = ReturnType<typeof createInferencePool>;

/**
 * The inference queues this machine polls: those of the models that the plan keeps resident here, while nothing holds
 * polling back. Changes happen one at a time and in order: stop polling, drain, unload, load, poll.
 */
export function createInferencePool(options: PoolOptions) {
  const { gate, loader, log, interceptors = activityInterceptors } = options;
  const polled = new Map<string, Polled>();
  const resident = new Set<string>();
  /** GiB of what is loaded, is being loaded, or could not be unloaded, by the plan's estimate. */
  const inMemory = new Map<string, number>();
  /** Of those, what is being loaded now: the server may not name it yet. */
  const loading = new Map<string, number>();
  const uses = new Map<string, ModelUse>();
  /** Resident by the plan and unloaded because nothing called them, with their GiB: the next call has them loaded again. */
  const idle = new Map<string, { vramGiB: number; since: Date }>();
  /** Unloading of idle models that is under way. */
  const leaving = new Map<string, Promise<void>>();
  let keepsTold = false;
  /** Told once, and tried again. */
  const notUnloaded = new Set<string>();
  /** Breaks off loading when the memory is given up. */
  let loads = new AbortController();
  const missing = new Set<string>();
  /** Why polling is held back; it goes on when the last reason is gone. */
  const held = new Set<string>();
  let target: readonly RankedModel[] = [];
  let planVersion: number | null = null;
  let last: Promise<void> = Promise.resolve();

  function inOrder<T>(change: () => Promise<T>): Promise<T> {
    const next = last.then(change, change);
    last = next.then(
      () => undefined,
      () => undefined,
    );
    return next;
  }

  async function stop(queues: readonly string[]): Promise<void> {
    const ending = queues.flatMap((queue) => {
      const entry = polled.get(queue);
      if (!entry) return [];
      polled.delete(queue);
      entry.worker.shutdown();
      return [entry.ended];
    });
    if (ending.length === 0) return;
    options.onChange();
    await Promise.all(ending);
  }

  async function start(model: RankedModel, queue: string): Promise<void> {
    const worker = await Worker.create({
      connection: options.connection,
      namespace: options.namespace,
      ...(options.dataConverter && { dataConverter: options.dataConverter }),
      taskQueue: queue,
      identity: `${options.identity.replace('/worker/', `/${model.modelId}/`)}`,
      activities: options.activities,
      interceptors: { activity: interceptors },
      tuner: {
        activityTaskSlotSupplier: gate.supplierFor(queue),
        workflowTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
        localActivityTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
        nexusTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
      },
      activityTaskPollerBehavior: pollers(1),
      // A quarter of the time-out: a heartbeat may be late three times before it counts as missed.
      maxHeartbeatThrottleInterval: Math.max(100, options.heartbeatTimeout / 4),
      defaultHeartbeatThrottleInterval: Math.max(100, options.heartbeatTimeout / 4),
      shutdownGraceTime: options.callTimeout,
    });
    const ended = worker
      .run()
      .catch((err: unknown) => {
        options.onFailure(err);
      })
      .finally(() => gate.close(queue));
    polled.set(queue, { worker, ended });
  }

  /** Loads what the plan keeps here and polls for it; a model that cannot be loaded now is left for the next time. */
  async function pollTarget(signal: AbortSignal): Promise<void> {
    if (held.size > 0) return;
    let changed = false;
    for (const model of target) {
      if (!resident.has(model.modelId) && !(await load(model, signal))) continue;
      // Held back while it was loaded.
      if (held.size > 0) break;
      for (const queue of queuesOf(model)) {
        if (polled.has(queue)) continue;
        await start(model, queue);
        changed = true;
      }
    }
    if (changed) options.onChange();
  }

  async function load({ modelId, vramGiB }: RankedModel, signal: AbortSignal): Promise<boolean> {
    inMemory.set(modelId, vramGiB);
    loading.set(modelId, vramGiB);
    try {
      await loader.load(modelId, AbortSignal.any([signal, loads.signal]));
      resident.add(modelId);
      missing.delete(modelId);
      useOf(modelId).usedAt = performance.now();
      return true;
    } catch (err) {
      signal.throwIfAborted();
      if (loads.signal.aborted) return false;
      inMemory.delete(modelId);
      // One model that cannot be loaded must not keep the others from work.
      // Tried again every few seconds, told once.
      if (!missing.has(modelId)) log.error({ err, modelId }, 'model not loaded');
      missing.add(modelId);
      return false;
    } finally {
      loading.delete(modelId);
    }
  }

  /** @returns false where it may be in memory still */
  async function unload(modelId: string, signal: AbortSignal): Promise<boolean> {
    try {
      const unloaded = await loader.unload(modelId, signal);
      notUnloaded.delete(modelId);
      if (unloaded) inMemory.delete(modelId);
      else if (!keepsTold) {
        keepsTold = true;
        log.warn({ modelId }, 'the model server keeps its models in memory: nothing is unloaded');
      }
      return unloaded;
    } catch (err) {
      signal.throwIfAborted();
      // A server that is away holds nothing; one that keeps the model will say so when the next one does not fit.
      if (!notUnloaded.has(modelId)) log.error({ err, modelId }, 'model not unloaded');
      notUnloaded.add(modelId);
      return false;
    }
  }

  /** Out of memory, so that it can be loaded anew; its calls in hand end first. */
  async function letGo(model: RankedModel, signal: AbortSignal): Promise<void> {
    const { modelId } = model;
    await stop(queuesOf(model));
    resident.delete(modelId);
    if (!idle.delete(modelId) || inMemory.has(modelId)) await unload(modelId, signal);
  }

  const isStale = ({ modelId }: RankedModel) => resident.has(modelId) && (loader.isStale?.(modelId) ?? false);

  function useOf(modelId: string): ModelUse {
    const known = uses.get(modelId);
    if (known) return known;
    const use = { inHand: 0, usedAt: performance.now() };
    uses.set(modelId, use);
    return use;
  }

  async function unloadOneIdle(modelId: string, signal: AbortSignal): Promise<void> {
    const use = useOf(modelId);
    const idleSeconds = Math.round((performance.now() - use.usedAt) / 1000);
    const vramGiB = inMemory.get(modelId) ?? 0;
    if (await unload(modelId, signal)) {
      idle.set(modelId, { vramGiB, since: new Date() });
      options.onChange();
      log.info({ modelId, idleSeconds }, 'idle model unloaded');
    }
    // What could not be unloaded is tried again after as long.
    else use.usedAt = performance.now();
  }

  /** Loads a model again that was idle, for a call; several calls may do so at once, as the server loads it once. */
  async function wake(modelId: string, signal: AbortSignal): Promise<void> {
    const vramGiB = idle.get(modelId)?.vramGiB;
    if (vramGiB === undefined) return;
    // Before it is loaded, as a load that is broken off may have happened.
    inMemory.set(modelId, vramGiB);
    loading.set(modelId, vramGiB);
    try {
      await loader.load(modelId, signal);
    } catch (err) {
      if (!signal.aborted && idle.has(modelId)) inMemory.delete(modelId);
      throw err;
    } finally {
      loading.delete(modelId);
    }
    if (!idle.delete(modelId)) return;
    log.info({ modelId }, 'idle model loaded again');
    options.onChange();
  }

  const pool = {
    async apply(version: number, next: readonly RankedModel[], signal: AbortSignal): Promise<void> {
      await inOrder(async () => {
        // First of all what is wanted: whatever fails below is tried again towards this plan, never back to the old one.
        target = next;
        missing.clear();
        planVersion = version;
        // What was loaded as a version that may be served no more is loaded anew.
        const kept = next.filter((model) => !isStale(model));
        const keep = new Set(kept.flatMap(queuesOf));
        await stop([...polled.keys()].filter((queue) => !keep.has(queue)));
        const nextIds = new Set(kept.map((model) => model.modelId));
        for (const modelId of [...resident].filter((id) => !nextIds.has(id))) {
          resident.delete(modelId);
          if (!idle.delete(modelId) || inMemory.has(modelId)) await unload(modelId, signal);
        }
        // A change of slots or rank needs no new worker: the gate holds them.
        for (const model of next) gate.open({ ...model, talkQueue: talkQueue(model.queue) });
        await pollTarget(signal);
        options.onChange();
      });
    },

    /**
     * Loads a model anew, which may bring another version of it: its calls in hand end first, and none is taken meanwhile.
     * @returns false where it was not tried to its end: it is not of the plan, or polling is held back or was meanwhile
     */
    reload(modelId: string, signal: AbortSignal): Promise<boolean> {
      return inOrder(async () => {
        const model = target.find((each) => each.modelId === modelId);
        if (model === undefined || held.size > 0) return false;
        await letGo(model, signal);
        // From before, it would say of a load that is broken off that the version gave no answer.
        missing.delete(modelId);
        await pollTarget(signal);
        options.onChange();
        return resident.has(modelId) || missing.has(modelId);
      });
    },

    drain: (signal: AbortSignal) => pool.apply(planVersion ?? 0, [], signal),

    /** Stops polling for a reason; calls in hand go on. Resolves when they have ended. */
    hold(reason: string): Promise<void> {
      held.add(reason);
      return inOrder(() => stop([...polled.keys()]));
    },

    /**
     * Stops polling for a reason and frees the memory of the cards; calls in hand are the caller's to break off. Called again it tries
     * again what is left.
     * @param seen models that the server says it holds, which an earlier process may have loaded; undefined: it was not asked
     * @returns the models that may be in memory still
     */
    giveUp(reason: string, signal: AbortSignal, seen?: readonly string[]): Promise<string[]> {
      held.add(reason);
      loads.abort();
      return inOrder(async () => {
        await stop([...polled.keys()]);
        if (seen) for (const modelId of inMemory.keys()) if (!seen.includes(modelId)) inMemory.delete(modelId);
        const left: string[] = [];
        for (const modelId of new Set([...inMemory.keys(), ...(seen ?? [])])) {
          resident.delete(modelId);
          idle.delete(modelId);
          if (!(await unload(modelId, signal))) left.push(modelId);
        }
        resident.clear();
        idle.clear();
        loads = new AbortController();
        return left.sort();
      });
    },

    /**
     * Unloads the models that no call has used for so long; their queues are polled on. Never one that a call has in hand or
     * waits for, and a call that comes meanwhile has it loaded again.
     */
    unloadIdle(afterMs: number, signal: AbortSignal): Promise<void> {
      return inOrder(async () => {
        for (const modelId of idleModels(uses, { now: performance.now(), afterMs })) {
          if (!resident.has(modelId) || idle.has(modelId) || useOf(modelId).inHand > 0) continue;
          const given = loads.signal;
          const leaves = unloadOneIdle(modelId, AbortSignal.any([signal, given])).catch((err: unknown) => {
            // Where the memory is given up meanwhile, that unloads it.
            if (!given.aborted && !signal.aborted) throw err;
          });
          leaving.set(modelId, leaves);
          await leaves.finally(() => leaving.delete(modelId));
        }
      });
    },

    /** A call is about to use a model, which stays in memory until the call gives it back. */
    use(modelId: string): UsedModel {
      const use = useOf(modelId);
      use.inHand += 1;
      return {
        async ready(signal) {
          await endOr(leaving.get(modelId), signal);
          await wake(modelId, signal);
        },
        done() {
          use.inHand -= 1;
          use.usedAt = performance.now();
        },
      };
    },

    /** Takes a reason back; when none is left, loads what is missing and polls again. */
    release(reason: string, signal: AbortSignal): Promise<void> {
      held.delete(reason);
      return inOrder(() => pollTarget(signal));
    },

    /** Tries again what could not be loaded, and loads anew what may be served no more as it is. */
    retryMissing(signal: AbortSignal): Promise<void> {
      const serves = () => target.flatMap(queuesOf).every((queue) => polled.has(queue)) && !target.some(isStale);
      if (held.size > 0 || serves()) return Promise.resolve();
      return inOrder(async () => {
        for (const model of target.filter(isStale)) await letGo(model, signal);
        await pollTarget(signal);
      });
    },

    /** A server that went down has lost what it held in memory. */
    forgetResident(): void {
      resident.clear();
      idle.clear();
      inMemory.clear();
    },

    /** Models that are being loaded now, with what they will take by the plan's estimate. */
    loading: (): ReadonlyMap<string, number> => loading,

    polls: () => [...polled.keys()].sort(),
    /** The queues that the plan gives this machine, polled or not. */
    wanted: () => target.flatMap(queuesOf),
    planVersion: () => planVersion,
    /** Models of the plan that left memory because nothing called them. */
    idle: () => [...idle].map(([modelId, { since }]) => ({ modelId, since: since.toISOString() })),
    /** Models of the plan whose loading failed the last time. */
    missing: () => [...missing].sort(),
  };
  return pool satisfies InferencePool;
}

/** The queue of a model's background work and that of its conversations. */
function queuesOf({ queue }: RankedModel): string[] {
  return [queue, talkQueue(queue)];
}

/** Waits for the end of something that cannot be broken off, or for the signal. */
async function endOr(work: Promise<void> | undefined, signal: AbortSignal): Promise<void> {
  if (work === undefined) return;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
