import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { retryAfterOf } from '../../domain/retry-after.ts';
import type { FeedSource } from '../../domain/sources.ts';
import type { GuardedFetch, GuardedReply } from '../guarded-fetch.ts';
import { parseFeedDocument } from './feed-parsing.ts';
import { SourceFailure, type SourceReader } from './source-reader.ts';

const mostBytes = 5 * 1024 * 1024;
const timeoutMs = 30_000;

/** Of the address that it was made for: another one is read from the beginning. */
const cursorSchema = z.object({ url: z.string(), etag: z.string().optional(), lastModified: z.string().optional() });
type FeedCursor = z.infer<typeof cursorSchema>;

/** RSS, Atom and JSON feeds over HTTP, asked for only where they have changed. */
export function createFeedReader({ guardedFetch }: { guardedFetch: GuardedFetch }): SourceReader<FeedSource> {
  return {
    async read(source, { cursor: known, signal }) {
      const parsed = cursorSchema.safeParse(known);
      const cursor = parsed.success && parsed.data.url === source.url ? parsed.data : undefined;
      const reply = await guardedFetch(source.url, {
        headers: {
          accept: 'application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5',
          'user-agent': 'Soulfra (feed reader)',
          ...(cursor?.etag === undefined ? {} : { 'if-none-match': cursor.etag }),
          ...(cursor?.lastModified === undefined ? {} : { 'if-modified-since': cursor.lastModified }),
        },
        allowPrivate: source.allowPrivate,
        mostBytes,
        timeoutMs,
        signal,
      });
      const note = reply.movedTo === undefined ? '' : `it has moved for good to ${reply.movedTo}; change its url`;
      if (reply.status === 304 && cursor !== undefined) return { items: [], cursor, again: cursor, left: 0, note };
      refuseStatus(reply);
      const contentType = reply.headers['content-type'] ?? '';
      refuseType(contentType);
      const items = await parseFeedDocument({ bytes: reply.body, contentType, url: reply.url }, { signal });
      // Whole documents: what was left of one is among the next one's, which must then come whole too.
      return { items, cursor: cursorOf(source.url, reply), again: null, left: 0, shownParts: [], note };
    },
  };
}

function cursorOf(url: string, { headers }: GuardedReply): FeedCursor {
  const { etag, 'last-modified': lastModified } = headers;
  return { url, ...(etag === undefined ? {} : { etag }), ...(lastModified === undefined ? {} : { lastModified }) };
}

function refuseStatus({ status, headers }: GuardedReply): void {
  if (status === 200) return;
  if (status === 410) {
    throw new SourceFailure('REMOTE_FAILED', 'the server says that it is gone for good (410)', { gone: true });
  }
  throw new SourceFailure('REMOTE_FAILED', `the server answered ${status}`, {
    retryAfterSeconds: retryAfterOf(headers['retry-after'], new Date()),
  });
}

/** Servers name feeds in many ways; what is surely none is not tried. */
function refuseType(contentType: string): void {
  const type = contentType.split(';')[0]!.trim().toLowerCase();
  if (type === '' || type.startsWith('text/') || /\b(xml|json|rss|atom|rdf)\b/.test(type)) return;
  throw new DomainError('REMOTE_FAILED', `the server sent ${type.slice(0, 60)}, which is no feed`);
}
