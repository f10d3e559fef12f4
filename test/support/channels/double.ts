import { randomUUID } from 'node:crypto';
import http, { type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  body: string;
  json: Record<string, unknown>;
  /** Milliseconds since 1970, by the double's clock. */
  at: number;
  /** Its key was not known when the work on it began, and nobody looks again: what is done meanwhile under the same key is another. */
  unknown?: true;
}

export interface Replied {
  status: number;
  headers?: Record<string, string>;
  /** An object is sent as JSON. */
  body?: unknown;
}

/**
 * What is to go wrong with a post. cut_before: the connection breaks before it is done. cut_after: it is done, and then the
 * connection breaks. hold: it is done, and no answer comes. slowMs: the connection breaks, and the service is at work on it for so long
 * yet. A reply: in place of doing it.
 */
export type Fault = 'cut_before' | 'cut_after' | 'hold' | { slowMs: number } | Replied;

export interface Posted {
  id: string;
  /** What its service knows it again by; empty where there is nothing. */
  key: string;
  text: string;
  at: number;
}

/** What a service does with requests; `posting` names those that make a post. */
export interface Service {
  posting: (request: Received) => boolean;
  /** Names requests that read replies. */
  reading?: (request: Received) => boolean;
  /** Whether it has finished a post under the key of a request. */
  knows?: (request: Received) => boolean;
  handle: (request: Received, posts: Posted[]) => Replied;
}

/** A real web server on the loopback in place of a service, with faults as a test asks for them and a clock that it moves. */
export async function startChannelDouble(service: Service, { port = 0 }: { port?: number } = {}) {
  const posts: Posted[] = [];
  const requests: Received[] = [];
  const faults: Fault[] = [];
  const readFaults: Replied[] = [];
  const atWork = new Set<NodeJS.Timeout>();
  let chance: ((request: Received) => Fault | undefined) | undefined;
  let ahead = 0;

  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('error', () => undefined);
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      const url = new URL(request.url ?? '/', 'http://double');
      const received: Received = {
        method: request.method ?? '',
        path: url.pathname,
        query: url.searchParams,
        headers: request.headers,
        body,
        json: jsonOf(body),
        at: Date.now() + ahead,
      };
      requests.push(received);
      const fault = service.posting(received) ? (faults.shift() ?? chance?.(received)) : undefined;
      const refusal = service.reading?.(received) === true ? readFaults.shift() : undefined;
      if (fault === 'cut_before') return request.socket.destroy();
      if (typeof fault === 'object' && 'slowMs' in fault) {
        const work = { ...received, ...(service.knows?.(received) === true ? {} : { unknown: true as const }) };
        atWork.add(setTimeout(() => service.handle({ ...work, at: Date.now() + ahead }, posts), fault.slowMs));
        return request.socket.destroy();
      }
      const replied = typeof fault === 'object' ? fault : (refusal ?? service.handle(received, posts));
      if (fault === 'cut_after') return request.socket.destroy();
      if (fault === 'hold') return;
      const text = typeof replied.body === 'string' ? replied.body : JSON.stringify(replied.body ?? {});
      const type = typeof replied.body === 'string' ? 'text/plain' : 'application/json';
      response.writeHead(replied.status, { 'content-type': type, ...replied.headers }).end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const { port: taken } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${taken}`,
    posts,
    requests,
    posted: () => requests.filter((request) => service.posting(request)),
    /** What is to go wrong with the next posts, one each. */
    fail: (...next: Fault[]) => faults.push(...next),
    /** Faults that a test has left behind. */
    forgive: () => faults.splice(0),
    /** What the next requests for replies are answered, one each. */
    failReads: (...next: Replied[]) => readFaults.push(...next),
    /** What goes wrong with any post after those. */
    failBy(decide: typeof chance): void {
      chance = decide;
    },
    /** Moves the clock of the service on. */
    forward(seconds: number): void {
      ahead += seconds * 1000;
    },
    async close(): Promise<void> {
      for (const work of atWork) clearTimeout(work);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function newPost(request: Received, post: Pick<Posted, 'key' | 'text'>): Posted {
  return { id: randomUUID(), at: request.at, ...post };
}

/** A quota of so many requests in a window, as many services count. */
export function createQuota(most: number, windowSeconds: number) {
  const windows = new Map<string, { since: number; used: number }>();
  return (of: string, at: number): { allowed: boolean; remaining: number; resetAt: number } => {
    let window = windows.get(of);
    if (window === undefined || at - window.since >= windowSeconds * 1000) {
      window = { since: at, used: 0 };
      windows.set(of, window);
    }
    window.used += 1;
    const resetAt = window.since + windowSeconds * 1000;
    return { allowed: window.used <= most, remaining: Math.max(0, most - window.used), resetAt };
  };
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** A field as text; empty where it is none. */
export function wordOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
