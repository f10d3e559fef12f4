import { createHash } from 'node:crypto';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export interface FeedEntry {
  id: string;
  title: string;
  text?: string;
  /** ISO. */
  date?: string;
  link?: string;
}

export type FeedServer = Awaited<ReturnType<typeof startFeedServer>>;

/** A real web server on the loopback with one RSS feed that a test writes; it answers 304 as servers should. */
export async function startFeedServer() {
  let entries: FeedEntry[] = [];
  let answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  let delayMs = 0;
  const statuses: number[] = [];
  const server = http.createServer((request, response) => {
    response.on('close', () => statuses.push(response.statusCode));
    if (answer) return answer(request, response);
    const body = rssOf(entries);
    const etag = `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`;
    void pause(delayMs).then(() => {
      if (request.headers['if-none-match'] === etag) response.writeHead(304, { etag }).end();
      else response.writeHead(200, { 'content-type': 'application/rss+xml; charset=utf-8', etag }).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/feed`,
    /** Statuses of what was answered, in order. */
    statuses,
    /** Newest first, as feeds have them. */
    publish(...now: FeedEntry[]): void {
      entries = now;
    },
    /** What to say instead of the feed; undefined: the feed again. */
    answerWith(handler: typeof answer): void {
      answer = handler;
    },
    slowBy(ms: number): void {
      delayMs = ms;
    },
    async close(): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function rssOf(entries: readonly FeedEntry[]): string {
  const items = entries.map(
    ({ id, title, text = '', date, link }) => `<item><guid isPermaLink="false">${id}</guid><title>${title}</title>
      <description><![CDATA[<p>${text}</p>]]></description>${link === undefined ? '' : `<link>${link}</link>`}
      ${date === undefined ? '' : `<pubDate>${new Date(date).toUTCString()}</pubDate>`}</item>`,
  );
  return `<?xml version="1.0"?><rss version="2.0"><channel><title>t</title><link>http://x.example</link>${items.join('')}</channel></rss>`;
}
