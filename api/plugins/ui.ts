import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fastifyStatic from '@fastify/static';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError } from '../../domain/errors.ts';
import { html, htmlText } from '../html.ts';
import { pageText } from '../page-text.ts';
import type { Api } from '../types.ts';

/** Nothing from elsewhere, nothing inline: text of agents can never become code. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Where `npm run build:ui` puts the pages. */
const builtFolder = fileURLToPath(new URL('../../dist/ui', import.meta.url));

/** Programs ask here, so that what is not there is told to them as to a program. */
const reserved = /^\/(?:v1|openai|docs|metrics|assets)(?:\/|$)/;

const words = pageText.notBuilt;
const notBuilt = htmlText(html`<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${pageText.app}</title></head>
<body><h1>${words.title}</h1>
<p>${words.before} <code>npm ci &amp;&amp; npm run build:ui</code>, ${words.after}</p>
<p>${words.elsewhere} <code>npx soulfra</code> ${words.or} <a href="/docs">${words.api}</a>.</p></body>
</html>`);

/**
 * Serves the built web UI: its files under /assets, each by a name that changes with its content, and its one page at / and, by
 * `sendIfPage`, wherever a browser goes that no route is.
 */
export async function registerUi(app: Api, folder = builtFolder) {
  await app.register(fastifyStatic, {
    root: folder,
    serve: false,
    // Built while we run, or not at all: looked for at each request.
    suppressWarning: true,
    index: false,
    dotfiles: 'deny',
    preCompressed: true,
    cacheControl: false,
  });

  function sendPage(reply: FastifyReply): FastifyReply {
    void reply
      .header('content-security-policy', contentSecurityPolicy)
      .header('cross-origin-opener-policy', 'same-origin')
      .header('x-frame-options', 'DENY')
      // By it the service worker knows what it may keep to open without a network.
      .header('x-soulfra-page', 'shell')
      .header('cache-control', 'no-cache');
    if (existsSync(join(folder, 'index.html'))) return reply.sendFile('index.html');
    return reply.code(503).type('text/html; charset=utf-8').send(notBuilt);
  }

  app.route({
    method: 'GET',
    url: '/',
    config: { role: 'none' },
    schema: { hide: true },
    handler: (_request, reply) => sendPage(reply),
  });

  app.route({
    method: 'GET',
    url: '/assets/*',
    // A house behind one address opens many pages, and a page whose parts are refused is broken until it is loaded anew.
    config: { role: 'none', rateLimit: false },
    schema: { hide: true },
    handler: (request, reply) => {
      const name = (request.params as { '*': string })['*'];
      // A page that was loaded before a build may ask for what is gone.
      if (!/^\w[\w.-]*$/.test(name) || !existsSync(join(folder, 'assets', name)))
        throw new DomainError('NOT_FOUND', 'the web UI has no such file: load the page again');
      return reply.header('cache-control', 'public, max-age=31536000, immutable').sendFile(`assets/${name}`);
    },
  });

  app.route({
    method: 'GET',
    url: '/service-worker.js',
    config: { role: 'none' },
    schema: { hide: true },
    handler: (_request, reply) => {
      if (!existsSync(join(folder, 'service-worker.js'))) return reply.callNotFound();
      // It may speak with nobody but us, whatever page it serves.
      return reply
        .header('content-security-policy', "default-src 'none'; connect-src 'self'")
        .header('cache-control', 'no-cache')
        .sendFile('service-worker.js');
    },
  });

  return {
    /** The page for a browser that goes to an address of ours; whether it was sent. */
    sendIfPage(request: FastifyRequest, reply: FastifyReply): boolean {
      const { method, url, headers } = request;
      const isPage = (method === 'GET' || method === 'HEAD') && (headers.accept ?? '').includes('text/html');
      if (!isPage || reserved.test(url.split('?')[0]!)) return false;
      sendPage(reply);
      return true;
    },
  };
}
