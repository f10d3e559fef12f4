import { cleanLine, cleanText } from './clean-text.ts';

/** Atom (RFC 4287), RSS 2.0 and JSON Feed 1.1 of the same entries. Pure: api/routes/feeds.ts serves them. */

export interface FeedOf {
  /** UUID of the channel. */
  uuid: string;
  title: string;
  description: string;
  author: string;
  siteUrl: string;
  feedUrl: string | undefined;
  /** ISO: the last change. */
  updatedAt: string;
}

export interface FeedItem {
  /** UUID of the delivery: the same for ever. */
  uuid: string;
  title: string;
  text: string;
  author: string;
  /** ISO. */
  publishedAt: string;
}

export const feedFormats = ['atom', 'rss', 'json'] as const;
export type FeedFormat = (typeof feedFormats)[number];

const urn = (uuid: string) => `urn:uuid:${uuid}`;

/** Characters that XML 1.0 has: everything else cannot stand in a document, not even escaped. */
const notXml = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

function xml(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(notXml, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function tag(name: string, text: string): string {
  return `<${name}>${xml(text)}</${name}>`;
}

/** Feeds want a title of each entry; without one it is the first words. */
function titleOf({ title, text }: FeedItem): string {
  const line = cleanLine(title).replaceAll(notXml, '').trim();
  return line === '' ? cleanLine(text).slice(0, 80).toWellFormed() : line;
}

export function feedDocument(format: FeedFormat, feed: FeedOf, items: readonly FeedItem[]): string {
  if (format === 'atom') return atom(feed, items);
  return format === 'rss' ? rss(feed, items) : json(feed, items);
}

function atom(feed: FeedOf, items: readonly FeedItem[]): string {
  const entries = items.map((item) =>
    [
      '<entry>',
      tag('id', urn(item.uuid)),
      tag('title', titleOf(item)),
      tag('published', item.publishedAt),
      tag('updated', item.publishedAt),
      `<author>${tag('name', authorOf(item, feed))}</author>`,
      `<content type="text">${xml(cleanText(item.text))}</content>`,
      '</entry>',
    ].join('\n'),
  );
  return [
    '<?xml version="1.0" encoding="utf-8"?>',
    '<feed xmlns="http://www.w3.org/2005/Atom">',
    tag('id', urn(feed.uuid)),
    tag('title', cleanLine(feed.title)),
    ...(feed.description === '' ? [] : [tag('subtitle', cleanLine(feed.description))]),
    tag('updated', feed.updatedAt),
    `<link rel="alternate" href="${xml(feed.siteUrl)}"/>`,
    ...(feed.feedUrl === undefined ? [] : [`<link rel="self" href="${xml(feed.feedUrl)}"/>`]),
    ...entries,
    '</feed>\n',
  ].join('\n');
}

function rss(feed: FeedOf, items: readonly FeedItem[]): string {
  const entries = items.map((item) =>
    [
      '<item>',
      `<guid isPermaLink="false">${xml(urn(item.uuid))}</guid>`,
      tag('title', titleOf(item)),
      tag('pubDate', new Date(item.publishedAt).toUTCString()),
      tag('dc:creator', authorOf(item, feed)),
      // A description is HTML: the text is escaped for that, too.
      tag('description', xml(cleanText(item.text))),
      '</item>',
    ].join('\n'),
  );
  return [
    '<?xml version="1.0" encoding="utf-8"?>',
    '<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:atom="http://www.w3.org/2005/Atom">',
    '<channel>',
    tag('title', cleanLine(feed.title)),
    tag('link', feed.siteUrl),
    tag('description', cleanLine(feed.description === '' ? feed.title : feed.description)),
    tag('lastBuildDate', new Date(feed.updatedAt).toUTCString()),
    ...(feed.feedUrl === undefined
      ? []
      : [`<atom:link rel="self" type="application/rss+xml" href="${xml(feed.feedUrl)}"/>`]),
    ...entries,
    '</channel>',
    '</rss>\n',
  ].join('\n');
}

function json(feed: FeedOf, items: readonly FeedItem[]): string {
  return JSON.stringify({
    version: 'https://jsonfeed.org/version/1.1',
    title: cleanLine(feed.title),
    home_page_url: feed.siteUrl,
    ...(feed.feedUrl === undefined ? {} : { feed_url: feed.feedUrl }),
    ...(feed.description === '' ? {} : { description: cleanLine(feed.description) }),
    items: feedEntries(feed, items).map(({ id, title, text, publishedAt, author }) => ({
      id,
      title,
      content_text: text,
      date_published: publishedAt,
      authors: [{ name: author }],
    })),
  });
}

/** As readers of a feed see its items: with a title, an author and words alone. */
export function feedEntries(feed: Pick<FeedOf, 'author' | 'title'>, items: readonly FeedItem[]) {
  return items.map((item) => ({
    id: urn(item.uuid),
    title: titleOf(item),
    text: cleanText(item.text),
    publishedAt: item.publishedAt,
    author: authorOf(item, feed),
  }));
}

/** Atom wants one of each entry. */
function authorOf(item: FeedItem, feed: Pick<FeedOf, 'author' | 'title'>): string {
  return cleanLine(item.author) || cleanLine(feed.author) || cleanLine(feed.title);
}
