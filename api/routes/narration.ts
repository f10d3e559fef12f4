import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { feedEntries } from '../../domain/feed-documents.ts';
import { idSchema } from '../../domain/ids.ts';
import { feedSettings } from '../../integrations/channels/feed.ts';
import { findFeed } from '../../stores/queries/feeds.ts';
import type { ApiContext } from '../context.ts';
import { narrationPage } from '../narration-pages.ts';
import { pageFileOf, pagePolicy, sendPage } from '../pages.ts';
import { readerLocale } from '../reader-locale.ts';
import type { Api } from '../types.ts';

const keptSeconds = 60;
const scriptSeconds = 3_600;

/** Narration on other sites: one script, which puts in a frame; what may hold the frame is said by the feed's `embeddedBy`. */
export function narrationRoutes(app: Api, { db }: ApiContext): void {
  const script = pageFileOf['narration.js'];

  app.route({
    method: 'GET',
    url: '/narration.js',
    config: { role: 'none' },
    schema: { hide: true },
    handler: (_request, reply) =>
      reply
        .header('cache-control', `public, max-age=${scriptSeconds}`)
        // It is for pages of others to load.
        .header('cross-origin-resource-policy', 'cross-origin')
        .type(script.type)
        .send(script.text),
  });

  app.route({
    method: 'GET',
    url: '/narration/:id',
    config: { role: 'none' },
    schema: { hide: true, params: z.strictObject({ id: idSchema('channel') }) },
    handler: async (request, reply) => {
      const { id } = request.params;
      const found = await findFeed(db, id);
      if (!found) throw new DomainError('NOT_FOUND', `no feed ${id}`);
      const settings = feedSettings.parse(found.settings);
      const items = found.entries.map((entry) => ({
        ...entry,
        uuid: entry.id.slice(entry.id.indexOf('_') + 1),
        publishedAt: entry.publishedAt.toISOString(),
      }));
      const entries = feedEntries(settings, items);
      const locale = readerLocale(request.headers['accept-language']);
      const page = narrationPage({ title: settings.title, feedPath: `/v1/feeds/${id}/json`, entries, locale });
      const policy = pagePolicy({
        'script-src': "'self'",
        'connect-src': "'self'",
        'form-action': "'none'",
        'frame-ancestors': settings.embeddedBy.length === 0 ? "'none'" : settings.embeddedBy.join(' '),
      });
      return sendPage(reply, page, { policy, maxAge: keptSeconds });
    },
  });
}
