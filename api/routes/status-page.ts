import { readFileSync } from 'node:fs';
import type { ApiContext } from '../context.ts';
import type { Api } from '../types.ts';

/** Nothing from elsewhere, nothing inline: text of agents can never become code. */
const contentSecurityPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const files = [
  { url: '/', file: 'status.html', type: 'text/html; charset=utf-8' },
  { url: '/status.js', file: 'status.js', type: 'text/javascript; charset=utf-8' },
  { url: '/status.css', file: 'status.css', type: 'text/css; charset=utf-8' },
] as const;

/** One plain page until the web UI exists: signs in by the printed link, then shows how the fleet does. */
export function statusPageRoutes(app: Api, _context: ApiContext): void {
  for (const { url, file, type } of files) {
    const text = readFileSync(new URL(`../status-page/${file}`, import.meta.url), 'utf8');
    app.route({
      method: 'GET',
      url,
      config: { role: 'none' },
      schema: { hide: true },
      handler: (_request, reply) =>
        reply
          .header('content-security-policy', contentSecurityPolicy)
          .header('x-frame-options', 'DENY')
          .header('cache-control', 'no-cache')
          .type(type)
          .send(text),
    });
  }
}
