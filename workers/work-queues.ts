import { Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createWorkOfferActivities, type OfferWatch } from '../activities/work.ts';
import { activityInterceptors } from '../activities/interceptors.ts';
import type { WorkState } from '../domain/states.ts';
import type { ListenerFactory } from '../stores/listen.ts';
import { type WorkStore, worksChannel } from '../stores/work.ts';
import { pollers, type SharedByWorkers } from './coordination.ts';

/** What a lost NOTIFY left lying is seen after this. */
const sweepEveryMs = 10_000;
/** So long a queue without open work keeps its worker. */
const idleMs = 5 * 60_000;
/** How often it is looked whether anybody takes what waits. */
const unclaimedEveryMs = 60_000;
/** Offers of one worker on one queue; what is more waits with Temporal, the most urgent first. */
const mostOffers = 100;

interface Held {
  workId: string;
  settle(state: WorkState): void;
}

/** Looks at all that this process offers with one statement, whenever anything changed. */
function createOfferWatch(works: WorkStore, onFailure: (err: unknown) => void) {
  const held = new Set<Held>();
  let looking: Promise<void> | undefined;
  let again = false;

  async function look(): Promise<void> {
    do {
      again = false;
      const ids = [...held].map(({ workId }) => workId);
      if (ids.length === 0) return;
      try {
        const settled = new Map((await works.settled(ids)).map(({ id, state }) => [id, state]));
        for (const one of held) {
          const state = settled.get(one.workId);
          if (state !== undefined) one.settle(state);
        }
      } catch (err) {
        onFailure(err);
      }
    } while (again);
  }

  const watch: OfferWatch = {
    until: (workId, signal) =>
      new Promise((resolve, reject) => {
        const one: Held = {
          workId,
          settle(state) {
            leave();
            resolve(state);
          },
        };
        const stop = () => {
          leave();
          reject(signal.reason as Error);
        };
        function leave(): void {
          held.delete(one);
          signal.removeEventListener('abort', stop);
        }
        held.add(one);
        signal.addEventListener('abort', stop);
        if (signal.aborted) return stop();
        // It may have been claimed between its offer and now.
        wake();
      }),
  };

  function wake(): void {
    again = true;
    looking ??= look().finally(() => {
      looking = undefined;
      if (again) wake();
    });
  }
  return { watch, wake };
}

export interface WorkQueueOptions {
  shared: SharedByWorkers;
  identityOf: (queue: string) => string;
  works: WorkStore;
  listen: ListenerFactory;
  /** How many workers Temporal sees on the queue of a service that is native. */
  pollersOf: (queue: string) => Promise<number>;
  onLost?: (serviceId: string) => void;
  /** A worker of a queue has ended by itself. */
  onFailure: (err: unknown) => void;
  log: Logger;
}

/** Keeps a worker on each queue with work that services claim over HTTP: begun with the first work, ended when there is none for long. */
export function serveWorkQueues({
  shared: { interceptors = activityInterceptors, ...shared },
  identityOf,
  works,
  listen,
  pollersOf,
  onLost,
  onFailure,
  log,
}: WorkQueueOptions) {
  const { watch, wake } = createOfferWatch(works, (err) => log.warn({ err }, 'offers not looked at'));
  const activities = createWorkOfferActivities({ works, watch, ...(onLost && { onLost }) });
  const serving = new Map<string, { worker: Worker; running: Promise<void>; usedAt: number }>();
  let stopped = false;
  let wanted = false;
  let running: Promise<void> | undefined;

  async function serve(queue: string): Promise<void> {
    const worker = await Worker.create({
      ...shared,
      identity: identityOf(queue),
      taskQueue: queue,
      activities,
      interceptors: { activity: interceptors },
      activityTaskPollerBehavior: pollers(1),
      maxConcurrentActivityTaskExecutions: mostOffers,
      // Offers are taken back at once, so that another worker makes them.
      shutdownGraceTime: 0,
    });
    serving.set(queue, { worker, running: worker.run().catch(onFailure), usedAt: performance.now() });
    log.info({ queue }, 'work is offered');
  }

  async function end(queue: string): Promise<void> {
    const one = serving.get(queue);
    serving.delete(queue);
    // One that has ended by itself takes no such word.
    if (one?.worker.getState() === 'RUNNING') one.worker.shutdown();
    await one?.running;
  }

  async function reconcile(): Promise<void> {
    while (wanted && !stopped) {
      wanted = false;
      try {
        const open = await works.openQueues();
        for (const queue of open) {
          const known = serving.get(queue);
          if (known) known.usedAt = performance.now();
          else if (!stopped) await serve(queue);
        }
        for (const [queue, { usedAt }] of serving) if (performance.now() - usedAt > idleMs) await end(queue);
      } catch (err) {
        log.warn({ err }, 'queues of work not looked at');
      }
    }
  }

  function look(): void {
    wake();
    wanted = true;
    running ??= reconcile().finally(() => {
      running = undefined;
      if (wanted && !stopped) look();
    });
  }

  async function tellUnclaimed(): Promise<void> {
    const waits = await works.unclaimed();
    const polled = await Promise.all(
      waits.map(async ({ joins, queue }) => joins === 'native' && (await pollersOf(queue)) > 0),
    );
    await works.tellUnclaimed(waits.filter((_, i) => polled[i] === false));
  }

  let telling: Promise<void> | undefined;
  function tell(): void {
    telling ??= tellUnclaimed()
      .catch((err: unknown) => log.warn({ err }, 'work that nobody takes was not looked for'))
      .finally(() => {
        telling = undefined;
      });
  }

  const listener = listen(worksChannel, look);
  const timer = setInterval(look, sweepEveryMs);
  const tellTimer = setInterval(tell, unclaimedEveryMs);
  look();
  return {
    tellUnclaimed,

    async stop(): Promise<void> {
      stopped = true;
      clearInterval(timer);
      clearInterval(tellTimer);
      await telling;
      await listener.close();
      await running;
      await Promise.all([...serving.keys()].map(end));
    },
  };
}
