import { decimalText } from './money.ts';
import type { PublicDoc } from './public-mirror.ts';

/** Plain HTML of what is public: no script, no style of others, nothing is loaded from anywhere. */

function escapeHtml(text: string): string {
  return text
    .toWellFormed()
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

const style =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}dt{font-weight:600}dd{margin:0 0 .5rem}pre{white-space:pre-wrap;font:inherit}';

/** @param depth folders that it lies below the root */
function page(title: string, depth: number, body: string): string {
  const up = '../'.repeat(depth);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<nav><a href="${up}index.html">Start</a></nav>
<main>
<h1>${escapeHtml(title)}</h1>
${body}
</main>
</body>
</html>
`;
}

const text = (doc: PublicDoc, field: string) => String(doc[field] ?? '');
const listOf = (doc: PublicDoc, field: string) => (doc[field] as readonly string[]).join(', ');
const items = (lines: readonly string[]) =>
  lines.length === 0 ? '<p>Nothing yet.</p>' : `<ul>\n${lines.map((line) => `<li>${line}</li>`).join('\n')}\n</ul>`;
const link = (href: string, words: string) => `<a href="${escapeHtml(href)}">${escapeHtml(words)}</a>`;
const terms = (pairs: ReadonlyArray<readonly [string, string]>) =>
  `<dl>\n${pairs.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`).join('\n')}\n</dl>`;

function priceOf(doc: PublicDoc): string {
  return `${decimalText({ amount: Number(doc['amount']), currency: text(doc, 'currency') })} ${text(doc, 'currency')}`;
}

export function listingPage(doc: PublicDoc): string {
  const facts = [
    ['Agent', text(doc, 'agentName')],
    ['Price', priceOf(doc)],
    ['Licenses', listOf(doc, 'kinds')],
    ['Memories', text(doc, 'memories')],
    ['Reflections', text(doc, 'reflections')],
    ['Models', listOf(doc, 'models')],
    ['Package (SHA-256)', text(doc, 'contentHash')],
    ['Offered since', text(doc, 'createdAt')],
  ] as const;
  return page(text(doc, 'title'), 1, `<pre>${escapeHtml(text(doc, 'summary'))}</pre>\n${terms(facts)}`);
}

/** What a drop is called: its title, else its first words. */
function titleOf(doc: PublicDoc): string {
  return text(doc, 'title').trim() || text(doc, 'text').trim().slice(0, 80).toWellFormed() || text(doc, 'id');
}

export function dropPage(doc: PublicDoc): string {
  const by = [text(doc, 'author'), text(doc, 'publishedAt')].filter((part) => part !== '').join(' · ');
  return page(titleOf(doc), 1, `<p>${escapeHtml(by)}</p>\n<pre>${escapeHtml(text(doc, 'text'))}</pre>`);
}

/** One page of a list, with links to its neighbours. @param next whether another follows */
export function listPage(
  kind: 'listings' | 'drops',
  { number, docs, next }: { number: number; docs: readonly PublicDoc[]; next: boolean },
): string {
  const lines = docs.map((doc) => {
    const words = kind === 'listings' ? `${text(doc, 'title')}: ${priceOf(doc)}` : titleOf(doc);
    return link(`${doc.id}.html`, words);
  });
  const around = [
    ...(number > 1 ? [link(`page-${number - 1}.html`, 'Before')] : []),
    ...(next ? [link(`page-${number + 1}.html`, 'Next')] : []),
  ];
  const title = kind === 'listings' ? `Listings, page ${number}` : `Drops, page ${number}`;
  return page(title, 1, `${items(lines)}\n<p>${around.join(' ')}</p>`);
}

export function startPage(of: {
  name: string;
  listings: number;
  drops: number;
  feeds: readonly PublicDoc[];
  documents: readonly string[];
}): string {
  return page(
    of.name,
    0,
    [
      `<p>${link('listings/page-1.html', `Listings (${of.listings})`)}</p>`,
      `<p>${link('drops/page-1.html', `Drops (${of.drops})`)}</p>`,
      '<h2>Feeds</h2>',
      items(
        of.feeds.map(
          (feed) =>
            `${escapeHtml(text(feed, 'title'))}: ${['atom', 'rss', 'json'].map((format) => link(`feeds/${feed.id}.${format}`, format)).join(' ')}`,
        ),
      ),
      '<h2>Documents</h2>',
      items(of.documents.map((name) => link(`documents/${name}`, name))),
    ].join('\n'),
  );
}
