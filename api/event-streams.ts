import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

/** What every stream of server-sent events shares. */

/** A reader that takes nothing for this long is let go; it comes back with its Last-Event-ID. */
const drainMs = 30_000;
export const heartbeatMs = 15_000;
/** Each stream reads its rows by itself, so one token may hold only so many of a kind. */
export const streamsPerToken = 16;

/** Takes the answer out of the server's hands and begins it as a stream. */
export function beginStream(reply: FastifyReply): ServerResponse {
  reply.hijack();
  // A hijacked reply writes its own head; what the hooks have set goes along.
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) reply.raw.setHeader(name, value);
  reply.raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    // Ended by a server that stops, the connection must not stay open for its keep-alive time.
    connection: 'close',
  });
  return reply.raw;
}

/** Writes, and waits until a slow reader has taken what was written. */
export async function write(response: ServerResponse, text: string, signal: AbortSignal): Promise<void> {
  if (response.write(text)) return;
  await once(response, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(drainMs)]) });
}

export interface Sleeper {
  wake: () => void;
  sleep: (ms: number) => Promise<void>;
}

/** A wake that comes while nobody sleeps makes the next sleep return at once. */
export function createSleeper(signal: AbortSignal): Sleeper {
  let woken = false;
  let rise: (() => void) | undefined;
  const wake = () => {
    woken = true;
    rise?.();
  };
  signal.addEventListener('abort', wake, { once: true });
  return {
    wake,
    async sleep(ms) {
      if (!woken) {
        const { promise, resolve } = Promise.withResolvers<void>();
        rise = resolve;
        const timer = setTimeout(resolve, ms);
        await promise;
        clearTimeout(timer);
        rise = undefined;
      }
      woken = false;
    },
  };
}
