import { parseFeed } from 'feedsmith';
import { extractFromJson } from '@extractus/feed-extractor';
import fc from 'fast-check';
import Parser from 'rss-parser';
import { describe, expect, test } from 'vitest';
import { cleanLine, cleanText } from '../../domain/clean-text.ts';
import { feedDocument, type FeedItem, type FeedOf } from '../../domain/feed-documents.ts';
import '../support/properties.ts';

const uuid = '0190f0a0-0000-7000-8000-000000000001';
const feed: FeedOf = {
  uuid,
  title: 'Harbour & <Lamp>',
  description: 'What the keepers say',
  author: 'The keepers',
  siteUrl: 'https://harbour.example/?a=1&b=2',
  feedUrl: 'https://harbour.example/feed',
  updatedAt: '2026-11-21T10:00:00.000Z',
};
const item = (change: Partial<FeedItem> = {}): FeedItem => ({
  uuid: '0190f0a0-0000-7000-8000-000000000002',
  title: 'The <tide> & "more"',
  text: 'It turned.\n]]> & <b>stays</b> text',
  author: 'Vesper',
  publishedAt: '2026-11-21T09:00:00.000Z',
  ...change,
});
/** XML by sax, of which the first parser has nothing. */
const second = (text: string) => new Parser().parseString(text);
/** Anything that a model may write: control characters, halves of pairs, what looks like markup. */
const anything = fc.array(
  fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      '\u0000',
      '\u0001',
      '\u000b',
      '\ufffe',
      '\ud800',
      '\udfff',
      ']]>',
      '<!--',
      '&#1;',
      '&amp;',
      '</entry>',
      '\u{1f600}',
    ),
  ),
  { maxLength: 12 },
);

describe('Atom and RSS', () => {
  test('both parsers read the same entries out of them', async () => {
    for (const format of ['atom', 'rss'] as const) {
      const text = feedDocument(format, feed, [item()]);
      const first = parseFeed(text);
      expect(first.format).toBe(format);
      const other = await second(text);
      expect(other.title).toBe(feed.title);
      expect(other.link).toBe(feed.siteUrl);
      expect(other.items[0]).toMatchObject({ title: item().title, isoDate: item().publishedAt });
      const [entry] = (
        format === 'atom' ? (first.feed as { entries: unknown[] }).entries : (first.feed as { items: unknown[] }).items
      ) as Array<Record<string, unknown>>;
      expect(JSON.stringify(entry)).toContain(`urn:uuid:${item().uuid}`);
      expect(other.items[0]![format === 'atom' ? 'id' : ('guid' as 'id')]).toBe(`urn:uuid:${item().uuid}`);
    }
  });

  test('whatever the words are, the document is well-formed and says them', async () => {
    await fc.assert(
      fc.asyncProperty(anything, anything, async (title, text) => {
        const said = item({ title: title.join(''), text: `x${text.join('')}` });
        const document = feedDocument('atom', feed, [said]);
        const { items } = await second(document);
        expect(items).toHaveLength(1);
        const xmlOf = (words: string) => words.replaceAll(/[\ufffe\uffff]/g, '');
        expect(items[0]!.content?.trim()).toBe(xmlOf(cleanText(said.text)).trim());
        const line = xmlOf(cleanLine(said.title)).trim();
        if (line !== '') expect(items[0]!.title?.trim()).toBe(line);
        const first = parseFeed(document) as unknown as { feed: { entries: Array<{ id: string }> } };
        expect(first.feed.entries.map(({ id }) => id)).toEqual([`urn:uuid:${said.uuid}`]);
        const rss = feedDocument('rss', feed, [said]);
        expect((await second(rss)).items).toHaveLength(1);
      }),
      { numRuns: 100 },
    );
  });
});

test('JSON Feed 1.1 has what its version asks for', () => {
  const text = feedDocument('json', feed, [item({ title: '' })]);
  expect(JSON.parse(text)).toEqual({
    version: 'https://jsonfeed.org/version/1.1',
    title: feed.title,
    home_page_url: feed.siteUrl,
    feed_url: feed.feedUrl,
    description: feed.description,
    items: [
      {
        id: `urn:uuid:${item().uuid}`,
        title: 'It turned. ]]> & <b>stays</b> text',
        content_text: item().text,
        date_published: item().publishedAt,
        authors: [{ name: 'Vesper' }],
      },
    ],
  });
});

test('both parsers read the same entries out of a JSON Feed, whatever its words are', () => {
  fc.assert(
    fc.property(anything, anything, (title, body) => {
      const said = item({ title: `t${title.join('')}`, text: `x${body.join('')}` });
      const text = feedDocument('json', feed, [said, item()]);
      const first = parseFeed(text);
      expect(first).toMatchObject({ format: 'json', feed: { title: feed.title, home_page_url: feed.siteUrl } });
      const { items = [] } = first.feed as { items?: Array<{ id: string; title: string; content_text: string }> };
      expect(items.map(({ id }) => id)).toEqual([`urn:uuid:${said.uuid}`, `urn:uuid:${item().uuid}`]);
      expect(items[0]!.content_text.trim()).toBe(cleanText(said.text).trim());
      const other = extractFromJson(text, { normalization: false }) as {
        title: string;
        items: Array<{ id: string; title: string; content_text: string }>;
      };
      expect(other.title).toBe(feed.title);
      expect(other.items.map(({ id, title: told }) => [id, told.trim()])).toEqual(
        items.map(({ id, title: told }) => [id, told.trim()]),
      );
    }),
    { numRuns: 50 },
  );
});
