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
  /** ISO time by which a thread is judged over: the workflow's period. */
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
     * execution goes on from there. Embeds what has no vector yet.
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
        const pending = await weaving.pending(ownerId, batch, batchSpanMs);
        if (!pending) return { ...done, more: false };
        await embed(ownerId, embedder, pending.living);
        const { window, waiting, narrowed } = await around(pending);
        if (narrowed) done.narrowed += 1;
        const links = await linksOf(ownerId, serving.model, { window, waiting, memoryIds: pending.living });
        const woven = await threads.weave({
          ownerId,
          memoryIds: pending.ids,
          links,
          quietBefore: times.quietBefore,
          reachMs: { same_event: times.eventMs, contradiction: times.eventMs, echo: times.echoMs },
        });
        for (const key of ['woven', 'opened', 'grown', 'split', 'ended'] as const) done[key] += woven[key];
        context.heartbeat({ woven: done.woven });
        context.cancellationSignal.throwIfAborted();
      }
      return done;
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
   */
  async function linksOf(
    ownerId: string,
    model: string,
    { window, waiting, memoryIds }: { window: ThreadWindow; waiting: Set<string>; memoryIds: readonly string[] },
  ): Promise<ThreadLink[]> {
    const links: ThreadLink[] = [];
    for (let from = 0; from < memoryIds.length; from += block) {
      const candidates = memoryIds.slice(from, from + block).flatMap((id) => {
        waiting.delete(id);
        return window.candidates(id, (otherId) => waiting.has(otherId));
      });
      const ids = [...new Set(candidates.flatMap(({ memoryId, otherId }) => [memoryId, otherId]))];
      const vectors = await weaving.vectors(ownerId, model, ids);
      for (const candidate of candidates) {
        const [one, other] = [vectors.get(candidate.memoryId), vectors.get(candidate.otherId)];
        // Forgotten since the window was read.
        if (!one || !other) continue;
        const link = linkOf(candidate, dot(one, 0, other));
        if (link) links.push(link);
      }
    }
    return links;
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

  async function read(fromMs: number, toMs: number): Promise<void> {
    for await (const memories of weaving.between(ownerId, fromMs, toMs)) {
      window.add(memories);
      Context.current().heartbeat();
    }
  }
  async function readAnew(fromMs: number, toMs: number): Promise<void> {
    window = new ThreadWindow(times);
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
    if (batched.living.some((id) => !window.has(id))) await readAnew(fromMs, toMs);
    held = { fromMs, toMs };
    return { window, waiting: await weaving.unwovenBetween(ownerId, fromMs, toMs), narrowed: reach < full };
  };
}

interface Around {
  window: ThreadWindow;
  /** Ids of its memories that are still to be woven. */
  waiting: Set<string>;
  narrowed: boolean;
}
