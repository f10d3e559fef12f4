import type { QueryClient } from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';
import { readEvents } from './event-stream.ts';
import { gatherTouched } from './gather-touched.ts';
import { touchedPaths } from './touched.ts';

/** An event of `GET /v1/events`. */
export interface LiveEvent {
  id: string;
  type: string;
  subject: string;
  data: Record<string, unknown>;
  at: string;
}

const againMs = { least: 1_000, most: 30_000 };

export type LiveState = 'connecting' | 'live' | 'away';
let state: LiveState = 'connecting';
let why = '';
const stateListeners = new Set<() => void>();
const eventListeners = new Set<(event: LiveEvent) => void>();

function become(next: LiveState, reason: string): void {
  why = reason;
  if (next === state) return;
  state = next;
  for (const heard of stateListeners) heard();
}

/** Whether what is shown is live, and why not. */
export function useLive(): { state: LiveState; why: string } {
  const now = useSyncExternalStore(
    (heard) => {
      stateListeners.add(heard);
      return () => stateListeners.delete(heard);
    },
    () => state,
  );
  return { state: now, why };
}

/**
 * Hears each event as it comes; returns how to stop.
 * @public
 */
export function onEvent(heard: (event: LiveEvent) => void): () => void {
  eventListeners.add(heard);
  return () => eventListeners.delete(heard);
}

interface Told {
  event?: LiveEvent;
  state?: LiveState;
  why?: string;
}

/**
 * Follows the events until `signal` ends. A browser has six connections to a server: of all tabs one holds the stream, and tells
 * the others what came.
 */
export function followEvents(queries: QueryClient, signal: AbortSignal): void {
  const touched = gatherTouched(queries, signal);
  let wasLive = false;
  const take = ({ event, state: next, why: reason = '' }: Told) => {
    if (next === 'live' && state !== 'live') {
      // The first readings of a page are under way as its stream opens; after a gap they may hang in the connection that broke.
      void queries.invalidateQueries({}, { cancelRefetch: wasLive });
      wasLive = true;
    }
    if (next !== undefined) become(next, reason);
    if (event === undefined) return;
    touched(touchedPaths(event.type.split('.')[0] ?? ''));
    for (const heard of eventListeners) heard(event);
  };

  const locks = (navigator as Partial<Pick<Navigator, 'locks'>>).locks;
  if (locks === undefined) {
    holdWhileSeen(take, signal);
    return;
  }
  const channel = new BroadcastChannel('soulfra-events');
  const toOthers = (told: Told) => {
    take(told);
    if (!signal.aborted) channel.postMessage(told);
  };
  channel.addEventListener('message', ({ data }: MessageEvent<Told | 'asked'>) => {
    if (data !== 'asked') take(data);
    else if (holds) channel.postMessage({ state } satisfies Told);
  });
  signal.addEventListener('abort', () => channel.close());
  let holds = false;
  channel.postMessage('asked');
  locks
    .request('soulfra-events', { signal }, async () => {
      holds = true;
      // Between two holders events may have gone by: what is shown is read again once this stream is open.
      toOthers({ state: 'connecting' });
      await hold(toOthers, signal);
    })
    .catch((err: unknown) => {
      if (!signal.aborted) throw err;
    });
}

/** Without a secure context there are no locks, and six streams would leave no connection: only a tab that is looked at holds one. */
function holdWhileSeen(tell: (told: Told) => void, signal: AbortSignal): void {
  let seen: AbortController | undefined;
  const look = () => {
    if (document.hidden) {
      seen?.abort();
      seen = undefined;
      // What goes by meanwhile is read as the stream is opened anew.
      tell({ state: 'connecting' });
    } else if (seen === undefined) {
      seen = new AbortController();
      void hold(tell, AbortSignal.any([signal, seen.signal]));
    }
  };
  look();
  document.addEventListener('visibilitychange', look, { signal });
}

async function hold(tell: (told: Told) => void, signal: AbortSignal): Promise<void> {
  let last: string | undefined;
  let waitMs = againMs.least;
  while (!signal.aborted) {
    try {
      await readEvents('/v1/events', {
        signal,
        last,
        onOpen: () => {
          waitMs = againMs.least;
          tell({ state: 'live' });
        },
        onEvent: ({ id, data }) => {
          last = id ?? last;
          if (data !== '') tell({ event: { id: id ?? '', ...(JSON.parse(data) as Omit<LiveEvent, 'id'>) } });
        },
      });
      // A server that ends its streams comes back, or another does.
      tell({ state: 'away' });
    } catch (err) {
      if (signal.aborted) return;
      tell({ state: 'away', why: err instanceof Error ? err.message : String(err) });
    }
    await pause(waitMs, signal);
    waitMs = Math.min(againMs.most, waitMs * 2);
  }
}

/** Until the time is over, the network is back, or nobody waits any more. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = new AbortController();
    const end = () => {
      over.abort();
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, ms);
    addEventListener('online', end, { signal: over.signal });
    signal.addEventListener('abort', end, { signal: over.signal });
  });
}
