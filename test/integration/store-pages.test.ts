import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { listingSlug } from '../../domain/listing-slugs.ts';
import { newId } from '../../stores/ids.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { addListing, addPerson, type Person } from '../support/market.ts';
import { hostileText } from '../support/markup.ts';
import { smallFleet } from '../support/small-fleet.ts';

/** The store and what other sites embed, as who is not signed in sees them. */
let api: ApiFixture;
let seller: Person;
beforeAll(async () => {
  api = await createApiFixture({ publicUrl: 'https://souls.example' });
  const applied = await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } });
  expect(applied.status).toBe(200);
  seller = await addPerson(api.db, 'Sally Seller', 'creator');
}, 60_000);
afterAll(() => api?.close());

const read = (url: string, headers: Record<string, string> = {}) => api.call('GET', url, { token: null, headers });
let said = 0;
async function list({
  title,
  summary = '',
  price = { amount: 1250, currency: 'EUR' },
}: {
  title: string;
  summary?: string;
  price?: { amount: number; currency: string };
}): Promise<{ id: string; path: string }> {
  const id = await addListing(api.db, {
    ownerId: seller.ownerId,
    agentId: 'vesper-001',
    says: `store ${(said += 1)}`,
    price,
  });
  await sql`update listings set title = ${title}, summary = ${summary} where id = ${id}`.execute(api.db);
  return { id, path: `/l/${listingSlug({ id, title })}` };
}

test('what is on offer is read without scripts and a sign-in, with a preview for those who pass its link on', async () => {
  const { path, id } = await list({ title: 'The tide reader', summary: 'Knows the harbour.\nAnd its people.' });
  const page = await read(path);
  expect(page.status).toBe(200);
  expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
  expect(page.headers['content-security-policy']).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
  expect(page.headers['content-security-policy']).not.toMatch(/script-src|unsafe/);
  expect(page.text).toContain('<h1>The tide reader</h1>');
  expect(page.text).toContain('€12.50');
  expect(page.text).toContain(`href="/market/${id}"`);
  expect(page.text).toContain(`<link rel="canonical" href="https://souls.example${path}">`);
  expect(page.text).toContain('<meta property="og:description" content="Knows the harbour. And its people.">');
  const picture = /<meta property="og:image" content="https:\/\/souls\.example([^"]+)">/.exec(page.text)![1]!;
  const png = await api.app.inject({ method: 'GET', url: picture });
  expect(png.headers['content-type']).toBe('image/png');
  expect(png.rawPayload.toString('latin1', 1, 4)).toBe('PNG');
  const data = /<script type="application\/ld\+json">(.*?)<\/script>/s.exec(page.text)![1]!;
  expect(JSON.parse(data)).toMatchObject({ '@type': 'Product', offers: { price: '12.50', priceCurrency: 'EUR' } });
  // Nobody is named who has not said so.
  for (const secret of ['Sally', seller.ownerId, '@people.example']) expect(page.text).not.toContain(secret);
  expect((await read('/store')).text).toContain(`href="${path}"`);
  // In the reader's language, and kept apart by it.
  const german = await read(path, { 'accept-language': 'de-DE' });
  expect(german.text).toContain('12,50\u00a0€');
  expect(german.headers['vary']).toBe('accept-language');
  const style = /<link rel="stylesheet" href="([^"]+)">/.exec(page.text)![1]!;
  expect((await read(style)).headers['cache-control']).toContain('immutable');
});

test('an address of before a new title leads on, and what is off is not there', async () => {
  const { id, path } = await list({ title: 'First name' });
  await sql`update listings set title = 'Second name' where id = ${id}`.execute(api.db);
  const moved = await read(path);
  expect([moved.status, moved.headers['location']]).toEqual([301, `/l/${listingSlug({ id, title: 'Second name' })}`]);
  await sql`update listings set state = 'paused' where id = ${id}`.execute(api.db);
  for (const gone of [
    path,
    `${path}/preview.png`,
    '/l/none',
    `/l/${listingSlug({ id: newId('listing'), title: 'x' })}`,
  ]) {
    const answer = await read(gone);
    expect(answer.status).toBe(404);
    expect(answer.text).toContain('This is not on offer');
  }
  expect((await read('/store')).text).not.toContain('Second name');
});

test('the store is searched and paged, each offer once', async () => {
  const made = [];
  for (let i = 0; i < 30; i += 1) made.push(await list({ title: `Needle ${i}`, summary: i % 2 === 0 ? 'even_%' : '' }));
  const found = new Set<string>();
  for (let url: string | undefined = '/store?q=needle'; url !== undefined; ) {
    const { text } = await read(url);
    const here = [...text.matchAll(/<h2><a href="(\/l\/[^"]+)">/g)].map(([, path]) => path!);
    expect(here.length).toBeLessThanOrEqual(24);
    for (const path of here) {
      expect(found.has(path)).toBe(false);
      found.add(path);
    }
    url = /<a rel="next" href="([^"]+)">/.exec(text)?.[1]?.replaceAll('&amp;', '&');
  }
  expect([...found].toSorted()).toEqual(made.map(({ path }) => path).toSorted());
  // What stands for anything in SQL stands for itself here.
  expect((await read('/store?q=even_%25')).text.match(/<li class="card">/g)).toHaveLength(15);
  expect((await read('/store?q=%25needle')).text).toContain('Nothing on offer has');
  expect((await read(`/store?after=nonsense`)).status).toBe(200);
});

test('text of sellers and of who searches stays text', async () => {
  const { path } = await list({ title: hostileText(120), summary: hostileText(2_000) });
  for (const url of [path, '/store', `/store?q=${encodeURIComponent(hostileText(100))}`]) {
    const { text, status } = await read(url);
    expect(status).toBe(200);
    expect(text).not.toMatch(/<(?:script>|img|iframe|math|details)|<svg on|<a href="javascript/);
    expect(text.match(/<script/g)?.length ?? 0).toBe(url === path ? 1 : 0);
  }
});

test('a feed is narrated on the sites that it names, and on no others', async () => {
  const id = newId('channel');
  const settings = { title: 'Harbour <tales>', siteUrl: 'https://my.blog/' };
  const feed = (embeddedBy: string[]) => JSON.stringify({ ...settings, embeddedBy });
  await sql`insert into channels (id, owner_id, kind, name, settings, destination, stage)
    values (${id}, ${api.ownerId}, 'feed', 'harbour', ${feed([])}, 'x', 'free')`.execute(api.db);
  const alone = await read(`/narration/${id}`);
  expect(alone.headers['content-security-policy']).toContain("frame-ancestors 'none'");
  await sql`update channels set settings = ${feed(['https://my.blog'])} where id = ${id}`.execute(api.db);
  const page = await read(`/narration/${id}`);
  expect(page.headers['content-security-policy']).toContain('frame-ancestors https://my.blog');
  expect(page.text).toContain('<h1>Harbour &lt;tales&gt;</h1>');
  expect(page.text).toContain('Nothing has been told yet.');
  const script = await read('/narration.js');
  expect(script.headers).toMatchObject({ 'cross-origin-resource-policy': 'cross-origin' });
  expect((await read(`/narration/${newId('channel')}`)).status).toBe(404);
});
