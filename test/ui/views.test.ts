import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { axeFindings, lacksBrowser, openUiStage, settled, type UiStage } from '../support/ui-stage.ts';
import { seedUiTown } from '../support/ui-town.ts';

/** Every view by its address. */
const addresses = [
  '/',
  '/fleet',
  '/masks',
  '/agents/vesper-001',
  '/agents/vesper-001?tab=memories',
  '/nothing-is-here',
];
const looks = [
  { name: 'light and wide', theme: 'light', width: 1280, height: 800 },
  { name: 'dark on a phone', theme: 'dark', width: 390, height: 844 },
] as const;

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
        expect(await axeFindings(page)).toEqual([]);
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

  test('what changes is shown without a reload', async () => {
    const { page, faults, close } = await stage.visit();
    await page.goto(`${stage.url}/fleet`);
    await settled(page);
    await page.getByText('Live', { exact: true }).first().waitFor();
    await page.evaluate('window.loadedOnce = true');
    await stage.api.db.updateTable('machines').set({ state: 'draining' }).where('id', '=', 'pc2').execute();
    await stage.api.db
      .insertInto('events')
      .values({ ownerId: stage.api.ownerId, type: 'machine.draining', subject: 'pc2', data: '{}' })
      .execute();
    await page.locator('.machine[data-state=draining]').waitFor();
    expect(await page.evaluate('window.loadedOnce')).toBe(true);
    expect(faults).toEqual([]);
    await close();
  });
});
