import { createHash } from 'node:crypto';
import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { feedDocument, type FeedFormat, feedFormats } from '../../domain/feed-documents.ts';
import { idSchema } from '../../domain/ids.ts';
import { feedSettings } from '../../integrations/channels/feed.ts';
import { findFeed } from '../../stores/queries/feeds.ts';
import type { ApiContext } from '../context.ts';
import { problemResponses } from '../schemas.ts';
import type { Api } from '../types.ts';

const mediaTypes: Record<FeedFormat, string> = {
  atom: 'application/atom+xml; charset=utf-8',
  rss: 'application/rss+xml; charset=utf-8',
  json: 'application/feed+json; charset=utf-8',
};

/** Feeds are for everybody who has their address: readers sign in nowhere. */
export function feedRoutes(app: Api, { db }: ApiContext): void {
  app.route({
    method: 'GET',
    url: '/v1/feeds/:id/:format',
    config: { role: 'none' },
    schema: {
      tags: ['drops'],
      summary: 'What was published on a channel of kind feed, the last 50; with ETag and 304',
      params: z.strictObject({ id: idSchema('channel'), format: z.enum(feedFormats) }),
      response: {
        200: {
          description: 'Atom, RSS 2.0 or JSON Feed 1.1',
          content: {
            'application/atom+xml': { schema: z.string() },
            'application/rss+xml': { schema: z.string() },
            'application/feed+json': { schema: z.string() },
          },
        },
        304: z.null(),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { id, format } = request.params;
      const found = await findFeed(db, id);
      if (!found) throw new DomainError('NOT_FOUND', `no feed ${id}`);
      const settings = feedSettings.parse(found.settings);
      const updatedAt = (found.entries[0]?.publishedAt ?? found.createdAt).toISOString();
      const document = feedDocument(
        format,
        { ...settings, feedUrl: settings.feedUrl, uuid: uuidOf(id), updatedAt },
        found.entries.map((entry) => ({
          ...entry,
          uuid: uuidOf(entry.id),
          publishedAt: entry.publishedAt.toISOString(),
        })),
      );
      const etag = `"${createHash('sha256').update(document).digest('base64url').slice(0, 27)}"`;
      void reply.header('etag', etag).header('cache-control', 'public, max-age=60');
      if (isKnown(request.headers['if-none-match'], etag)) return reply.code(304).send(null);
      return reply.type(mediaTypes[format]).send(document);
    },
  });
}

/** By RFC 9110: any of a list, weak or not, or `*`. */
function isKnown(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((one) => one.trim().replace(/^W\//, '') === etag || one.trim() === '*');
}

function uuidOf(id: string): string {
  return id.slice(id.indexOf('_') + 1);
}
