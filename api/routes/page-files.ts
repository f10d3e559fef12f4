import type { ApiContext } from '../context.ts';
import { pageFileOf } from '../pages.ts';
import type { Api } from '../types.ts';

/** Styles and scripts of the pages that the API writes itself, each at an address with its hash: kept for good. */
export function pageFileRoutes(app: Api, _context: ApiContext): void {
  for (const { url, text, type } of Object.values(pageFileOf)) {
    app.route({
      method: 'GET',
      url,
      config: { role: 'none' },
      schema: { hide: true },
      handler: (_request, reply) =>
        reply.header('cache-control', 'public, max-age=31536000, immutable').type(type).send(text),
    });
  }
}
