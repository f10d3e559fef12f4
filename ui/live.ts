import type { QueryClient } from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';
import { readEvents } from './event-stream.ts';

/** An event of `GET /v1/events`. */
export interface LiveEvent {
  id: string;
  type: string;
  subject: string;
  data: Record<string, unknown>;
  at: string;
}

/** However much happens, what is shown is read again at most once in this time. */
const gatherMs = 3_000;
const againMs = { least: 1_000, most: 30_000 };

/** Lists and things that an event of a noun makes old, where it is more than `/v1/<noun>s`. */
const touchedBy: Record<string, readonly string[]> = {
  agent: ['/v1/agents', '/v1/fleet', '/v1/lineages', '/v1/drift'],
  backup: ['/v1/backups', '/v1/inbox'],
  ballot: ['/v1/ballots'],
  blessings: ['/v1/blessings', '/v1/ledger'],
  channel: ['/v1/channels', '/v1/deliveries'],
  cluster: ['/v1/clusters', '/v1/globe'],
  drop: ['/v1/drops', '/v1/deliveries'],
  ego: ['/v1/agents'],
  embeddings: ['/v1/agents', '/v1/globe'],
  drops: ['/v1/drops'],
  fleet: ['/v1/fleet', '/v1/machines', '/v1/agents', '/v1/services', '/v1/models'],
  globe: ['/v1/globe'],
  guild: ['/v1/guilds', '/v1/invites'],
  health: ['/v1/health', '/v1/inbox'],
  key: ['/v1/signing-keys'],
  ledger: ['/v1/ledger'],
  license: ['/v1/licenses', '/v1/purchases'],
  listing: ['/v1/listings', '/v1/store'],
  machine: ['/v1/machines', '/v1/fleet', '/v1/models', '/v1/inbox'],
  memories: ['/v1/agents/{id}/memories'],
  memory: ['/v1/agents/{id}/memories', '/v1/memories', '/v1/globe'],
  message: ['/v1/messages', '/v1/agents/{id}/messages'],
  notice: ['/v1/inbox'],
  payout: ['/v1/payouts', '/v1/ledger', '/v1/inbox'],
  plan: ['/v1/fleet', '/v1/machines', '/v1/models', '/v1/services', '/v1/agents'],
  purchase: ['/v1/purchases', '/v1/refunds', '/v1/ledger', '/v1/licenses'],
  rollout: ['/v1/rollouts', '/v1/inbox'],
  run: ['/v1/runs', '/v1/sweeps', '/v1/fleet', '/v1/reflections'],
  service: ['/v1/services', '/v1/fleet'],
  source: ['/v1/sources', '/v1/inbox'],
  sweep: ['/v1/sweeps', '/v1/fleet'],
  thread: ['/v1/threads'],
  user: ['/v1/users'],
  whisper: ['/v1/whispers', '/v1/inbox'],
  work: ['/v1/work'],
};

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
  const gathered = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const readAgain = async () => {
    const paths = [...gathered];
    gathered.clear();
    const isOld = ({ queryKey: [operation] }: { queryKey: readonly unknown[] }) =>
      typeof operation === 'string' && paths.some((path) => operation.startsWith(`GET ${path}`));
    // What is being read is not cut off by the next event: on a busy machine no reading would ever end.
    await queries.invalidateQueries({ predicate: isOld });
    timer = gathered.size > 0 && !signal.aborted ? setTimeout(() => void readAgain(), gatherMs) : undefined;
  };
  const take = ({ event, state: next, why: reason = '' }: Told) => {
    // What is being read for the first time is not cut off.
    if (next === 'live' && state !== 'live') void queries.invalidateQueries({}, { cancelRefetch: false });
    if (next !== undefined) become(next, reason);
    if (event === undefined) return;
    const noun = event.type.split('.')[0] ?? '';
    for (const path of touchedBy[noun] ?? [`/v1/${noun}s`]) gathered.add(path);
    timer ??= setTimeout(() => void readAgain(), gatherMs);
    for (const heard of eventListeners) heard(event);
  };
  signal.addEventListener('abort', () => clearTimeout(timer));

  const locks = (navigator as Partial<Pick<Navigator, 'locks'>>).locks;
  if (locks === undefined) {
    // Without a secure context there are no locks: each tab holds its own.
    void hold(take, signal);
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

/** Waits, at most until the network is back or nobody wants to know any more. @returns whether it took the whole time */
function waited(ms: number, signal: AbortSignal): Promise<boolean> {
  const over = new AbortController();
  return new Promise<boolean>((resolve) => {
    setTimeout(() => resolve(true), ms);
    addEventListener('online', () => resolve(false), { signal: over.signal });
    signal.addEventListener('abort', () => resolve(false), { signal: over.signal });
  }).finally(() => over.abort());
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
    if (await waited(waitMs, signal)) waitMs = Math.min(againMs.most, waitMs * 2);
    else waitMs = againMs.least;
  }
}
