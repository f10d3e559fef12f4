import { randomInt } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { answerChannel } from '../domain/answer-stream.ts';
import type { ChatPiece } from '../domain/chat-pieces.ts';
import { DomainError } from '../domain/errors.ts';
import type { EndedRequest, GatewayRequestStore } from '../stores/gateway-requests.ts';
import type { Listener, ListenerFactory } from '../stores/listen.ts';
import { entriesAfter } from './answer-feed.ts';
import { createSleeper, type Sleeper } from './event-streams.ts';

/** Numbers of callers are a Postgres integer. */
const mostCallers = 2 ** 31 - 1;
/** A reader looks by itself this often, should a notification be lost. */
const lookMs = 1_000;

interface Reader {
  id: string;
  sleeper: Sleeper;
  /** Its row has been written: where there is none now, it is gone. */
  opened: boolean;
  ended: EndedRequest | undefined;
}

/**
 * Answers to services as they are written: pieces from the request's stream in Redis, the end from its row in Postgres. One look at
 * the rows serves all readers, since many wait at once. Without Redis an answer comes whole.
 */
export function createGatewayFeed({
  requests,
  listen,
  redis,
  log,
}: {
  requests: GatewayRequestStore;
  listen: ListenerFactory;
  redis: Redis | undefined;
  log: Logger;
}) {
  /** By which workers know that this process lives. */
  const caller = randomInt(mostCallers);
  const readers = new Map<string, Reader>();
  const closing = new AbortController();
  let listener: Listener | undefined;
  let subscriber: Redis | undefined;
  let looking = false;
  let again = false;
  let timer: NodeJS.Timeout | undefined;

  function attend(): void {
    listener ??= listen('gateway_requests', () => void look(), caller);
    subscriber ??= redis && subscribe(redis);
    timer ??= setInterval(() => void look(), lookMs).unref();
  }

  function subscribe(connected: Redis): Redis {
    const own = connected.duplicate({ enableOfflineQueue: true, maxRetriesPerRequest: null, lazyConnect: false });
    own.on('error', (err) => log.debug({ err }, 'answers under way are not heard of'));
    own.on('message', (_channel, id) => readers.get(id as string)?.sleeper.wake());
    own.subscribe(answerChannel).catch((err: unknown) => log.debug({ err }, 'answers under way are not heard of'));
    return own;
  }

  /** What came to an end since; a call that comes meanwhile has it look once more. */
  async function look(): Promise<void> {
    again = true;
    if (looking) return;
    looking = true;
    try {
      while (again) {
        again = false;
        const waiting = [...readers.values()].filter(({ ended }) => ended === undefined);
        const open = waiting.map(({ id, opened }) => ({ id, opened }));
        if (open.length === 0) return;
        for (const row of await requests.ended(open)) {
          const reader = readers.get(row.id);
          if (!reader) continue;
          reader.ended = row;
          reader.sleeper.wake();
        }
      }
    } catch (err) {
      // Looked for again within a second.
      log.debug({ err }, 'ends of requests not read');
    } finally {
      looking = false;
    }
  }

  return {
    caller,

    /**
     * Waits for the end of a request, and tells of the pieces of its answer that come before it, in order and without a gap.
     * @throws UNAVAILABLE when the API stops; the signal's reason when it is aborted
     */
    async follow(
      id: string,
      { signal, onPieces }: { signal: AbortSignal; onPieces?: (pieces: ChatPiece[]) => Promise<void> },
      begin: () => Promise<void>,
    ): Promise<EndedRequest> {
      const either = AbortSignal.any([signal, closing.signal]);
      const reader: Reader = { id, sleeper: createSleeper(either), opened: false, ended: undefined };
      readers.set(id, reader);
      attend();
      try {
        await begin();
        reader.opened = true;
        let after: string | undefined;
        let from = 0;
        let attempt = 0;
        for (;;) {
          either.throwIfAborted();
          // Before the stream is read: what the row says has ended is in the stream whole.
          const { ended } = reader;
          if (onPieces && (attempt === 0 || from >= 0)) {
            for (;;) {
              const entries = await entriesAfter(redis, id, after);
              const pieces: ChatPiece[] = [];
              for (const { id: at, entry } of entries) {
                after = at;
                if (entry.kind !== 'text') continue;
                // One attempt alone may show its text; where some of it was lost on the way, the rest comes with the end.
                attempt ||= entry.attempt;
                if (entry.attempt !== attempt || entry.from !== from) from = -1;
                if (from < 0) continue;
                from += entry.text.length;
                pieces.push(...piecesOf(entry.text));
              }
              if (pieces.length > 0) await onPieces(pieces);
              if (entries.length === 0) break;
            }
          }
          if (ended) return ended;
          await reader.sleeper.sleep(lookMs);
        }
      } catch (err) {
        if (closing.signal.aborted && !signal.aborted)
          throw new DomainError('UNAVAILABLE', 'this process is stopping', { cause: err });
        throw err;
      } finally {
        readers.delete(id);
      }
    },

    async close(): Promise<void> {
      closing.abort();
      clearInterval(timer);
      subscriber?.disconnect();
      await listener?.close();
    },
  };
}
export type GatewayFeed = ReturnType<typeof createGatewayFeed>;

function piecesOf(lines: string): ChatPiece[] {
  return lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ChatPiece);
}
