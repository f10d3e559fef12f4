import type { ServerResponse } from 'node:http';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { answerChannel, type AnswerEntry, answerEntrySchema, answerStreamKey } from '../domain/answer-stream.ts';
import { DomainError } from '../domain/errors.ts';
import { isEndedMessage } from '../domain/states.ts';
import type { Database } from '../stores/database.ts';
import type { Listener, ListenerFactory } from '../stores/listen.ts';
import { findMessage, type MessageView } from '../stores/queries/messages.ts';
import { createSleeper, heartbeatMs, type Sleeper, streamsPerToken, write } from './event-streams.ts';

/** Entries read and written at a time. */
const batch = 200;
/** A reader looks by itself this often, should a notification be lost. */
const lookMs = 1_000;

export interface AnswerFeedOptions {
  db: Database;
  listen: ListenerFactory;
  /** Absent or away: the answer comes whole. */
  redis: Redis | undefined;
  log: Logger;
  /** The message as the API shows it. */
  shown: (message: MessageView) => object;
  onStreams?: (open: number) => void;
}

export interface AnswerReader {
  ownerId: string;
  tokenId: string;
  messageId: string;
  /** Id of the last entry of the stream that the reader has; from the start without it. */
  after: string | undefined;
  /** What the stream begins with. */
  queued: { id: string; agentId: string; conversationId: string };
  isAllowed: () => Promise<boolean>;
}

interface Reader {
  messageId: string;
  /** None: waits for the whole answer. */
  tokenId: string | undefined;
  sleeper: Sleeper;
  /** Its row may have changed. */
  stale: boolean;
}

/**
 * Answers as they are written: text from the message's stream in Redis, woken by its channel; the end from its row in
 * Postgres, woken by NOTIFY. Without Redis, or after it was flushed, only the text under way is missing.
 */
export function createAnswerFeed({ db, listen, redis, log, shown: shownAs, onStreams }: AnswerFeedOptions) {
  const readers = new Set<Reader>();
  const closing = new AbortController();
  let listener: Listener | undefined;
  let subscriber: Redis | undefined;

  function attend(): void {
    listener ??= listen('messages', () => {
      for (const reader of readers) {
        reader.stale = true;
        reader.sleeper.wake();
      }
    });
    subscriber ??= redis && subscribe(redis);
  }

  function subscribe(connected: Redis): Redis {
    // A connection that subscribes can do nothing else. Commands wait for it: there is but the one.
    const own = connected.duplicate({ enableOfflineQueue: true, maxRetriesPerRequest: null, lazyConnect: false });
    own.on('error', (err) => log.debug({ err }, 'answers under way are not heard of'));
    own.on('message', (_channel, messageId) => {
      for (const reader of readers) if (reader.messageId === messageId) reader.sleeper.wake();
    });
    own.subscribe(answerChannel).catch((err: unknown) => log.debug({ err }, 'answers under way are not heard of'));
    return own;
  }

  async function reading<Result>(
    { messageId, tokenId, signal }: { messageId: string; tokenId: string | undefined; signal: AbortSignal },
    work: (reader: Reader) => Promise<Result>,
  ): Promise<Result> {
    attend();
    const reader: Reader = { messageId, tokenId, sleeper: createSleeper(signal), stale: true };
    readers.add(reader);
    onStreams?.(streams().length);
    try {
      return await work(reader);
    } finally {
      readers.delete(reader);
      onStreams?.(streams().length);
    }
  }

  function streams(): Reader[] {
    return [...readers].filter(({ tokenId }) => tokenId !== undefined);
  }

  async function pump(response: ServerResponse, wanted: AnswerReader, reader: Reader, signal: AbortSignal) {
    const { ownerId, messageId, queued } = wanted;
    let { after } = wanted;
    let attempt = 0;
    let shown = after !== undefined;
    let beatAt = Date.now() + heartbeatMs;
    let lookAt = 0;
    await write(response, `retry: 2000\n\n${eventText('queued', queued)}`, signal);
    while (!signal.aborted) {
      const entries = await entriesAfter(redis, messageId, after);
      let text = '';
      for (const { id, entry } of entries) {
        after = id;
        // A machine that does not know yet that its attempt is over writes on.
        if (entry.attempt < attempt) continue;
        ({ attempt } = entry);
        // The first to reach a machine makes nothing void, whichever attempt it is.
        if (entry.kind === 'text' || shown) text += textOf(id, entry);
        shown ||= entry.kind === 'text';
      }
      if (text !== '') await write(response, text, signal);
      if (entries.length === batch) continue;
      if (reader.stale || Date.now() >= lookAt) {
        reader.stale = false;
        lookAt = Date.now() + lookMs;
        const message = await findMessage(db, ownerId, messageId);
        if (message && isEndedMessage(message)) {
          await write(
            response,
            eventText(message.state === 'answered' ? 'answer' : 'failed', shownAs(message)),
            signal,
          );
          return;
        }
      }
      if (Date.now() >= beatAt) {
        if (!(await wanted.isAllowed())) return;
        await write(response, ': heartbeat\n\n', signal);
        beatAt = Date.now() + heartbeatMs;
      }
      await reader.sleeper.sleep(Math.max(10, Math.min(lookAt, beatAt) - Date.now()));
    }
  }

  return {
    /** @throws RATE_LIMITED when the token holds as many streams as it may */
    admit(tokenId: string): void {
      if (streams().filter((other) => other.tokenId === tokenId).length < streamsPerToken) return;
      throw new DomainError('RATE_LIMITED', `this token reads ${streamsPerToken} answers already; close one`);
    },

    /** Streams a message until it has ended; the reader's going away ends the stream and nothing else. */
    async follow(response: ServerResponse, wanted: AnswerReader): Promise<void> {
      const gone = new AbortController();
      response.once('close', () => gone.abort());
      const signal = AbortSignal.any([gone.signal, closing.signal]);
      try {
        await reading({ ...wanted, signal }, (reader) => pump(response, wanted, reader, signal));
      } catch (err) {
        // The reader opens it again by itself, from where it was.
        if (!signal.aborted) log.warn({ err }, 'stream of an answer ended');
      } finally {
        response.end();
      }
    },

    /** The message once it has ended, or as it stands after `withinMs`; undefined while its row is not written. */
    async ended(ownerId: string, messageId: string, withinMs: number): Promise<MessageView | undefined> {
      const until = Date.now() + withinMs;
      return reading({ messageId, tokenId: undefined, signal: closing.signal }, async ({ sleeper }) => {
        for (;;) {
          const message = await findMessage(db, ownerId, messageId);
          const left = until - Date.now();
          if ((message && isEndedMessage(message)) || left <= 0 || closing.signal.aborted) return message;
          await sleeper.sleep(Math.min(left, lookMs));
        }
      });
    },

    async close(): Promise<void> {
      closing.abort();
      subscriber?.disconnect();
      await listener?.close();
    },
  };
}

/** What a stream has after an entry; nothing while Redis is away. */
export async function entriesAfter(
  redis: Redis | undefined,
  messageId: string,
  after: string | undefined,
): Promise<Array<{ id: string; entry: AnswerEntry }>> {
  if (redis?.status !== 'ready') return [];
  const from = after === undefined ? '-' : `(${after}`;
  // It went away just now: its connection's own listener says so, and the text under way is not shown.
  const found = await redis.xrange(answerStreamKey(messageId), from, '+', 'COUNT', batch).catch(() => []);
  return found.flatMap(([id, fields]) => {
    const pairs = Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i]!, fields[2 * i + 1]!]);
    const entry = answerEntrySchema.safeParse(Object.fromEntries(pairs));
    return entry.success ? [{ id, entry: entry.data }] : [];
  });
}

function textOf(id: string, entry: AnswerEntry): string {
  if (entry.kind === 'text') return eventText('token', { text: entry.text, from: entry.from }, id);
  return eventText('restart', { attempt: entry.attempt, machineId: entry.machineId }, id);
}

function eventText(event: string, data: object, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
