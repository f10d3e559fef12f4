import { createServer, request as ask, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sql } from 'kysely';
import type { Page, Route } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createBallotStore } from '../../stores/ballots.ts';
import { newId } from '../../stores/ids.ts';
import { openNotice } from '../../stores/notices.ts';
import { openShop, type Shop } from '../support/market.ts';
import { cameTrue, lacksBrowser, openUiStage, settled, type UiStage } from '../support/ui-stage.ts';

interface Proxy {
  url: string;
  /** While true it answers itself that nobody is behind it. */
  isAlone: boolean;
  /** While true it takes streams of events, and never answers. */
  isMute: boolean;
  cutStreams(): void;
  close(): Promise<void>;
}

/** What stands before the API on a deployment. */
async function openProxy(target: string): Promise<Proxy> {
  const streams = new Set<ServerResponse>();
  const proxy = { isAlone: false, isMute: false } as Proxy;
  const server: Server = createServer((from, to) => {
    const isStream = from.url === '/v1/events';
    if (proxy.isAlone) return to.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad Gateway</h1>');
    if (isStream) {
      streams.add(to);
      to.on('close', () => streams.delete(to));
      if (proxy.isMute) return;
    }
    const passed = ask(`${target}${from.url}`, { method: from.method, headers: from.headers }, (answer) => {
      to.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.on('error', () => to.destroy()).pipe(to);
    });
    to.on('close', () => passed.destroy());
    passed.on('error', () => to.destroy());
    from.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(proxy, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cutStreams: () => streams.forEach((stream) => stream.destroy()),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}

/** Until the service worker answers the page's readings, and has kept them. */
async function kept(page: Page, address: string): Promise<void> {
  await page.goto(address);
  await page.evaluate('navigator.serviceWorker.ready.then(() => true)');
  await page.reload();
  await cameTrue(page, 'navigator.serviceWorker.controller !== null');
  await page.reload();
  await settled(page);
}

describe.skipIf(lacksBrowser('faults in a browser'))('when something fails in between', () => {
  let shop: Shop;
  let stage: UiStage;
  let proxy: Proxy;
  beforeAll(async () => {
    shop = await openShop();
    stage = await openUiStage({}, shop.api);
    proxy = await openProxy(stage.url);
  }, 180_000);
  afterAll(async () => {
    await proxy?.close();
    await stage?.close();
    await shop?.close();
  }, 60_000);

  test('a refund is one decision, whatever becomes of its dialog and of the answer', async () => {
    await shop.grant(shop.buyer.ownerId, 1_000);
    const bought = await shop.buy(await shop.list({ title: 'Given back' }));
    expect(bought.status).toBe(201);
    const { page, close } = await stage.visit({ as: shop.seller });
    const keys: Array<string | undefined> = [];
    let release: () => void = () => undefined;
    await page.route('**/v1/purchases/*/refunds', async (route) => {
      keys.push(route.request().headers()['idempotency-key']);
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      // It came, and its answer was lost.
      await route.fetch().catch(() => undefined);
      await route.abort();
    });
    // Once the page has read what came of the first one, a further refund is another decision.
    let sales: string | undefined;
    await page.route(
      ({ pathname }) => pathname === '/v1/purchases',
      async (route) => {
        sales ??= await (await route.fetch()).text();
        await route.fulfill({ body: sales, contentType: 'application/json' });
      },
    );
    await page.goto(`${stage.url}/market/desk`);
    const dialog = page.getByRole('dialog');
    const giveBack = async () => {
      await page
        .getByRole('button', { name: /^Refund/ })
        .first()
        .click();
      await dialog.getByLabel('Amount').fill('5');
      await dialog.getByLabel('Reason').fill('not as told');
      await dialog.getByRole('button', { name: 'Give the money back' }).click();
    };
    await giveBack();
    await cameTrue(page, `document.querySelector('.dialog-acts .button:last-child').disabled`);
    await page.keyboard.press('Escape');
    expect(await dialog.count()).toBe(1);
    await expect.poll(() => keys.length).toBe(1);
    release();
    await dialog.getByText('The API does not answer.').waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await giveBack();
    await expect.poll(() => keys.length).toBe(2);
    release();
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toBeTruthy();
    await close();
  }, 90_000);

  test('a dialog closes by the answer, though what is read after it hangs', async () => {
    const { page, close } = await stage.visit({ serviceWorkers: 'block' });
    await page.goto(`${stage.url}/guilds`);
    await settled(page);
    await page.route(
      ({ pathname }) => pathname === '/v1/guilds',
      (route) => (route.request().method() === 'GET' ? undefined : route.continue()),
    );
    await page.getByRole('button', { name: 'Found a guild', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('Hangers on');
    await dialog.getByRole('button', { name: 'Found a guild', exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
    const { rows } = await sql`select name from guilds where name = 'Hangers on'`.execute(shop.db);
    expect(rows).toHaveLength(1);
    await close();
  }, 90_000);

  test('what was bought by an answer that was lost is told before it is offered again; what came to nothing is begun anew', async () => {
    await shop.grant(shop.buyer.ownerId, 1_000);
    const listingId = await shop.list({ title: 'Lost answer' });
    const { page, close } = await stage.visit({ as: shop.buyer, serviceWorkers: 'block' });
    await page.route(
      ({ pathname }) => pathname === '/v1/purchases',
      async (route) => {
        if (route.request().method() === 'GET') return route.continue();
        await route.fetch();
        await route.abort();
      },
    );
    await page.goto(`${stage.url}/market/${listingId}`);
    const buy = page.getByRole('button', { name: /^Buy for/ });
    await buy.click();
    await page.getByText('The API does not answer.').first().waitFor();
    const bought = () =>
      shop.db.selectFrom('purchases').select(['id', 'state']).where('listingId', '=', listingId).execute();
    await expect
      .poll(async () => (await bought()).map(({ state }) => state), { timeout: 30_000 })
      .toEqual(['completed']);
    await page.reload();
    await page.getByText(/^You bought this/).waitFor();
    await buy.waitFor();
    await page.getByRole('link', { name: 'Open the license' }).click();
    await page.waitForURL('**/market/licenses/**');

    // The list says still that it is under way, the purchase itself that it came to nothing.
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    const as = async (route: Route, change: (purchase: Record<string, unknown>) => Record<string, unknown>) => {
      const response = await route.fetch();
      const json = (await response.json()) as { items?: Array<Record<string, unknown>> };
      await route.fulfill({ response, json: json.items ? { ...json, items: json.items.map(change) } : change(json) });
    };
    await page.route(
      ({ pathname }) => pathname === '/v1/purchases',
      (route) => as(route, (purchase) => ({ ...purchase, state: 'pending' })),
    );
    await page.route(
      ({ pathname }) => pathname.startsWith('/v1/purchases/pur_'),
      (route) => as(route, (purchase) => ({ ...purchase, state: 'failed', reason: 'The card was refused.' })),
    );
    await page.goto(`${stage.url}/market/${listingId}`);
    await page.getByText('The card was refused.').waitFor();
    await page.getByRole('button', { name: 'Try again' }).click();
    await buy.waitFor();
    await close();
  }, 120_000);

  test('where somebody is paid is changed by nobody who was not asked, and the file of the fleet by nobody who has not seen what it is now', async () => {
    const { page, close } = await stage.visit({ serviceWorkers: 'block' });
    const sent: unknown[] = [];
    page.on('request', (request) => {
      if (request.method() === 'POST') sent.push(request.postDataJSON());
    });
    await page.goto(`${stage.url}/market/desk`);
    await settled(page);
    await page.getByText('Where a creator is paid').click();
    const keep = page.getByRole('button', { name: 'Keep it' });
    await keep.click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('An account that was kept is taken away.').waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    expect(sent).toEqual([]);
    await page.getByLabel('Creator', { exact: true }).fill(shop.seller.ownerId);
    await page.getByLabel('Account at Stripe').fill('acct_1Harbour');
    await keep.click();
    await dialog.getByText(`what ${shop.seller.ownerId} earns to be paid to acct_1Harbour`).waitFor();
    await dialog.getByRole('button', { name: 'Keep it' }).click();
    await page.getByText('Paid there from now on').first().waitFor();
    expect(sent).toEqual([{ userId: shop.seller.ownerId, provider: 'stripe', account: 'acct_1Harbour' }]);

    await page.goto(`${stage.url}/fleet/file`);
    await settled(page);
    const file = page.getByLabel('fleet.yaml');
    const opened = await file.inputValue();
    expect(opened).toContain('cadence: 1d');
    const theirs = opened.replace('cadence: 1d', 'cadence: 2d');
    const applied = await shop.api.call('POST', '/v1/fleet/apply', { body: { source: theirs } });
    expect(applied.status, applied.text).toBe(200);
    await file.fill(opened.replace('cadence: 6h', 'cadence: 8h'));
    await page.getByRole('button', { name: 'See what would change' }).click();
    await page.getByText('the fleet was changed since its file was read').waitFor();
    await page.getByRole('button', { name: 'Take the file as it is now' }).click();
    expect(await file.inputValue()).toContain('cadence: 2d');
    const exported = async () => (await shop.api.call('GET', '/v1/fleet/export')).text;
    // After the first one it is made of what was applied by it.
    for (const [before, after] of [
      ['6h', '8h'],
      ['8h', '12h'],
    ] as const) {
      const now = await file.inputValue();
      expect(now).toContain(`cadence: ${before}`);
      await file.fill(now.replace(`cadence: ${before}`, `cadence: ${after}`));
      await page.getByRole('button', { name: 'See what would change' }).click();
      await page.getByRole('button', { name: 'Apply', exact: true }).click();
      await expect.poll(exported, { timeout: 30_000 }).toContain(`cadence: ${after}`);
      await page.getByRole('button', { name: 'Apply', exact: true }).and(page.locator(':disabled')).waitFor();
    }
    expect(await exported()).toContain('cadence: 2d');
    expect(await page.getByText('the fleet was changed since its file was read').count()).toBe(0);

    // What comes between one's own apply and the reading of it is not taken for one's own.
    let goOn = () => {};
    const held = new Promise<void>((resolve) => (goOn = resolve));
    await page.route('**/v1/fleet/files', async (route) => {
      await held;
      await route.continue();
    });
    await file.fill((await file.inputValue()).replace('cadence: 12h', 'cadence: 3h'));
    await page.getByRole('button', { name: 'See what would change' }).click();
    await page.getByRole('button', { name: 'Apply', exact: true }).click();
    await expect.poll(exported, { timeout: 30_000 }).toContain('cadence: 3h');
    const after = (await exported()).replace('cadence: 2d', 'cadence: 3d');
    expect((await shop.api.call('POST', '/v1/fleet/apply', { body: { source: after } })).status).toBe(200);
    goOn();
    await page.getByText('The fleet was changed since you opened this').waitFor();
    expect(await page.getByRole('button', { name: 'See what would change' }).isDisabled()).toBe(true);
    await page.getByRole('button', { name: 'Take the file as it is now' }).click();
    expect(await file.inputValue()).toContain('cadence: 3d');
    await close();
  }, 120_000);

  test('another tab shows nothing of who was signed in before, and who it is now', async () => {
    await openNotice(shop.db, {
      id: newId('notice'),
      ownerId: shop.buyer.ownerId,
      kind: 'payment_differs',
      key: 'payment:theirs',
      subject: 'pur_theirs',
      title: 'For the buyer alone',
    });
    const { page: here, context, close } = await stage.visit({ as: shop.buyer });
    const other = await context.newPage();
    for (const page of [here, other]) {
      await page.goto(`${stage.url}/`);
      await page.getByText('For the buyer alone').waitFor();
    }
    await other.evaluate('window.loadedOnce = true');
    const ownKept = () =>
      here.evaluate<string[]>(
        `Object.keys(localStorage).filter((name) => /^soulfra(?:-own-|[.]proof|[.]pins)/.test(name))`,
      );
    // Of a license, and of one that a version before this one kept.
    await here.evaluate(
      `for (const name of ['soulfra-own-proof-lic_1', 'soulfra.pins.x']) localStorage.setItem(name, '[]')`,
    );
    await here.reload();
    await settled(here);
    expect((await ownKept()).length).toBe(2);
    await here.locator('.rail').getByRole('button').click();
    await here.getByRole('menuitem', { name: 'Sign out' }).click();
    await other.locator('[data-part=signed-out]').waitFor();
    expect(await ownKept()).toEqual([]);
    // What somebody left without signing out is not for who comes next.
    await here.evaluate(`localStorage.setItem('soulfra-own-proof-lic_2', '[]')`);

    await here.goto(`${stage.url}/#once=${await stage.newLink()}`);
    await here.getByRole('button', { name: 'Sign in' }).click();
    await other.locator('.shell').waitFor();
    await settled(other);
    const { name } = await shop.db
      .selectFrom('users')
      .select('name')
      .where('id', '=', shop.api.ownerId)
      .executeTakeFirstOrThrow();
    await other.locator('.rail').getByRole('button', { name }).waitFor();
    expect(await other.getByText('For the buyer alone').count()).toBe(0);
    expect(await ownKept()).toEqual([]);
    expect(await other.evaluate('window.loadedOnce')).toBe(true);
    await close();
  }, 90_000);

  test('behind a proxy that stands alone what was loaded is shown, as old as the oldest of it', async () => {
    const { page, close } = await stage.visit({ as: shop.buyer });
    await kept(page, `${proxy.url}/market/licenses`);
    // What is read again as the stream opens is as new as that.
    await page.locator('.live[data-state=live]').waitFor();
    proxy.isAlone = true;
    proxy.cutStreams();
    await page.locator('.live[data-state=away]').waitFor();
    const before = new Date(Date.now() - 3 * 86_400_000);
    await page.evaluate(`(async () => {
      const cache = await caches.open('soulfra-data-1');
      const request = (await cache.keys()).find(({ url }) => url.includes('/v1/licenses'));
      const known = await cache.match(request);
      const headers = new Headers(known.headers);
      headers.set('x-soulfra-kept-at', '${before.getTime()}');
      await cache.put(request, new Response(await known.blob(), { headers }));
    })()`);
    await page.reload();
    const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' }).format(before);
    await page.getByText(`Offline since ${day}`).waitFor();
    expect(await page.getByText('This could not be loaded').count()).toBe(0);
    proxy.isAlone = false;
    await page.reload();
    await settled(page);
    await page.getByText(/^Offline since/).waitFor({ state: 'detached' });
    await close();
  }, 90_000);

  test('the stream of events is cut, and comes back: then what went by is shown, and no other tab was held up', async () => {
    const { page, context, close } = await stage.visit({ as: shop.api.stranger });
    const other = await context.newPage();
    for (const each of [page, other]) {
      await each.goto(`${proxy.url}/`);
      await each.locator('.live[data-state=live]').waitFor();
    }
    proxy.isAlone = true;
    proxy.cutStreams();
    for (const each of [page, other]) await each.locator('.live[data-state=away]').waitFor();
    await openNotice(shop.db, {
      id: newId('notice'),
      ownerId: shop.api.stranger.ownerId,
      kind: 'payment_differs',
      key: 'payment:meanwhile',
      subject: 'pur_meanwhile',
      title: 'It came meanwhile',
    });
    proxy.isAlone = false;
    for (const each of [page, other]) {
      await each.locator('.live[data-state=live]').waitFor();
      await each.getByText('It came meanwhile').waitFor();
    }
    await close();
  }, 90_000);

  test('ranking by keyboard alone: the focus stays where one is', async () => {
    const post = async (url: string, body: object) => {
      const headers = { 'idempotency-key': newId('request') };
      const { status, json, text } = await shop.api.call('POST', url, { body, headers });
      if (status >= 300) throw new Error(text);
      return json['id'] as string;
    };
    const guildId = await post('/v1/guilds', { name: 'Rankers', purpose: 'ranks', seats: 3 });
    const options = ['One', 'Two', 'Three'];
    const ballot = await post('/v1/ballots', { title: 'Which?', text: 'Say.', guildId, method: 'ranked', options });
    await sql`update ballots set opens_at = clock_timestamp() where id = ${ballot}`.execute(shop.db);
    await createBallotStore(shop.db).openVote(ballot);
    const { page, close } = await stage.visit();
    await page.goto(`${stage.url}/ballots/${ballot}`);
    await settled(page);
    const focused = () =>
      page.evaluate<string>(`document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()`);
    await page.getByRole('button', { name: 'One', exact: true }).focus();
    await page.keyboard.press('Enter');
    expect(await focused()).toBe('Two');
    await page.keyboard.press('Enter');
    expect(await focused()).toBe('Three');
    await page.keyboard.press('Enter');
    expect(await focused()).toBe('Three: one up');
    await page.keyboard.press('Enter');
    expect(await focused()).toBe('Three: one up');
    await page.keyboard.press('Enter');
    // It is the first now, and cannot go further.
    expect(await focused()).toBe('Three: one down');
    const ranked = await page.locator('.guilds-ranked li > span').allInnerTexts();
    expect(ranked).toEqual(['1. Three', '2. One', '3. Two']);
    await close();
  }, 90_000);

  test('on a phone nothing that has the focus is under what stands at the foot', async () => {
    const { page, close } = await stage.visit({ width: 390, height: 844 });
    const hidden: string[] = [];
    for (const address of ['/fleet', '/operations/people', '/market/desk']) {
      await page.goto(stage.url + address);
      await settled(page);
      for (let i = 0; i < 60; i += 1) {
        await page.keyboard.press('Tab');
        const found = await page.evaluate<string>(`(() => {
          const at = document.activeElement;
          const { left, top, width, height } = at.getBoundingClientRect();
          if (at === document.body || width === 0) return '';
          const seen = [0.1, 0.5, 0.9].some((x) => [0.1, 0.5, 0.9].some((y) => {
            const over = document.elementFromPoint(left + width * x, top + height * y);
            return over && (at.contains(over) || over.contains(at));
          }));
          return seen ? '' : at.outerHTML.slice(0, 120);
        })()`);
        if (found !== '') hidden.push(`${address}: ${found}`);
      }
    }
    expect(hidden).toEqual([]);
    await close();
  }, 120_000);
});
