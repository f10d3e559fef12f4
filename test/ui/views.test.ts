import { sql } from 'kysely';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { openNotice } from '../../stores/notices.ts';
import { until } from '../support/lab.ts';
import { axeInBothThemes, cameTrue, lacksBrowser, openUiStage, settled, type UiStage } from '../support/ui-stage.ts';
import { maskSvg } from '../../domain/masks.ts';
import { replanUiTown, seedUiTown } from '../support/ui-town.ts';

/** Every view by its address. */
const addresses = [
  '/',
  '/fleet',
  '/masks',
  '/globe',
  '/agents/vesper-001',
  '/agents/vesper-001?tab=memories',
  '/fleet/file',
  '/nothing-is-here',
];
const looks = [
  { name: 'light and wide', theme: 'light', width: 1280, height: 800 },
  { name: 'dark on a phone', theme: 'dark', width: 390, height: 844 },
] as const;

/** A part of the page comes no sooner than this is called; then the page has it, and has drawn what comes of it. */
async function heldBack(page: Page, part: string): Promise<() => Promise<void>> {
  const asked = Promise.withResolvers<string>();
  const free = Promise.withResolvers<void>();
  await page.route(`**/assets/${part}-*.js`, async (route) => {
    asked.resolve(route.request().url());
    await free.promise;
    await route.continue();
  });
  return async () => {
    const url = await asked.promise;
    free.resolve();
    await page.evaluate(`import(${JSON.stringify(url)}).then(() => true)`);
    await drawn(page);
  };
}

const drawn = (page: Page) =>
  page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))');

describe.skipIf(lacksBrowser('the views in a browser'))('each view', () => {
  let stage: UiStage;
  beforeAll(async () => {
    stage = await openUiStage();
    await seedUiTown(stage.api);
  }, 120_000);
  afterAll(() => stage?.close(), 60_000);

  for (const look of looks)
    for (const address of addresses)
      test(`${address}, ${look.name}: axe finds nothing, nothing fails, nothing comes from elsewhere`, async () => {
        const { page, faults, close } = await stage.visit(look);
        await page.goto(stage.url + address);
        await settled(page);
        expect(await axeInBothThemes(page, look.theme)).toEqual([]);
        expect(faults).toEqual([]);
        expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
        await close();
      });

  test('by keyboard alone: past the menu, through it, and to what was chosen', async () => {
    const { page, close } = await stage.visit();
    await page.goto(`${stage.url}/`);
    await settled(page);
    const focused = () =>
      page.evaluate<string>('document.activeElement.textContent.trim() || document.activeElement.id');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Skip to content');
    await page.keyboard.press('Enter');
    await page.waitForURL(/#content$/);
    await page.goto(`${stage.url}/`);
    await settled(page);
    for (let i = 0; i < 20 && (await focused()) !== 'Fleet'; i += 1) await page.keyboard.press('Tab');
    expect(await focused()).toBe('Fleet');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/fleet');
    await page.locator('#content:focus').waitFor();
    await close();
  });

  test('what presses open is not in the first view, and by keyboard it has the focus and gives it back', async () => {
    const { page, close } = await stage.visit();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(`${stage.url}/`);
    await settled(page);
    const later = () =>
      asked.filter((url) => /\/(?:account-menu-open|more-views|narrator|toast-region|facts)-/.test(url));
    expect(later()).toEqual([]);
    await page.locator('.rail').getByRole('button').focus();
    await page.keyboard.press('Enter');
    await page.getByRole('menuitem').first().waitFor();
    expect(later().length).toBeGreaterThan(0);
    // A page that stands over a new build has it all by then.
    await expect.poll(() => later().some((url) => url.includes('/facts-'))).toBe(true);
    await cameTrue(page, `document.activeElement.closest('.menu') !== null`);
    await page.keyboard.press('Escape');
    await page.getByRole('menu').waitFor({ state: 'detached' });
    await cameTrue(page, `document.activeElement.matches('.rail [aria-haspopup=menu]')`);
    await close();
  });

  test('what went wrong is told, also where the region of toasts does not load', async () => {
    const { page, close } = await stage.visit({ serviceWorkers: 'block' });
    await page.route('**/assets/toast-region-*', (route) => route.abort());
    await page.route('**/v1/sessions', (route) => route.abort());
    await page.goto(`${stage.url}/`);
    await settled(page);
    await page.locator('.rail').getByRole('button').click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    const toast = page.locator('.toast');
    await toast.getByText('The API does not answer.').waitFor();
    await toast.getByRole('button', { name: 'Close' }).click();
    await toast.waitFor({ state: 'detached' });
    await close();
  });

  test('toasts without their region go by themselves, three at most, and good news interrupts nobody', async () => {
    await openNotice(stage.api.db, {
      id: newId('notice'),
      ownerId: stage.api.stranger.ownerId,
      kind: 'payment_differs',
      key: 'payment:plain',
      subject: 'pur_plain',
      title: 'It is settled',
    });
    const { page, close } = await stage.visit({ as: stage.api.stranger, serviceWorkers: 'block' });
    await page.route('**/assets/toast-region-*', (route) => route.abort());
    await page.goto(`${stage.url}/`);
    await page.getByRole('button', { name: 'Do it' }).click();
    const toast = page.locator('.toast');
    await toast.and(page.getByRole('status')).filter({ hasText: 'Done: It is settled' }).waitFor();
    await toast.waitFor({ state: 'detached' });

    let refused = 0;
    await page.route('**/v1/sessions', async (route) => {
      await route.abort();
      refused += 1;
    });
    for (let i = 1; i <= 5; i += 1) {
      await page.locator('.rail').getByRole('button').click();
      await page.getByRole('menuitem', { name: 'Sign out' }).click();
      await expect.poll(() => refused).toBe(i);
    }
    await toast.and(page.getByRole('alert')).first().waitFor();
    await drawn(page);
    expect(await toast.count()).toBeLessThanOrEqual(3);
    await expect.poll(() => toast.count(), { timeout: 30_000 }).toBe(0);
    await close();
  });

  for (const missing of [['account-menu-open'], ['account-menu-open', 'toast-region']])
    test(`what a press opens and does not load is told with the way out, without ${missing.join(' and ')}`, async () => {
      const { page, close } = await stage.visit({ serviceWorkers: 'block' });
      for (const part of missing) await page.route(`**/assets/${part}-*`, (route) => route.fulfill({ status: 404 }));
      await page.goto(`${stage.url}/`);
      await settled(page);
      await page.evaluate('window.loadedOnce = true');
      const button = page.locator('.rail').getByRole('button');
      await button.click();
      const toast = page.locator('.toast').filter({ hasText: 'This could not be loaded' }).first();
      // The region hides what is urgent from who hears the page until it has the focus, and says it apart.
      const out = toast.getByRole('button', { name: 'Load the page again', includeHidden: true });
      await out.waitFor();
      // Nobody loads it again but who is asked: what they have typed goes with it.
      expect(await page.evaluate('window.loadedOnce')).toBe(true);
      await page.unrouteAll();
      await Promise.all([page.waitForEvent('load'), out.click()]);
      await settled(page);
      expect(await page.evaluate('window.loadedOnce')).toBeUndefined();
      await button.click();
      await page.getByRole('menuitem', { name: 'Sign out' }).waitFor();
      await close();
    });

  test('what a press opens takes the focus from nobody who has gone on before it came', async () => {
    const { page, close } = await stage.visit({ serviceWorkers: 'block' });
    await page.goto(`${stage.url}/`);
    await settled(page);
    const menuComes = await heldBack(page, 'account-menu-open');
    const button = page.locator('.rail').getByRole('button');
    await button.focus();
    await page.evaluate(`window.pressed = document.activeElement`);
    await page.keyboard.press('Enter');
    await page.keyboard.press('Shift+Tab');
    await page.evaluate(`window.goneTo = document.activeElement`);
    expect(await page.evaluate('window.goneTo.matches("a.rail-link")')).toBe(true);
    await menuComes();
    await cameTrue(page, '!window.pressed.isConnected');
    await drawn(page);
    expect(await page.getByRole('menu').count()).toBe(0);
    expect(await page.evaluate('document.activeElement === window.goneTo')).toBe(true);
    await button.click();
    await page.getByRole('menu').waitFor();
    await close();

    const phone = await stage.visit({ width: 390, height: 844, serviceWorkers: 'block' });
    await phone.page.goto(`${stage.url}/`);
    await settled(phone.page);
    const moreComes = await heldBack(phone.page, 'more-views');
    const foot = phone.page.locator('.foot');
    await foot.getByRole('button', { name: 'More' }).click();
    await foot.getByRole('link', { name: 'Fleet' }).click();
    await phone.page.waitForURL('**/fleet');
    await settled(phone.page);
    await moreComes();
    expect(await phone.page.getByRole('dialog').count()).toBe(0);
    await foot.getByRole('button', { name: 'More' }).click();
    await phone.page.getByRole('dialog').waitFor();
    await phone.close();
  });

  test('by keyboard the narration has the focus as it opens and gives it back; as it was left it takes it from nobody', async () => {
    const { page, close } = await stage.visit();
    await page.goto(`${stage.url}/`);
    await settled(page);
    await page.getByRole('button', { name: 'Open the narration' }).focus();
    await page.keyboard.press('Enter');
    await cameTrue(page, `document.activeElement.matches('.narration-head button')`);
    await page.keyboard.press('Enter');
    await cameTrue(page, `document.activeElement.matches('.narration-open')`);
    await page.keyboard.press('Enter');
    await page.locator('.narration').waitFor();
    await page.reload();
    await page.locator('.narration').waitFor();
    await drawn(page);
    expect(await page.evaluate('document.activeElement === document.body')).toBe(true);
    await close();
  });

  test('a machine is lost: its dots move to where the plan puts them, and nothing is loaded again', async () => {
    const { page, faults, close } = await stage.visit({ clocks: false });
    await page.goto(`${stage.url}/fleet`);
    await settled(page);
    await page.getByText('Live', { exact: true }).first().waitFor();
    await page.evaluate('window.loadedOnce = true');
    const placesOf = () =>
      page.evaluate<string[]>(
        `[...document.querySelectorAll('.dot[data-kind=agent]')].map((dot) => dot.style.transform)`,
      );
    await page.locator('.dot').first().waitFor();
    const before = await placesOf();
    expect(before).toHaveLength(297);

    await page.getByRole('button', { name: 'Simulate its loss' }).first().click();
    await page.getByRole('heading', { name: 'If mainpc were lost' }).waitFor();
    expect(await placesOf()).not.toEqual(before);
    await page.getByRole('button', { name: 'Back to now' }).click();
    await page.getByRole('heading', { name: 'If mainpc were lost' }).waitFor({ state: 'detached' });
    expect(await placesOf()).toEqual(before);

    await stage.api.db.updateTable('machines').set({ state: 'lost' }).where('id', '=', 'mainpc').execute();
    await replanUiTown(stage.api);
    await page.locator('.yard[data-state=lost]').waitFor();
    const moved = async () => {
      const after = await placesOf();
      expect(after).toHaveLength(297);
      return after.filter((place, i) => place !== before[i]).length;
    };
    // That it is lost may be read before where the plan puts them.
    await until('most of its dots have moved', async () => (await moved()) > 50);
    expect(await page.evaluate('window.loadedOnce')).toBe(true);
    expect(faults).toEqual([]);
    await close();
  });

  test('a run says how far it is, and why it is there', async () => {
    const { db } = stage.api;
    const id = newId('run');
    await sql`insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, state, wanted_model_id, model_id, queue,
        expected_tokens, started_at)
      select ${id}, owner_id, id, 'reflect:vesper-001:shown', 'call', 'shown', 'running', model_id, model_id, 'inference_8g_x', 1, now()
      from agents where id = 'vesper-001'`.execute(db);
    for (const [step, result] of [
      ['questions', JSON.stringify({ questions: ['Who rings the bell?', 'Why at dawn?', 'For whom?'] })],
      ['focus-1', JSON.stringify({ insights: [] })],
    ])
      await sql`insert into step_results (work_id, step, machine_id, epoch, result)
        values (${id}, ${step}, 'mainpc', 1, ${result}::jsonb)`.execute(db);
    const { page, faults, close } = await stage.visit();
    await page.goto(`${stage.url}/fleet`);
    await settled(page);
    const row = page.getByRole('row').filter({ hasText: 'vesper-001' });
    await row.getByText('2 of 4 calls').waitFor();
    await row.getByRole('button', { name: 'Why the run of vesper-001 is where it is' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('2 of 4 calls').waitFor();
    await dialog.getByText(/^Stored of it: questions, focus-1/).waitFor();
    expect(await axeInBothThemes(page, 'light')).toEqual([]);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    expect(faults).toEqual([]);
    await sql`delete from step_results where work_id = ${id}`.execute(db);
    await sql`delete from runs where id = ${id}`.execute(db);
    await close();
  }, 60_000);

  test('without a network what was typed in a talk stays, and no answer is promised', async () => {
    const { page, context, close } = await stage.visit({ serviceWorkers: 'block' });
    await page.goto(`${stage.url}/agents/vesper-001?tab=talk`);
    await settled(page);
    const field = page.getByLabel(/^Say something to/);
    await context.setOffline(true);
    await field.fill('Are you there?');
    await page.keyboard.press('Enter');
    await page.getByText('The API does not answer: nothing was sent.').waitFor();
    expect(await field.inputValue()).toBe('Are you there?');
    expect(await page.getByText('The connection broke').count()).toBe(0);
    await context.setOffline(false);
    const sent = page.waitForRequest((request) => request.method() === 'POST' && request.url().includes('/messages'));
    await field.press('Enter');
    expect((await sent).postDataJSON()).toEqual({ text: 'Are you there?' });
    await close();
  }, 60_000);

  test('from the sign-in link to a mask, its agent, and what it recalls, with why', async () => {
    const { page, faults, close } = await stage.visit({ signedIn: false, width: 390, height: 844 });
    await page.goto(`${stage.url}/#once=${await stage.newLink()}`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('.foot').getByRole('link', { name: 'Masks' }).click();
    await page.getByText('297 masks').waitFor();
    expect(await page.locator('.masks-card').count()).toBeLessThan(120);
    await page.getByLabel('Search').fill('vesper-001');
    await page.getByText('1 mask', { exact: true }).waitFor();
    await page.locator('.masks-card').click();
    await page.waitForURL('**/agents/vesper-001');
    await page.getByRole('tab', { name: 'Memories' }).click();
    await page.getByLabel('What would it recall?').fill('the ferry bell');
    await page.getByRole('button', { name: 'Recall' }).click();
    await page.locator('.score').first().waitFor();
    expect(await page.locator('.memory').first().innerText()).toContain('ferry bell');
    expect(faults.filter((fault) => !fault.includes('401'))).toEqual([]);
    await close();
  });

  test('the masks of the shipped town are told apart at 48 pixels', async () => {
    const agents = await stage.api.db.selectFrom('agents').select('maskSeed').execute();
    const pictures = agents.map(({ maskSeed }) => `data:image/svg+xml,${encodeURIComponent(maskSvg(maskSeed))}`);
    const { page, close } = await stage.visit({ signedIn: false });
    const fewest = await page.evaluate<number>(`(async (pictures) => {
      const size = 48;
      const context = Object.assign(document.createElement('canvas'), { width: size, height: size }).getContext('2d', { willReadFrequently: true });
      const drawn = [];
      for (const picture of pictures) {
        const image = Object.assign(new Image(size, size), { src: picture });
        await image.decode();
        context.clearRect(0, 0, size, size);
        context.drawImage(image, 0, 0, size, size);
        drawn.push(context.getImageData(0, 0, size, size).data);
      }
      let fewest = Infinity;
      for (let a = 0; a < drawn.length; a += 1) for (let b = 0; b < a; b += 1) {
        let others = 0;
        for (let at = 0; at < drawn[a].length; at += 4) {
          const apart = Math.abs(drawn[a][at] - drawn[b][at]) + Math.abs(drawn[a][at + 1] - drawn[b][at + 1]) + Math.abs(drawn[a][at + 2] - drawn[b][at + 2]);
          if (apart > 90) others += 1;
        }
        fewest = Math.min(fewest, others);
      }
      return fewest;
    })(${JSON.stringify(pictures)})`);
    // Of 2304; a pair of eyes is about as many.
    expect(fewest).toBeGreaterThan(40);
    await close();
  });
});
