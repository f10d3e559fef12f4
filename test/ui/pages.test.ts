import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { listingSlug } from '../../domain/listing-slugs.ts';
import { appendEvents } from '../../stores/events.ts';
import { newId } from '../../stores/ids.ts';
import { openNotice } from '../../stores/notices.ts';
import { keptChannel, publishedDrop } from '../support/drops.ts';
import { seedHostile } from '../support/hostile-pages.ts';
import { until } from '../support/lab.ts';
import { openShop, type Shop } from '../support/market.ts';
import {
  axeFindings,
  axeInBothThemes,
  cameTrue,
  lacksBrowser,
  openUiStage,
  settled,
  type UiStage,
} from '../support/ui-stage.ts';

const looks = [
  { name: 'light and wide', theme: 'light', width: 1280, height: 800 },
  { name: 'dark on a phone', theme: 'dark', width: 390, height: 844 },
] as const;

describe.skipIf(lacksBrowser('the pages in a browser'))('the pages', () => {
  let shop: Shop;
  let stage: UiStage;
  let addresses: string[];
  beforeAll(async () => {
    shop = await openShop();
    stage = await openUiStage({}, shop.api);
    addresses = await seedHostile(shop);
  }, 180_000);
  afterAll(async () => {
    await stage?.close();
    await shop?.close();
  }, 60_000);

  test('each view is among those that are looked at', () => {
    const ui = join(repositoryRoot, 'ui');
    const views = readdirSync(ui, { recursive: true, encoding: 'utf8' })
      .filter((file) => /routes?\.ts$/.test(file))
      .flatMap((file) => [...readFileSync(join(ui, file), 'utf8').matchAll(/\bpath: '([^']+)'/g)])
      .map(([, path]) => path!);
    expect(views.length).toBeGreaterThan(20);
    const isLookedAt = (view: string) => {
      const at = new RegExp(`^${view.replaceAll(/\$\w+/g, '[^/?]+')}(?:[?]|$)`);
      return addresses.some((address) => at.test(address));
    };
    expect(views.filter((view) => !isLookedAt(view))).toEqual([]);
  });

  for (const { name, ...look } of looks)
    test(`${name}: axe finds nothing, nothing that somebody wrote is run, nothing fails or comes from elsewhere`, async () => {
      const { page, faults, close } = await stage.visit({ ...look, bypassCsp: true });
      const found: Record<string, unknown> = {};
      for (const address of addresses) {
        await page.goto(stage.url + address);
        await settled(page);
        const findings = await axeInBothThemes(page, look.theme);
        const run = await page.evaluate<unknown>('window.executed');
        const over = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
        if (findings.length > 0 || run !== undefined || over > 0 || faults.length > 0)
          found[address] = { findings, run, over, faults: faults.splice(0) };
        if (process.env['SOULFRA_SHOTS'])
          await page.screenshot({
            path: `${process.env['SOULFRA_SHOTS']}/${name.replaceAll(' ', '-')}${address.replaceAll(/[/?]/g, '_')}.png`,
            fullPage: true,
          });
      }
      expect(found).toEqual({});
      await close();
    }, 180_000);

  test('what waits is settled by its one button, and then all is well since', async () => {
    const { page, close } = await stage.visit({ as: shop.api.stranger });
    const { ownerId } = shop.api.stranger;
    await page.goto(`${stage.url}/`);
    await page.getByText(/^All well since/).waitFor();
    const key = 'payment:one';
    await openNotice(shop.db, {
      id: newId('notice'),
      ownerId,
      kind: 'payment_differs',
      key,
      subject: 'pur_1',
      title: 'A payment differs',
    });
    await page.reload();
    await page.getByRole('heading', { name: 'A payment differs' }).waitFor();
    await page.getByRole('button', { name: 'Do it' }).click();
    await page.getByText(/^All well since/).waitFor();
    await close();
  }, 60_000);

  test('what is being told is not cut off by what comes meanwhile, which is told next', async () => {
    const { api, db } = shop;
    let told = 0;
    const conclude = async (text: string) => {
      told += 1;
      const common = { agentId: 'vesper-001', importance: 5, occurredAt: '2026-11-20T08:00:00Z' };
      const lines = [
        { ...common, text: `What ${text} rests on.`, externalKey: `told-${told}` },
        { ...common, type: 'reflection', text, evidence: [`told-${told}`], externalKey: `insight-${told}` },
      ];
      const kept = await api.call('POST', '/v1/memories', {
        raw: lines.map((line) => JSON.stringify(line)).join('\n'),
        headers: { 'content-type': 'application/x-ndjson' },
      });
      expect(kept.status, kept.text).toBeLessThan(300);
      await appendEvents(db, [{ ownerId: api.ownerId, type: 'run.done', subject: `run_told_${told}`, data: {} }]);
    };
    await conclude('The ferry is late whenever the bell is.');
    const { page, faults, close } = await stage.visit({ reducedMotion: false });
    await page.addInitScript(
      `window.spoken = [];
      window.cuts = 0;
      Object.defineProperty(window, 'speechSynthesis', {
        value: { speak: (utterance) => window.spoken.push(utterance), cancel: () => { window.cuts += 1; } },
      });`,
    );
    await page.goto(`${stage.url}/`);
    await settled(page);
    await page.getByText('Live', { exact: true }).first().waitFor();
    await page.getByRole('button', { name: 'Open the narration' }).click();
    await page.locator('.narration-text').waitFor();
    await page.getByRole('button', { name: 'Speak' }).click();
    await cameTrue(page, 'window.spoken.length === 1');
    const before = await page.evaluate<number>('window.cuts');
    const caption = await page.locator('.narration-text').innerText();

    await conclude('Nobody has counted the boats since.');
    const history = page.locator('.narration-history li');
    await history.filter({ hasText: 'Nobody has counted the boats' }).waitFor({ state: 'attached' });
    expect(await page.evaluate('[window.spoken.length, window.cuts]')).toEqual([1, before]);
    expect(await page.locator('.narration-text').innerText()).toBe(caption);

    await page.evaluate(`window.spoken[0].dispatchEvent(new Event('end'))`);
    await cameTrue(page, 'window.spoken.length === 2');
    expect(await page.evaluate('window.spoken[1].text')).toContain('Nobody has counted the boats since.');
    expect(faults).toEqual([]);
    await close();
  }, 90_000);

  test('the frame on a page of somebody else tells one drop after the other, aloud only to who asked, and what is new next', async () => {
    const { api, db } = shop;
    const site = createServer((_, to) => {
      to.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html><html lang="en"><title>My blog</title>
        <link rel="icon" href="data:,"><h1>My blog</h1><script async src="${stage.url}/narration.js" data-feed="${feed}"></script></html>`);
    });
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    const blog = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
    const settings = { title: 'Harbour tales', siteUrl: 'https://my.blog/', embeddedBy: [blog] };
    const feed = await keptChannel(db, api.ownerId, { kind: 'feed', settings });
    const publish = async (text: string, at: Date) => {
      const dropId = await publishedDrop(db, api.ownerId, { channels: [feed], title: `On ${text}` });
      const delivery = { dropId, channelId: feed, state: 'published', text, dueAt: at, endedAt: at };
      await db
        .insertInto('deliveries')
        .values({ id: newId('delivery'), ownerId: api.ownerId, ...delivery })
        .execute();
    };
    await publish('the older bell', new Date(Date.now() - 7_200_000));
    await publish('the newer bell', new Date(Date.now() - 3_600_000));
    const { page, context, faults, close } = await stage.visit({ signedIn: false, reducedMotion: false });
    try {
      await context.addInitScript(
        `window.spoken = [];
        window.setInterval = (look) => { window.look = look; };
        Object.defineProperty(window, 'speechSynthesis', {
          value: { speak: (utterance) => window.spoken.push(utterance), cancel: () => undefined },
        });`,
      );
      await page.goto(blog);
      const within = page.frameLocator('iframe');
      const caption = within.locator('#caption');
      await caption.getByText('the newer bell', { exact: true }).waitFor();
      const frame = page.frames().find((each) => each.url().includes('/narration/'))!;
      expect(await caption.getAttribute('aria-live')).toBe('off');
      await within.getByRole('button', { name: 'Speak' }).click();
      await until('it is spoken', () => frame.evaluate<boolean>('window.spoken.length === 1'));
      expect(await caption.getAttribute('aria-live')).toBe('off');

      await publish('the newest bell', new Date());
      await frame.evaluate('window.look()');
      await within.locator('#history li').nth(2).waitFor({ state: 'attached' });
      expect(await caption.innerText()).toContain('the newer bell');
      await frame.evaluate(`window.spoken[0].dispatchEvent(new Event('end'))`);
      await caption.getByText('the newest bell', { exact: true }).waitFor();
      // Without a voice it is read; it goes on all the same.
      await until('that is spoken', () => frame.evaluate<boolean>('window.spoken.length === 2'));
      await within.getByLabel('Speed').selectOption('2');
      await frame.evaluate(
        `window.spoken.at(-1).dispatchEvent(Object.assign(new Event('error'), { error: 'not-allowed' }))`,
      );
      await caption.getByText('the newest bell', { exact: true }).waitFor({ state: 'detached' });

      await within.getByRole('button', { name: 'Speak' }).click();
      expect(await caption.getAttribute('aria-live')).toBe('polite');
      await within.getByRole('button', { name: 'Pause' }).click();
      expect(await caption.getAttribute('aria-live')).toBe('off');
      await within.getByRole('button', { name: 'Go on' }).waitFor();
      expect(faults.filter((fault) => !fault.startsWith(`foreign: ${blog}`))).toEqual([]);
      await page.goto(`${stage.url}/narration/${feed}`);
      await page.locator('#caption').waitFor();
      expect(await axeInBothThemes(page, 'light')).toEqual([]);
    } finally {
      await close();
      site.closeAllConnections();
      await new Promise((resolve) => site.close(resolve));
    }
  }, 90_000);

  test('the audit log is followed from a write to all that one thing met, and is not for a member', async () => {
    const guildId = addresses.find((address) => address.startsWith('/guilds/'))!.slice('/guilds/'.length);
    const { page, faults, close } = await stage.visit();
    await page.goto(`${stage.url}/operations/audit`);
    await settled(page);
    const table = page.getByRole('region', { name: 'Audit log' });
    await page.getByLabel('About', { exact: true }).fill(guildId);
    await page.getByLabel('Outcome').selectOption('done');
    await page.getByRole('button', { name: 'Find' }).click();
    await page.waitForURL(`**/operations/audit?subject=${guildId}&outcome=done`);
    await table.getByRole('rowheader', { name: 'POST /v1/guilds', exact: true }).waitFor();
    const kept = await table.getByRole('rowheader').count();
    expect(kept).toBeGreaterThan(0);
    expect(await table.getByRole('link', { name: guildId }).count()).toBe(kept);

    await page.getByLabel('Since').fill('2999-01-01');
    await page.getByRole('button', { name: 'Find' }).click();
    await page.getByText('No write is like that').waitFor();
    await page.getByRole('link', { name: 'Show all' }).click();
    await table.getByRole('rowheader').first().waitFor();
    expect(await page.getByLabel('About', { exact: true }).inputValue()).toBe('');
    expect(faults).toEqual([]);
    await close();

    const other = await stage.visit({ as: shop.buyer });
    await other.page.goto(`${stage.url}/operations/audit`);
    await other.page.getByText('Not for your role').waitFor();
    expect(await axeFindings(other.page)).toEqual([]);
    await other.close();
  }, 90_000);

  test('bought for credits, verified offline, redeemed twice: the second is refused', async () => {
    await shop.grant(shop.buyer.ownerId, 2_500);
    const listingId = await shop.list({ title: 'One evening', kinds: ['single_use'] });
    const { page, context, faults, close } = await stage.visit({ as: shop.buyer, width: 390, height: 844 });
    await page.goto(`${stage.url}/l/${listingSlug({ id: listingId, title: 'One evening' })}`);
    await page.getByRole('link', { name: 'Buy' }).click();
    await page.getByRole('button', { name: 'Buy for €10.00' }).click();
    await page.getByRole('link', { name: 'Open the license' }).click();
    await page.getByRole('button', { name: 'Keep the proof here' }).click();
    const verify = page.getByRole('button', { name: 'Verify offline' });
    await verify.waitFor();
    expect(faults).toEqual([]);

    await context.setOffline(true);
    await verify.click();
    // Genuine; of counted uses only the server can say how many are left.
    await page.locator('[data-code=REDEEM_ONLINE]').waitFor();
    await context.setOffline(false);

    await page.getByRole('button', { name: 'Redeem', exact: true }).click();
    await page.getByText('Redeemed: use number 1').first().waitFor();
    await page.getByLabel('Id of the use').fill('use-2');
    await page.getByRole('button', { name: 'Redeem', exact: true }).click();
    await page.locator('.field-error').waitFor();
    const { rows } = await sql`select uses, state from licenses where owner_id = ${shop.buyer.ownerId}`.execute(
      shop.db,
    );
    expect(rows).toEqual([{ uses: 1, state: 'used_up' }]);
    await close();
  }, 90_000);

  test('what opens over a view is as readable: menu, narration, dialogs, in the light and in the dark', async () => {
    const { page, faults, close } = await stage.visit();
    const look = async (name: string) => {
      const found = await axeInBothThemes(page, 'light');
      expect(found, name).toEqual([]);
      await page.keyboard.press('Escape');
    };
    const opened = [
      ['/market/desk', 'New listing'],
      ['/guilds', 'Found a guild'],
      ['/guilds', 'Propose'],
      ['/drops', 'Stop all posts'],
      ['/operations/people', 'Invite'],
      ['/operations/people', 'New token'],
    ] as const;
    for (const [address, name] of opened) {
      await page.goto(stage.url + address);
      await settled(page);
      await page.getByRole('button', { name, exact: true }).first().click();
      await page.getByRole('dialog').waitFor();
      await look(name);
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    }
    await page.locator('.rail').getByRole('button').click();
    await page.getByRole('menu').waitFor();
    await look('menu');
    await page.getByRole('button', { name: 'Open the narration' }).click();
    await page.locator('.narration-text').waitFor();
    await look('narration');
    expect(faults).toEqual([]);
    await close();
  }, 240_000);

  test('what was loaded is readable without a network, and nothing that was pressed then is sent later', async () => {
    await shop.grant(shop.buyer.ownerId, 1_000);
    const held = await shop.buy(await shop.list({ title: 'Held' }));
    expect(held.status, held.text).toBe(201);
    const { page, context, close } = await stage.visit({ as: shop.buyer });
    await page.goto(`${stage.url}/market/licenses`);
    await settled(page);
    await page.evaluate('navigator.serviceWorker.ready.then(() => true)');
    // From the second load on the worker is asked.
    await page.reload();
    await settled(page);
    await cameTrue(page, 'navigator.serviceWorker.controller !== null');
    await page.reload();
    await settled(page);
    await context.setOffline(true);
    await page.reload();
    await page.getByText(/^Offline since/).waitFor();
    await page.getByRole('table').waitFor();

    const listingId = await shop.list({ title: 'Offline' });
    await context.setOffline(false);
    await page.goto(`${stage.url}/market/${listingId}`);
    await page.getByRole('button', { name: /^Buy for/ }).waitFor();
    await context.setOffline(true);
    await page.getByRole('button', { name: /^Buy for/ }).click();
    await page.getByText('The API does not answer.').first().waitFor();
    await context.setOffline(false);
    await page.reload();
    await settled(page);
    const bought = await shop.db.selectFrom('purchases').select('id').where('listingId', '=', listingId).execute();
    expect(bought).toEqual([]);
    await close();
  }, 90_000);
});
