import { TextDecoder } from 'node:util';
import { describe, expect, test } from 'vitest';
import { decodeText } from '../../integrations/sources/decode-text.ts';
import { parseFeedDocument } from '../../integrations/sources/feed-parsing.ts';
import { retryAfterOf } from '../../domain/retry-after.ts';
import { feedItems } from '../../integrations/sources/feed-items.ts';

const base = 'https://harbour.example/feeds/news.xml';
const rss = (items: string, head = '') =>
  `<?xml version="1.0"?>${head}<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>News</title><link>https://harbour.example</link>${items}</channel></rss>`;

describe('reads', () => {
  test('RSS 2.0 with markup in CDATA, escaped markup and entities; oldest first', () => {
    const items = feedItems(
      rss(`
      <item><title>Fish &amp;amp; bread</title><link>/2</link><guid isPermaLink="false">two</guid>
        <pubDate>Sat, 21 Nov 2026 10:00:00 GMT</pubDate>
        <description><![CDATA[<p>Caf&eacute; at the <b>pier</b><script>alert(1)</script><style>p{}</style></p>]]></description></item>
      <item><title>The tide &lt;b&gt;turned&lt;/b&gt;</title><link>https://harbour.example/1</link><guid>https://harbour.example/1</guid>
        <pubDate>Fri, 20 Nov 2026 10:00:00 +0200</pubDate><description>short</description>
        <content:encoded><![CDATA[<p>All of it.</p><p>Twice.</p><img src="x" alt="pier" onerror="alert(1)">]]></content:encoded></item>`),
      base,
    );
    expect(items).toEqual([
      {
        key: 'https://harbour.example/1',
        title: 'The tide turned',
        text: 'All of it.\n\nTwice.',
        url: 'https://harbour.example/1',
        publishedAt: '2026-11-20T08:00:00.000Z',
        changedAt: null,
      },
      {
        key: 'two',
        title: 'Fish & bread',
        text: 'Café at the pier',
        url: 'https://harbour.example/2',
        publishedAt: '2026-11-21T10:00:00.000Z',
        changedAt: null,
      },
    ]);
  });

  test('Atom with text, HTML and XHTML', () => {
    const items = feedItems(
      `<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title><id>u</id><updated>2026-11-21T10:00:00Z</updated>
      <entry><id>tag:b</id><title>a &lt; b</title><link rel="self" href="/self"/><link href="/b"/><published>2026-11-19T10:00:00Z</published><updated>2026-11-21T10:00:00Z</updated>
        <content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>hi <em>there</em></p></div></content></entry>
      <entry><id>tag:a</id><title type="html">&lt;i&gt;one&lt;/i&gt;</title><updated>2026-11-18T10:00:00Z</updated><summary>in short</summary></entry></feed>`,
      base,
    );
    expect(items).toEqual([
      {
        key: 'tag:a',
        title: 'one',
        text: 'in short',
        url: null,
        publishedAt: '2026-11-18T10:00:00.000Z',
        changedAt: '2026-11-18T10:00:00.000Z',
      },
      {
        key: 'tag:b',
        title: 'a < b',
        text: 'hi there',
        url: 'https://harbour.example/b',
        publishedAt: '2026-11-19T10:00:00.000Z',
        changedAt: '2026-11-21T10:00:00.000Z',
      },
    ]);
  });

  test('RSS 1.0, RSS 0.91 with its document type, and JSON Feed', () => {
    const rdf = `<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">
      <channel rdf:about="x"><title>c</title><link>https://x.example</link></channel>
      <item rdf:about="https://x.example/1"><title>t</title><link>https://x.example/1</link><dc:date>2026-01-01</dc:date><description>d</description></item></rdf:RDF>`;
    expect(feedItems(rdf, base)).toMatchObject([
      { key: 'https://x.example/1', title: 't', text: 'd', publishedAt: '2026-01-01T00:00:00.000Z' },
    ]);
    const old = `<?xml version="1.0"?><!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://my.netscape.com/publish/formats/rss-0.91.dtd">
      <rss version="0.91"><channel><title>c</title><link>https://x.example</link><item><title>caf&eacute;</title><link>https://x.example/1</link></item></channel></rss>`;
    expect(feedItems(old, base)).toMatchObject([{ key: 'https://x.example/1', title: 'café', text: '' }]);
    const json = JSON.stringify({
      version: 'https://jsonfeed.org/version/1.1',
      title: 'x',
      items: [
        { id: 2, content_text: 'a < b', url: 'https://x.example/2', date_modified: '2026-02-01T00:00:00Z' },
        { id: '1', content_html: '<p>y</p>', date_published: '2026-01-01T00:00:00Z' },
      ],
    });
    expect(feedItems(json, base)).toMatchObject([
      { key: '1', text: 'y' },
      { key: '2', text: 'a < b', publishedAt: '2026-02-01T00:00:00.000Z', changedAt: '2026-02-01T00:00:00.000Z' },
    ]);
  });

  test('items without id, date or words: known by link or words, in the order of the document, or left out', () => {
    const items = feedItems(
      rss(`<item><title>newer</title></item><item><title>linked</title><link>https://x.example/l</link><pubDate>last Tuesday</pubDate></item>
        <item><title> </title><description>&lt;img src="x"&gt;</description></item><item/>`),
      base,
    );
    expect(items.map(({ key, publishedAt }) => ({ key, publishedAt }))).toEqual([
      { key: 'https://x.example/l', publishedAt: null },
      { key: 'newer\n', publishedAt: null },
    ]);
  });

  test('no address but the web’s, and none with a password', () => {
    const links = [
      'javascript:alert(1)',
      'file:///etc/passwd',
      'https://user:pw@x.example/1',
      `https://x.example/${'a'.repeat(3_000)}`,
    ];
    const items = feedItems(
      rss(
        links
          .map((link, i) => `<item><guid isPermaLink="false">${i}</guid><title>t</title><link>${link}</link></item>`)
          .join(''),
      ),
      base,
    );
    expect(items.map(({ url }) => url).reverse()).toEqual([null, null, 'https://x.example/1', null]);
  });
});

describe('refuses', () => {
  const laughs = Array.from({ length: 12 }, (_, i) => `<!ENTITY a${i + 1} "${`&a${i};`.repeat(10)}">`).join('');
  test.each([
    [
      'a billion laughs',
      rss('<item><title>&a12;</title></item>', `<!DOCTYPE rss [<!ENTITY a0 "ha">${laughs}]>`),
      /entities of its own/,
    ],
    [
      'a file as entity',
      rss('<item><title>&x;</title></item>', '<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
      /entities of its own/,
    ],
    [
      'entities after comments',
      `<!-- <rss> -->\n<?pi?>${rss('<item/>', '<!DOCTYPE rss [<!ENTITY x "y">]>').slice(21)}`,
      /entities of its own/,
    ],
    ['a web page', '<!doctype html><html><body>hi</body></html>', /no RSS, Atom or JSON feed/],
    ['JSON that is no feed', '{"a":1}', /no RSS, Atom or JSON feed/],
    ['nothing', '', /no RSS, Atom or JSON feed/],
  ])('%s', (_name, document, message) => {
    expect(() => feedItems(document, base)).toThrow(message);
  });

  test('but not an article about entities, in which nothing is expanded', () => {
    const [item] = feedItems(
      rss(
        '<item><title>x</title><description><![CDATA[write &lt;!DOCTYPE x [ &lt;!ENTITY a "b"&gt; ]&gt;]]></description></item>',
      ),
      base,
    );
    expect(item!.text).toBe('write <!DOCTYPE x [ <!ENTITY a "b"> ]>');
  });
});

test('markup nested without end and a document of many items end in time and bounds', () => {
  const deep = feedItems(
    rss(`<item><title>d</title><description><![CDATA[${'<div>'.repeat(150_000)}word]]></description></item>`),
    base,
  );
  expect(deep[0]!.title).toBe('d');
  expect(feedItems(rss('<item><title>x</title></item>'.repeat(5_000)), base)).toHaveLength(1_000);
});

describe('in its own thread', () => {
  const parse = (document: string, options = {}) =>
    parseFeedDocument({ bytes: Buffer.from(document), contentType: 'text/xml', url: base }, options);

  test('a document is read', async () => {
    expect(await parse(rss('<item><title>Tide</title></item>'))).toMatchObject([{ title: 'Tide' }]);
    await expect(parse('no feed')).rejects.toMatchObject({ code: 'REMOTE_FAILED' });
  });

  test('one that takes for ever is given up, and this thread has gone on meanwhile', async () => {
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 10);
    const endless = `<rss version="2.0"><channel><item><title>${'<'.repeat(3_000_000)}`;
    await expect(parse(endless, { timeoutMs: 1_000 })).rejects.toMatchObject({
      code: 'REMOTE_FAILED',
      message: 'the feed takes over 1 s to read',
    });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(10);
  });

  test('who gives up is told so', async () => {
    const reason = new Error('the worker stops');
    await expect(parse(rss('<item/>'), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('bytes become text', () => {
  const bytes = (text: string, encoding: BufferEncoding = 'utf8') => Buffer.from(text, encoding);
  const latin = (text: string) => bytes(text, 'latin1');
  test.each<[string, Buffer, string, string]>([
    ['UTF-8 without saying so', bytes('<a>é</a>'), '', '<a>é</a>'],
    ['UTF-8 with a mark', bytes('\ufeff<a>é</a>'), 'text/xml; charset=iso-8859-1', '<a>é</a>'],
    ['by the header', latin('<a>é</a>'), 'text/xml; charset="ISO-8859-1"', '<a>é</a>'],
    [
      'by the declaration',
      latin('<?xml version="1.0" encoding="iso-8859-1"?><a>é</a>'),
      'text/xml',
      '<?xml version="1.0" encoding="iso-8859-1"?><a>é</a>',
    ],
    [
      'where the header is wrong, by the declaration',
      latin('<?xml version="1.0" encoding="windows-1252"?><a>é</a>'),
      'text/xml; charset=utf-8',
      '<?xml version="1.0" encoding="windows-1252"?><a>é</a>',
    ],
    ['where the header names none that there is', bytes('<a>é</a>'), 'text/xml; charset=klingon', '<a>é</a>'],
    ['UTF-16 by its mark', bytes('\ufeff<a>é</a>', 'utf16le'), '', '<a>é</a>'],
    ['UTF-16 by its first sign', bytes('<a>é</a>', 'utf16le'), 'text/xml', '<a>é</a>'],
    [
      'what fits nothing, with a sign in place of each bad byte',
      latin('<a>é</a>'),
      'text/xml; charset=utf-8',
      '<a>\ufffd</a>',
    ],
  ])('%s', (_name, input, contentType, text) => {
    expect(decodeText(input, contentType)).toBe(text);
  });

  test('also of the Far East', () => {
    const input = Buffer.from([0x3c, 0x61, 0x3e, 0x93, 0xfa, 0x96, 0x7b]);
    expect(decodeText(input, 'text/xml; charset=Shift_JIS')).toBe(new TextDecoder('shift_jis').decode(input));
  });
});

test('Retry-After is seconds or a date', () => {
  const now = new Date('2026-11-21T10:00:00Z');
  expect(retryAfterOf('120', now)).toBe(120);
  expect(retryAfterOf('Sat, 21 Nov 2026 10:05:00 GMT', now)).toBe(300);
  expect(retryAfterOf('Sat, 21 Nov 2026 09:00:00 GMT', now)).toBe(0);
  expect(retryAfterOf('soon', now)).toBeUndefined();
  expect(retryAfterOf('-1', now)).toBeUndefined();
  expect(retryAfterOf(undefined, now)).toBeUndefined();
});
