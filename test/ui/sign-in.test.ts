import { sql } from 'kysely';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { axeFindings, lacksBrowser, openUiStage, type UiStage } from '../support/ui-stage.ts';
import { applyFleet } from '../support/outbound.ts';

const part = (page: Page, name: string) => page.locator(`[data-part=${name}]`);
const press = (page: Page) => page.getByRole('button', { name: 'Sign in' }).click();
const isIn = (page: Page) => page.locator('.shell').waitFor();

describe.skipIf(lacksBrowser('signing in by a browser'))('the door', () => {
  let stage: UiStage;
  beforeAll(async () => {
    stage = await openUiStage();
    await applyFleet(stage.api.db, stage.api.ownerId, {});
  }, 120_000);
  afterAll(() => stage?.close(), 60_000);

  test('a link that is opened is used up by the press of the button alone', async () => {
    const once = await stage.newLink();
    const stranger = () => stage.visit({ signedIn: false });
    const [scanner, person, late] = await Promise.all([stranger(), stranger(), stranger()]);
    // Whatever opens links to look at them runs the page's script, too.
    for (const { page } of [scanner, person, late]) {
      await page.goto(`${stage.url}/#once=${once}`);
      await part(page, 'link').waitFor();
      expect(await page.evaluate('location.hash')).toBe('');
    }
    expect(await axeFindings(person.page)).toEqual([]);
    const used = () => stage.api.db.selectFrom('tokens').select('usedAt').where('kind', '=', 'once').execute();
    expect(await used()).toEqual([{ usedAt: null }]);

    await press(person.page);
    await isIn(person.page);
    expect(await used()).toEqual([{ usedAt: expect.any(Date) }]);
    await person.page.goto(stage.url);
    await isIn(person.page);

    await press(late.page);
    await late.page
      .getByText('This sign-in link was used already, or its time is over: ask for another one.')
      .waitFor();
    expect(await late.page.getByRole('button', { name: 'Sign in' }).count()).toBe(0);
    await late.page.goto(stage.url);
    await part(late.page, 'signed-out').waitFor();
    expect(await axeFindings(late.page)).toEqual([]);

    // Another link, in the same tab.
    const next = await stage.newLink();
    await late.page.evaluate(`location.hash = 'once=${next}'`);
    await part(late.page, 'link').waitFor();
    await press(late.page);
    await isIn(late.page);
    await Promise.all([scanner, person, late].map((visitor) => visitor.close()));
  });

  test('a password is set, signs in elsewhere, and is told to be wrong; who forgot it is mailed a link', async () => {
    const { db } = stage.api;
    const ada = { ownerId: newId('user') };
    await sql`insert into users (id, name, role, operator_id, address, verified_at)
      values (${ada.ownerId}, 'ada', 'member', ${stage.api.ownerId}, 'ada@quay.example', now())`.execute(db);
    const here = await stage.visit({ as: ada });
    // Signed in just now, as by a mailed link.
    await sql`update tokens set signed_in = true where owner_id = ${ada.ownerId}`.execute(db);
    await here.page.goto(stage.url);
    await isIn(here.page);
    await here.page.locator('.rail').getByRole('button').click();
    await here.page.getByRole('menuitem', { name: 'Password and sessions' }).click();
    await here.page.getByLabel('New password').fill('harbour lamp seven');
    expect(await axeFindings(here.page)).toEqual([]);
    await here.page.getByRole('button', { name: 'Set the password' }).click();
    await here.page.getByText('Your password is set').first().waitFor();

    const { page, close } = await stage.visit({ signedIn: false });
    await page.goto(stage.url);
    await part(page, 'password').waitFor();
    expect(await axeFindings(page)).toEqual([]);
    await page.getByLabel('Mail address').fill('ada@quay.example');
    await page.getByLabel('Password').fill('something else');
    await press(page);
    await page.getByText('the address or the password is wrong').waitFor();
    await page.getByRole('button', { name: 'Mail me a link instead' }).click();
    await page.getByText('a link is on its way').waitFor();
    const mails = await sql<{ address: string }>`select address from mails where template = 'sign_in'`.execute(db);
    expect(mails.rows).toEqual([{ address: 'ada@quay.example' }]);
    await page.getByLabel('Password').fill('harbour lamp seven');
    await press(page);
    await isIn(page);
    await Promise.all([close(), here.close()]);
  });

  test('who signs out is out, in the other tab too, and the page says how to come back', async () => {
    const { page, context, close } = await stage.visit();
    await page.goto(stage.url);
    await isIn(page);
    const other = await context.newPage();
    await other.goto(stage.url);
    await isIn(other);
    await page.locator('.rail').getByRole('button').click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await part(page, 'signed-out').waitFor();
    await part(other, 'signed-out').waitFor();
    await page.goto(stage.url);
    await part(page, 'signed-out').waitFor();
    await close();
  });
});
