import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { builtAssets } from '../../deploy/embedded/built-pages.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { createRandom } from '../../domain/random.ts';
import { createClusterStore } from '../../stores/clusters.ts';
import { createGlobeStore, type PlacedPoint } from '../../stores/globe.ts';
import { newId } from '../../stores/ids.ts';
import type { ApiFixture } from '../support/api.ts';
import { axeFindings, lacksBrowser, openUiStage, settled, type UiStage } from '../support/ui-stage.ts';
import { seedUiTown } from '../support/ui-town.ts';

const hours = 24;
const insight = 'This town moors two boats where one belongs.';
const looks = [
  { name: 'light and wide', theme: 'light', width: 1280, height: 800 },
  { name: 'dark on a phone', theme: 'dark', width: 390, height: 844 },
] as const;

describe.skipIf(lacksBrowser('the globe in a browser'))('the memory globe', () => {
  let stage: UiStage;
  beforeAll(async () => {
    stage = await openUiStage();
    await seedUiTown(stage.api);
  }, 120_000);
  afterAll(() => stage?.close(), 60_000);

  test('before anybody is placed it says so', async () => {
    const { page, faults, close } = await stage.visit();
    await page.goto(`${stage.url}/globe`);
    await page.getByText('Nothing stands on the globe yet').waitFor();
    expect(await axeFindings(page)).toEqual([]);
    expect(faults).toEqual([]);
    await close();
    await seedGlobe(stage.api);
  });

  for (const { name, ...look } of looks)
    test(`${name}: it is drawn, axe finds nothing, nothing fails or comes from elsewhere`, async () => {
      const { page, faults, close } = await stage.visit(look);
      await openGlobe(page, stage.url);
      expect(await shadesOf(page)).toBeGreaterThan(5);
      expect(await axeFindings(page)).toEqual([]);
      expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
      if (process.env['SOULFRA_SHOTS'])
        await page.screenshot({
          path: `${process.env['SOULFRA_SHOTS']}/globe-${name.replaceAll(' ', '-')}.png`,
          fullPage: true,
        });
      expect(faults.filter(isFault)).toEqual([]);
      await close();
    });

  test('by keyboard: from point to point by arrow keys, opened by Enter, left by Escape; a click picks what is there', async () => {
    const { page, close } = await stage.visit();
    await openGlobe(page, stage.url);
    const globe = page.getByRole('application', { name: 'Globe' });
    await globe.focus();
    const marked = page.locator('.globe-marked');
    await page.keyboard.press('ArrowRight');
    await marked.getByRole('button', { name: /^Open / }).waitFor();
    const first = await marked.innerText();
    const seen = new Set([first]);
    for (const key of ['ArrowRight', 'ArrowUp', 'ArrowLeft', 'ArrowDown']) {
      await page.keyboard.press(key);
      seen.add(await marked.innerText());
    }
    expect(seen.size).toBeGreaterThan(2);

    // Whoever is at a point has it before the eye: it is in the middle of the canvas.
    const at = await marked.innerText();
    await page.keyboard.press('Escape');
    await marked.getByText('Choose a point').waitFor();
    // One picks from what is drawn.
    await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))');
    const box = (await page.locator('.globe-canvas').boundingBox())!;
    await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
    await page.mouse.move(box.x + 2, box.y + 2);
    expect(await marked.innerText()).toBe(at);
    await globe.focus();
    await page.keyboard.press('Enter');
    await page.waitForURL('**/agents/**');
    await close();
  });

  test('from the sign-in link over the globe to an agent, its insight and what that rests on', async () => {
    const { page, faults, close } = await stage.visit({ signedIn: false, width: 390, height: 844 });
    await page.goto(`${stage.url}/#once=${await stage.newLink()}`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('.foot').getByRole('button', { name: 'More' }).click();
    await page.getByRole('dialog').getByRole('link', { name: 'Globe' }).click();
    await page.waitForURL('**/globe');
    await page.locator('.globe-picture[data-picture=drawn]').waitFor();
    await page.getByLabel('Search').fill('town moors');
    await page.getByRole('list', { name: 'Found' }).getByRole('button').first().click();
    await page
      .locator('.globe-marked')
      .getByRole('button', { name: /^Open / })
      .click();
    await page.waitForURL(/\/agents\/vesper-001\?tab=reflections$/);
    await page.locator('.agent-insight').getByText(insight).waitFor();
    await page.getByText('Rests on 2 memories').click();
    await page.locator('.evidence').getByText('The ferry bell hung crooked this morning.').waitFor();
    expect(faults.filter((fault) => isFault(fault) && !fault.includes('401'))).toEqual([]);
    await close();
  });

  test('who is here for the first time is shown around by keyboard: what waits, who works, the globe, an insight and its evidence', async () => {
    const { page, faults, close } = await stage.visit({ isFirst: true });
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    const told = (title: string) => page.getByRole('dialog', { name: title });
    const press = async (name: string) => {
      const focused = () => page.evaluate<string>('document.activeElement.textContent.trim()');
      for (let i = 0; i < 6 && (await focused()) !== name; i += 1) await page.keyboard.press('Tab');
      expect(await focused()).toBe(name);
      await page.keyboard.press('Enter');
    };
    await page.goto(`${stage.url}/`);
    await told('What needs you').waitFor();
    expect(await axeFindings(page)).toEqual([]);
    await press('Next');
    await page.waitForURL('**/fleet');
    await told('Who works where')
      .getByText(/^297 agents on 2 machines/)
      .waitFor();
    // Where one stands is kept.
    await page.reload();
    await told('Who works where').waitFor();
    await press('Back');
    await page.waitForURL(`${stage.url}/`);
    await told('What needs you').waitFor();
    await press('Next');
    await page.waitForURL('**/fleet');
    await press('Next');
    await page.waitForURL('**/globe');
    await told('What they remember')
      .getByText(/^60 agents and \d+ memories stand here/)
      .waitFor();
    await press('Next');
    await page.waitForURL(/\/agents\/vesper-001\?tab=reflections&reflection=/);
    await told('What one of them concluded')
      .getByText(/rests on 2 memories/)
      .waitFor();
    await page.locator('.evidence').getByText('The ferry bell hung crooked this morning.').waitFor();
    expect(await page.evaluate(`document.activeElement.closest('.tour') !== null`)).toBe(true);
    expect(await axeFindings(page)).toEqual([]);
    await press('Done');
    await told('What one of them concluded').waitFor({ state: 'detached' });
    expect(await page.evaluate('document.activeElement.id')).toBe('content');

    // Nobody is shown around twice, unless they ask.
    asked.length = 0;
    await page.goto(`${stage.url}/`);
    await settled(page);
    expect(asked.filter((url) => /\/tour-/.test(url))).toEqual([]);
    await page.locator('.rail').getByRole('button').click();
    await page.getByRole('menuitem', { name: 'A look around' }).click();
    await page.getByRole('menu').waitFor({ state: 'detached' });
    await told('What needs you').press('Escape');
    await told('What needs you').waitFor({ state: 'detached' });
    expect(faults.filter(isFault)).toEqual([]);
    await close();
  });

  test('on a phone the look around covers neither the menu nor the edge, and one press ends it', async () => {
    const { page, faults, close } = await stage.visit({ isFirst: true, width: 390, height: 844, theme: 'dark' });
    await page.goto(`${stage.url}/`);
    const told = page.getByRole('dialog', { name: 'What needs you' });
    await told.waitFor();
    expect(await axeFindings(page)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    await page.locator('.foot').getByRole('link', { name: 'Masks' }).click({ trial: true });
    await told.getByRole('button', { name: 'End the look around' }).click();
    await told.waitFor({ state: 'detached' });
    await page.reload();
    await settled(page);
    expect(await page.getByRole('dialog').count()).toBe(0);
    expect(faults).toEqual([]);
    await close();
  });

  test('a search flies to what it finds; the time takes memories away, and the table has the same', async () => {
    const { page, close } = await stage.visit();
    await openGlobe(page, stage.url);
    await page.getByLabel('Search').fill('ferry bell');
    await page.getByRole('list', { name: 'Found' }).getByRole('button').first().click();
    const marked = page.locator('.globe-marked');
    await marked.getByText('The ferry bell hung crooked this morning.').waitFor();
    // Along its thread.
    await marked
      .getByRole('button', { name: /^echo: / })
      .first()
      .click();
    await marked.getByRole('button', { name: /^echo: .*The ferry bell hung crooked/ }).waitFor();

    await page.getByText('The globe as a table').click();
    const table = page.getByRole('region', { name: 'The globe as a table' });
    await table.locator('tbody tr').first().waitFor();
    expect(await table.locator('tbody tr').count()).toBe(50);
    const [, all] = /(\d+) memories/.exec(await page.locator('label:has(.globe-time)').innerText())!;
    const slider = page.getByRole('slider');
    await slider.focus();
    await page.keyboard.press('Home');
    const says = await page.locator('label:has(.globe-time)').innerText();
    expect(Number(/(\d+) of/.exec(says)![1])).toBeLessThan(Number(all));
    await page.getByLabel('Search').fill('told last');
    await page.getByText('Nothing on the globe says that').waitFor();
    await slider.focus();
    await page.keyboard.press('End');
    await page.getByRole('list', { name: 'Found' }).getByRole('button').first().waitFor();
    await table
      .getByRole('button', { name: /^Show / })
      .first()
      .click();
    await page
      .locator('.globe-marked')
      .getByRole('button', { name: /^Open / })
      .waitFor();
    await close();
  });

  test('it turns by itself until somebody stops it or wants less motion, and not while it is out of sight', async () => {
    const moving = await stage.visit({ reducedMotion: false });
    await openGlobe(moving.page, stage.url);
    const canvas = moving.page.locator('.globe-canvas');
    await moving.page.locator('.globe-canvas[data-state=turning]').waitFor();
    await moving.page.evaluate(
      `Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true }); document.dispatchEvent(new Event('visibilitychange'))`,
    );
    await moving.page.locator('.globe-canvas[data-state=paused]').waitFor();
    await moving.page.evaluate(
      `delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'))`,
    );
    await moving.page.locator('.globe-canvas[data-state=turning]').waitFor();
    await moving.page.getByRole('button', { name: 'Stop turning' }).click();
    expect(await canvas.getAttribute('data-state')).toBe('still');
    await moving.close();

    const still = await stage.visit({ reducedMotion: true });
    await openGlobe(still.page, stage.url);
    expect(await still.page.locator('.globe-canvas').getAttribute('data-state')).toBe('still');
    await still.close();
  });

  test('a picture that the device takes away comes back', async () => {
    const { page, close } = await stage.visit();
    await openGlobe(page, stage.url);
    await page.evaluate(
      `window.taken = document.querySelector('.globe-canvas').getContext('webgl2').getExtension('WEBGL_lose_context'); window.taken.loseContext()`,
    );
    await page.getByText('The device took the picture away.').waitFor();
    await page.evaluate('window.taken.restoreContext()');
    await page.locator('.globe-picture[data-picture=drawn]').waitFor();
    expect(await shadesOf(page)).toBeGreaterThan(5);
    await close();
  });

  test('without WebGL the table stands open, and three.js is not asked for', async () => {
    const { page, faults, close } = await stage.visit();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.addInitScript(
      `const kept = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (kind, ...rest) { return kind.startsWith('webgl') ? null : kept.call(this, kind, ...rest); };`,
    );
    await page.goto(`${stage.url}/globe`);
    await settled(page);
    await page.getByText('This browser draws no 3D picture').waitFor();
    await page.getByText('ferry, 9 agents').waitFor();
    expect(await page.getByRole('region', { name: 'The globe as a table' }).locator('tbody tr').count()).toBe(50);
    expect(await axeFindings(page)).toEqual([]);
    expect(asked.filter((url) => /\/scene-/.test(url))).toEqual([]);
    expect(faults).toEqual([]);
    await close();
  });

  test('the chunk with three.js is at most 250 kB gzipped, and no other chunk has it', () => {
    const built = join(repositoryRoot, 'dist', 'ui');
    const folder = join(built, 'assets');
    const chunks = builtAssets(built).filter((file) => file.endsWith('.js'));
    const with3d = chunks.filter((file) => readFileSync(join(folder, file), 'utf8').includes('webglcontextrestored'));
    expect(with3d).toHaveLength(1);
    expect(with3d[0]).toMatch(/^scene-/);
    const bytes = gzipSync(readFileSync(join(folder, with3d[0]!))).length;
    expect(bytes).toBeLessThan(250_000);
  });
});

/** Reading pixels for a picture stalls a driver without a card, which it says. */
const isFault = (fault: string) => !/GPU stall due to ReadPixels/.test(fault);

async function openGlobe(page: Page, url: string): Promise<void> {
  await page.goto(`${url}/globe`);
  await settled(page);
  await page.locator('.globe-picture[data-picture=drawn]').waitFor();
  await page.locator('.globe-canvas[data-state]').waitFor();
}

/** How many colours the picture has: an empty one has one. */
async function shadesOf(page: Page): Promise<number> {
  const picture = await page.locator('.globe-canvas').screenshot();
  return page.evaluate<number>(`(async () => {
    const image = Object.assign(new Image(), { src: 'data:image/png;base64,${picture.toString('base64')}' });
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    const shades = new Map();
    for (let at = 0; at < data.length; at += 4) {
      const shade = [data[at] >> 4, data[at + 1] >> 4, data[at + 2] >> 4].join();
      shades.set(shade, (shades.get(shade) ?? 0) + 1);
    }
    return [...shades.values()].filter((pixels) => pixels > 20).length;
  })()`);
}

/** Agents all over the globe, with memories about them, told hour by hour. */
async function seedGlobe(api: ApiFixture): Promise<void> {
  const random = createRandom(5);
  const agents = await api.db.selectFrom('agents').select('id').orderBy('id').limit(59).execute();
  agents.push({ id: 'vesper-001' });
  const lines = agents.flatMap(({ id: agentId }, i) =>
    [0, 1].map((n) =>
      JSON.stringify({
        agentId,
        text: n === 1 && i === agents.length - 1 ? 'This was told last of all.' : `Light ${n} over roof ${i}.`,
        importance: 5,
        externalKey: `globe-${i}-${n}`,
        occurredAt: new Date(
          Date.UTC(2026, 10, 20) + (n === 1 && i === agents.length - 1 ? hours * 2 : (i + n) % hours) * 3_600_000,
        ).toISOString(),
      }),
    ),
  );
  lines.push(
    JSON.stringify({
      type: 'reflection',
      agentId: 'vesper-001',
      text: insight,
      evidence: ['ui-0', 'ui-1'],
      externalKey: 'globe-insight',
      occurredAt: '2026-11-20T09:00:00Z',
    }),
  );
  const told = await api.call('POST', '/v1/memories', {
    raw: lines.join('\n'),
    headers: { 'content-type': 'application/x-ndjson' },
  });
  expect(told.status, told.text).toBeLessThan(300);
  const memories = await api.db.selectFrom('memories').select('id').orderBy('id').execute();
  const placed = ({ id }: { id: string }): PlacedPoint => {
    const [x, y, z] = [0, 1, 2].map(() => random.next() + random.next() - 1) as [number, number, number];
    const length = Math.hypot(x, y, z);
    return { id, x: x / length, y: y / length, z: z / length };
  };
  await seedThread(
    api,
    memories.slice(0, 3).map(({ id }) => id),
  );
  await createClusterStore(api.db).store({
    ownerId: api.ownerId,
    period: 'seeded',
    model: 'use-lite-en',
    agents: agents.length,
    sampledShare: 1,
    memoryLimitMib: 256,
    seconds: 0,
    skipped: false,
    reason: '',
    clusters: [{ members: agents.slice(0, 9).map(({ id }) => id), terms: [{ term: 'ferry', outputs: [] }] }],
  });
  await createGlobeStore(api.db).store(api.ownerId, {
    period: 'seeded',
    model: 'use-lite-en',
    digest: Buffer.alloc(32),
    agents: agents.map(placed),
    memories: memories.map(placed),
  });
}

async function seedThread({ db, ownerId }: ApiFixture, memoryIds: readonly string[]): Promise<void> {
  const id = newId('thread');
  await db.insertInto('threads').values({ id, ownerId, kind: 'echo', memories: memoryIds.length, agents: 2 }).execute();
  await db
    .insertInto('threadMemories')
    .values(memoryIds.map((memoryId) => ({ memoryId, kind: 'echo', threadId: id, score: 1 })))
    .execute();
}
