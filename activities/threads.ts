import { Context } from '@temporalio/activity';
import { durationSeconds } from '../domain/durations.ts';
import type { Embedder, EmbeddingSettings } from '../domain/embeddings.ts';
import type { Fleet } from '../domain/fleet.ts';
import { linkOf, type ThreadLink } from '../domain/thread-links.ts';
import { ThreadWindow } from '../domain/thread-window.ts';
import { embedAndKeep, type EmbeddingStore } from '../stores/embeddings.ts';
import type { ThreadStore, Woven } from '../stores/threads.ts';
import { dot } from '../stores/memory-columns.ts';
import type { PendingMemories, WeavingStore } from '../stores/weaving.ts';
import type { FleetReader } from './fleet-view.ts';
import { togetherOrAlone } from './passing-over.ts';

/** Most time between the memories that are woven in one transaction. */
const batchSpanMs = 86_400_000;
/** Memories whose candidates have their vectors in memory at once. */
const block = 64;
/** Texts embedded between two heartbeats. */
const embeddedAtOnce = 64;
/** Letters of the memories in the window, which take 35 bytes each: 140 MB. Around busier times it reaches less far. */
const mostLettersInWindow = 4_000_000;
const leastReachMs = 60_000;
const endedAtOnce = 500;

export interface ThreadDeps {
  threads: ThreadStore;
  weaving: WeavingStore;
  embeddings: EmbeddingStore;
  embedderOf: (settings: EmbeddingSettings) => Embedder;
  fleet: FleetReader;
  /** Memories woven in one transaction. @default 400 */
  batch?: number;
}

export interface WeavePendingInput {
  /** ISO time by which a thread is judged over, and what is passed over is left for the next: the workflow's period. */
  now: string;
  /** Memories that one execution weaves, about so many. */
  most: number;
}
export interface WeavePendingResult extends Woven {
  /** Whether something was left to weave. */
  more: boolean;
  /** Batches around which there were too many memories for the window's full reach. */
  narrowed: number;
}

export function createThreadActivities(deps: ThreadDeps) {
  const { threads, weaving, embeddings, embedderOf, fleet, batch = 400 } = deps;
  return {
    /**
     * Weaves what waits, in order of when it happened, a batch a transaction: what is woven stays woven, and another
     * execution goes on from there. Embeds what has no vector yet. What cannot be woven stays on the list and is passed over
     * until the next period, with a notice.
     * @throws EMBEDDINGS_FAILED, retryable: a memory is woven with its vector or later; one whose text has no usable vector is in no thread
     */
    async weavePending({ now, most }: WeavePendingInput): Promise<WeavePendingResult> {
      const context = Context.current();
      const view = await fleet();
      const { ownerId } = view;
      const times = timesOf(view.fleet, now);
      const { serving } = await embeddings.models(ownerId, view.fleet.embeddings);
      const embedder = embedderOf(serving.settings);
      const around = createSlidingWindow(weaving, ownerId, times);
      const period = { ownerId, period: now };
      const done: WeavePendingResult = {
        woven: 0,
        opened: 0,
        grown: 0,
        split: 0,
        ended: 0,
        more: true,
        narrowed: 0,
      };
      while (done.woven < most) {
        const pending = await weaving.pending(period, batch, batchSpanMs);
        if (!pending) {
          await weaving.tellPassedOver(ownerId);
          return { ...done, more: false };
        }
        await weaving.passOver(
          period,
          new Map(pending.untimed.map((id) => [id, 'it happened at no time that can be told'])),
        );
        await togetherOrAlone(pending.ids, {
          work: (ids) => weaveTogether(pending, ids),
          tell: (id, reason) => weaving.passOver(period, new Map([[id, reason]])),
        });
        context.heartbeat({ woven: done.woven });
        context.cancellationSignal.throwIfAborted();
      }
      // The next execution may be long in coming.
      await weaving.tellPassedOver(ownerId);
      return done;

      async function weaveTogether(pending: PendingMemories, ids: readonly string[]): Promise<void> {
        const { model } = serving;
        const within = new Set(ids);
        const memoryIds = pending.living.filter((id) => within.has(id));
        await embed(ownerId, embedder, memoryIds);
        const { window, waiting, narrowed, faults: unread } = await around(pending);
        const { links, faults } = await linksOf(
          { ownerId, model, dimensions: await embeddings.dimensions(ownerId, model) },
          { window, waiting, memoryIds },
        );
        for (const id of memoryIds) if (unread.has(id)) faults.set(id, unread.get(id)!);
        await weaving.passOver(period, faults);
        const woven = await threads.weave({
          ownerId,
          memoryIds: ids.filter((id) => !faults.has(id)),
          links,
          quietBefore: times.quietBefore,
          reachMs: { same_event: times.eventMs, contradiction: times.eventMs, echo: times.echoMs },
        });
        if (narrowed) done.narrowed += 1;
        for (const key of ['woven', 'opened', 'grown', 'split', 'ended'] as const) done[key] += woven[key];
      }
    },

    /** Ends the threads to which nothing came for as long as fleet.yaml says. */
    async endQuietThreads({ now }: { now: string }): Promise<{ ended: number }> {
      const view = await fleet();
      const { quietBefore } = timesOf(view.fleet, now);
      let total = 0;
      for (;;) {
        const ended = await threads.endQuiet(view.ownerId, quietBefore, endedAtOnce);
        total += ended;
        if (ended < endedAtOnce) return { ended: total };
        Context.current().heartbeat({ ended: total });
      }
    },
  };

  async function embed(ownerId: string, embedder: Embedder, memoryIds: readonly string[]): Promise<void> {
    const { model } = embedder;
    for (;;) {
      const missing = await embeddings.missing({ ownerId, model, memoryIds, limit: embeddedAtOnce });
      if (missing.length === 0) return;
      await embedAndKeep(embeddings, embedder, missing, Context.current().cancellationSignal);
      Context.current().heartbeat();
    }
  }

  /**
   * Each memory with what has been woven before it: a pair is looked at once, when the second of the two is woven. Block by
   * block, so that only the vectors of one block's candidates are in memory.
   * @returns also which of the memories cannot be compared, since their vectors are damaged
   */
  async function linksOf(
    of: Parameters<WeavingStore['vectors']>[0],
    { window, waiting, memoryIds }: { window: ThreadWindow; waiting: Set<string>; memoryIds: readonly string[] },
  ): Promise<{ links: ThreadLink[]; faults: Map<string, string> }> {
    const links: ThreadLink[] = [];
    const faults = new Map<string, string>();
    for (let from = 0; from < memoryIds.length; from += block) {
      const own = memoryIds.slice(from, from + block);
      const candidates = own.flatMap((id) => {
        waiting.delete(id);
        return window.candidates(id, (otherId) => waiting.has(otherId));
      });
      // Their own also where nothing is to be compared with them yet: what comes later will be.
      const ids = [...new Set([...own, ...candidates.map(({ otherId }) => otherId)])];
      const { vectors, faults: damaged } = await weaving.vectors(of, ids);
      for (const id of own) if (damaged.has(id)) faults.set(id, damaged.get(id)!);
      for (const candidate of candidates) {
        const [one, other] = [vectors.get(candidate.memoryId), vectors.get(candidate.otherId)];
        // Forgotten since the window was read, or damaged since it was woven itself.
        if (!one || !other) continue;
        const link = linkOf(candidate, dot(one, 0, other));
        if (link) links.push(link);
      }
    }
    return { links, faults };
  }
}
export type ThreadActivities = ReturnType<typeof createThreadActivities>;

interface WeaveTimes {
  eventMs: number;
  echoMs: number;
  quietBefore: Date;
}

function timesOf({ threads }: Fleet, now: string): WeaveTimes {
  return {
    eventMs: durationSeconds(threads.eventWindow) * 1000,
    echoMs: durationSeconds(threads.echoWindow) * 1000,
    quietBefore: new Date(Date.parse(now) - durationSeconds(threads.endsAfter) * 1000),
  };
}

/** A window that goes along with the batches and reads what it does not hold yet; read anew where a batch lies elsewhere. */
function createSlidingWindow(weaving: WeavingStore, ownerId: string, times: WeaveTimes) {
  let window = new ThreadWindow(times);
  /** What is read of time. */
  let held = { fromMs: Number.POSITIVE_INFINITY, toMs: Number.NEGATIVE_INFINITY };
  /** What the rules could not take of what was read. */
  let faults = new Map<string, string>();

  async function read(fromMs: number, toMs: number): Promise<void> {
    for await (const page of weaving.between(ownerId, fromMs, toMs)) {
      window.add(page.memories);
      for (const [id, reason] of page.faults) faults.set(id, reason);
      Context.current().heartbeat();
    }
  }
  async function readAnew(fromMs: number, toMs: number): Promise<void> {
    window = new ThreadWindow(times);
    faults = new Map();
    await read(fromMs, toMs);
  }

  return async (batched: PendingMemories): Promise<Around> => {
    const full = Math.max(times.eventMs, times.echoMs);
    let reach = full;
    let fromMs = batched.fromMs - reach;
    let toMs = batched.toMs + reach;
    while (reach > leastReachMs && (await weaving.lettersBetween(ownerId, fromMs, toMs)) > mostLettersInWindow) {
      reach /= 2;
      fromMs = batched.fromMs - reach;
      toMs = batched.toMs + reach;
    }
    if (fromMs < held.fromMs || fromMs > held.toMs) {
      await readAnew(fromMs, toMs);
    } else {
      window.keep(fromMs, toMs);
      if (toMs > held.toMs) await read(held.toMs, toMs);
    }
    // What came in late lies within what was read already.
    if (batched.living.some((id) => !window.has(id) && !faults.has(id))) await readAnew(fromMs, toMs);
    held = { fromMs, toMs };
    return { window, faults, waiting: await weaving.unwovenBetween(ownerId, fromMs, toMs), narrowed: reach < full };
  };
}

interface Around {
  window: ThreadWindow;
  /** Memories that are not in it, since the rules cannot take them, and why. */
  faults: ReadonlyMap<string, string>;
  /** Ids of its memories that are still to be woven. */
  waiting: Set<string>;
  narrowed: boolean;
}
