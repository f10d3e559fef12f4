import type { ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { DomainError } from '../domain/errors.ts';
import type { Database } from '../stores/database.ts';
import type { Listener, ListenerFactory } from '../stores/listen.ts';
import { type EventCursor, type EventView, eventsAfter } from '../stores/queries/events.ts';
import { createSleeper, heartbeatMs, type Sleeper, streamsPerToken, write } from './event-streams.ts';

/** Rows read and written at a time: what a slow reader has not taken yet is never held here beyond this. */
const batch = 200;
/** While a running transaction holds rows back, nothing will notify of its end. */
const heldBackMs = 250;

export interface EventFeedOptions {
  db: Database;
  listen: ListenerFactory;
  log: Logger;
  /** Seconds until a reader looks by itself, should a notification be lost. */
  pollSeconds: number;
  onStreams?: (open: number) => void;
}

export interface Subscription {
  ownerId: string;
  tokenId: string;
  /** Of this fleet's transaction numbers; stands in the cursors that are told. */
  generation: number;
  after: EventCursor;
  /** Whether whoever opened the stream still may read it; asked at each heartbeat. */
  isAllowed: () => Promise<boolean>;
  wants: (event: EventView) => boolean;
}

/** Server-sent events: each reader follows the table from its own cursor, woken by NOTIFY and by its own clock. */
export function createEventFeed({ db, listen, log, pollSeconds, onStreams }: EventFeedOptions) {
  /** Open streams: how to wake each, and whose token it was opened with. */
  const readers = new Map<() => void, string>();
  const closing = new AbortController();
  let listener: Listener | undefined;

  function wakeAll(): void {
    for (const wake of readers.keys()) wake();
  }

  async function follow(response: ServerResponse, subscription: Subscription): Promise<void> {
    listener ??= listen('events', wakeAll);
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const signal = AbortSignal.any([gone.signal, closing.signal]);
    const sleeper = createSleeper(signal);
    readers.set(sleeper.wake, subscription.tokenId);
    onStreams?.(readers.size);
    try {
      await pump(response, subscription, sleeper, signal);
    } catch (err) {
      // The reader opens it again by itself, from where it was.
      if (!signal.aborted) log.warn({ err }, 'event stream ended');
    } finally {
      readers.delete(sleeper.wake);
      onStreams?.(readers.size);
      response.end();
    }
  }

  async function pump(
    response: ServerResponse,
    subscription: Subscription,
    sleeper: Sleeper,
    signal: AbortSignal,
  ): Promise<void> {
    let { after } = subscription;
    const { generation } = subscription;
    let beatAt = Date.now() + heartbeatMs;
    await write(response, 'retry: 2000\n\n', signal);
    while (!signal.aborted) {
      const { events, more } = await eventsAfter(db, subscription.ownerId, after, batch);
      const text = events
        .filter(subscription.wants)
        .map((event) => eventText(event, generation))
        .join('');
      after = events.at(-1)?.cursor ?? after;
      if (text !== '') await write(response, text, signal);
      if (events.length === batch) continue;
      if (Date.now() >= beatAt) {
        if (!(await subscription.isAllowed())) return;
        // The cursor rides along, so that a reader who filters does not read the same rows again.
        await write(response, `: heartbeat\nid: ${cursorText(after, generation)}\n\n`, signal);
        beatAt = Date.now() + heartbeatMs;
      }
      await sleeper.sleep(more ? heldBackMs : Math.min(pollSeconds * 1000, Math.max(10, beatAt - Date.now())));
    }
  }

  return {
    follow,
    /** @throws RATE_LIMITED when the token holds as many streams as it may */
    admit(tokenId: string): void {
      const open = [...readers.values()].filter((other) => other === tokenId);
      if (open.length >= streamsPerToken) {
        throw new DomainError('RATE_LIMITED', `this token holds ${streamsPerToken} event streams already; close one`);
      }
    },
    /** Ends every stream; readers come back to whichever process is there then. */
    async close(): Promise<void> {
      closing.abort();
      await listener?.close();
    },
  };
}

/** A fleet that was never restored leaves its generation out. */
function cursorText({ xid, id }: EventCursor, generation: number): string {
  return `${generation === 0 ? '' : `${generation}.`}${xid}-${id}`;
}

/** @returns undefined for anything but `<xid>-<id>`, with the generation before it where there is one */
export function parseCursor(text: string): { generation: number; cursor: EventCursor } | undefined {
  const match = /^(?:(\d{1,9})\.)?(\d{1,19})-(\d{1,16})$/.exec(text);
  if (!match) return undefined;
  return { generation: Number(match[1] ?? 0), cursor: { xid: match[2]!, id: Number(match[3]) } };
}

function eventText({ cursor, type, subject, data, at }: EventView, generation: number): string {
  return `id: ${cursorText(cursor, generation)}\nevent: ${type}\ndata: ${JSON.stringify({ type, subject, data, at })}\n\n`;
}
