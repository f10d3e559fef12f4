import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { FastifyReply } from 'fastify';
import { type Html, html, htmlText } from './html.ts';
import { pageText } from './page-text.ts';

/** Pieces of the pages that the API writes itself. They are read without scripts and without being signed in. */

const words = pageText.frame;

const pageFiles = {
  'pages.css': 'text/css; charset=utf-8',
  'icon.svg': 'image/svg+xml',
  'join.js': 'text/javascript; charset=utf-8',
  'narration.js': 'text/javascript; charset=utf-8',
  'narration-frame.js': 'text/javascript; charset=utf-8',
  'narration-frame.css': 'text/css; charset=utf-8',
} as const;
export type PageFile = keyof typeof pageFiles;

/** Each with the hash that its address has, so that browsers keep it for good. */
export const pageFileOf = Object.fromEntries(
  Object.entries(pageFiles).map(([name, type]) => {
    const text = readFileSync(new URL(`./public-pages/${name}`, import.meta.url), 'utf8');
    const hash = createHash('sha256').update(text).digest('base64url').slice(0, 12);
    return [name, { text, type, url: `/pages/${hash}/${name}` }];
  }),
) as Record<PageFile, { text: string; type: string; url: string }>;

/**
 * Nothing from elsewhere and nothing inline.
 * @param change directives in place of these
 */
export function pagePolicy(change: Record<string, string> = {}): string {
  const directives = {
    'default-src': "'none'",
    'style-src': "'self'",
    'img-src': "'self'",
    'form-action': "'self'",
    'base-uri': "'none'",
    'frame-ancestors': "'none'",
    ...change,
  };
  return Object.entries(directives)
    .map((directive) => directive.join(' '))
    .join('; ');
}

export interface PageParts {
  title: string;
  /** Of the head: description, preview, links. */
  head?: Html;
  main: Html;
}

export function pageOf({ title, head, main }: PageParts): string {
  return htmlText(html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" type="image/svg+xml" href="${pageFileOf['icon.svg'].url}">
<link rel="stylesheet" href="${pageFileOf['pages.css'].url}">
${head}
</head>
<body>
<a class="skip" href="#main">${words.skip}</a>
<header class="bar"><div>
<a class="brand" href="/store">${pageText.app}</a>
<nav aria-label="${words.main}"><a href="/store">${words.store}</a><a href="/">${words.signIn}</a></nav>
</div></header>
<main id="main">${main}</main>
<footer>${words.foot}</footer>
</body>
</html>`);
}

/** A page may be shown again by caches only where nothing of it is of one reader: `maxAge` seconds. */
export function sendPage(
  reply: FastifyReply,
  page: string,
  { policy = pagePolicy(), maxAge }: { policy?: string; maxAge?: number } = {},
): FastifyReply {
  if (maxAge !== undefined)
    void reply.header('cache-control', `public, max-age=${maxAge}`).header('vary', 'accept-language');
  return reply.header('content-security-policy', policy).type('text/html; charset=utf-8').send(page);
}
