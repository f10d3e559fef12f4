import { sql } from 'kysely';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createBallotStore } from '../../stores/ballots.ts';
import { addMember, type GuildHall, openGuildHall } from '../support/guilds.ts';
import { until } from '../support/lab.ts';
import { type MailServer, startMailServer } from '../support/mail-server.ts';
import { addPerson, type Person } from '../support/market.ts';
import { axeFindings, lacksBrowser, openUiStage, settled, type UiStage, type Visitor } from '../support/ui-stage.ts';

describe.skipIf(lacksBrowser('guilds in a browser'))('guilds', () => {
  let hall: GuildHall;
  let server: MailServer;
  let stage: UiStage;
  beforeAll(async () => {
    server = await startMailServer();
    hall = await openGuildHall({ smtpUrl: server.url, people: { signUp: 'open' } });
    stage = await openUiStage({}, hall.api);
  }, 180_000);
  afterAll(async () => {
    await stage?.close();
    await hall?.close();
    await server?.close();
  }, 60_000);

  test('a link that was made on the page of a guild is accepted by a stranger on a phone', async () => {
    const guildId = await hall.found();
    const founder = await stage.visit({ as: hall.founder });
    await founder.page.goto(`${stage.url}/guilds/${guildId}`);
    await founder.page.getByRole('button', { name: 'Invite', exact: true }).click();
    expect(await axeFindings(founder.page)).toEqual([]);
    await founder.page.getByRole('button', { name: 'Make the link' }).click();
    await founder.page.getByRole('img', { name: 'The link as a code for cameras' }).waitFor();
    const link = await founder.page.getByLabel('Link', { exact: true }).inputValue();
    expect(founder.faults).toEqual([]);
    await founder.close();

    const { page, faults, close } = await stage.visit({ signedIn: false, width: 390, height: 844 });
    await page.goto(link);
    await page.getByRole('heading', { name: '“founder” invites you to “The Night Watch”' }).waitFor();
    expect(page.url()).not.toContain('sfi_');
    expect(await axeFindings(page)).toEqual([]);
    const address = 'stranger@pages.example';
    await page.getByLabel('Your mail address').fill(address);
    await page.getByRole('button', { name: 'Mail me a link' }).click();
    await page.getByText('Look into your mail').waitFor();
    const mailed = () => server.to(address).map(({ text }) => /#once=(\S+)/.exec(text)?.[1]);
    await until('the link to sign in was mailed', () => Promise.resolve(mailed()[0] !== undefined));
    await page.goto(`${stage.url}/#once=${mailed()[0]!}`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('.shell').waitFor();
    await page.goto(`${stage.url}/join`);
    await page.getByRole('button', { name: /^Join/ }).click();
    await page.getByText('You are a member now.').waitFor();
    await page.getByRole('link', { name: 'Open the group' }).click();
    await page.getByRole('heading', { name: 'The Night Watch' }).waitFor();
    await page.getByText('2 of 12 seats taken').waitFor();
    expect(faults).toEqual([]);
    await close();
    expect(await hall.counts(guildId)).toEqual({ seatsUsed: 2, members: 2, uses: 1 });
  }, 120_000);

  /** An open ballot of a guild with so many people beside its founder. */
  async function openBallot(people: number, options: string[], method: 'single' | 'ranked' | 'quadratic' = 'single') {
    const guildId = await hall.found({ seats: people + 1 });
    const voters: Person[] = [];
    for (let i = 0; i < people; i += 1) {
      const voter = await addPerson(hall.db, `voter ${i}`);
      await addMember(hall.db, guildId, { ownerId: voter.ownerId });
      voters.push(voter);
    }
    // An author has one open at a time.
    const proposed = await hall.api.call('POST', '/v1/ballots', {
      token: voters[0]!.token,
      body: { title: 'A second ferry', method, options, guildId, discussion: '0s', vote: '1d' },
    });
    expect(proposed.status, proposed.text).toBeLessThan(300);
    const ballotId = proposed.json['id'] as string;
    await createBallotStore(hall.db).openVote(ballotId);
    return { ballotId, voters };
  }

  // No event tells of a vote: an open ballot is asked for every few seconds.
  test('20 browsers vote at once, one thinks again, and each comes to see the tally as it is, and what it ends with, by itself', async () => {
    const options = ['Ferry', 'Bridge', 'Tunnel'];
    const chosen = Array.from({ length: 20 }, (_, i) => (i < 11 ? 'Ferry' : i < 17 ? 'Bridge' : 'Tunnel'));
    const { ballotId, voters } = await openBallot(chosen.length, options);
    const watching = await stage.visit({ as: hall.founder });
    watching.page.setDefaultTimeout(90_000);
    await watching.page.goto(`${stage.url}/ballots/${ballotId}`);
    await watching.page.getByText('0 votes so far').waitFor();

    const browsers: Visitor[] = [];
    for (const as of voters) {
      const browser = await stage.visit({ as, width: 390, height: 844 });
      browser.page.setDefaultTimeout(90_000);
      await browser.page.goto(`${stage.url}/ballots/${ballotId}`);
      await settled(browser.page);
      browsers.push(browser);
    }
    const all = [watching, ...browsers];
    await Promise.all(all.map(({ page }) => page.evaluate('window.loadedOnce = true')));
    const vote = async ({ page }: Visitor, option: string) => {
      await page.getByRole('radio', { name: option }).check();
      await page.getByRole('button', { name: 'Vote', exact: true }).click();
      await page
        .getByText(/^Your vote counts with 1 ego/)
        .first()
        .waitFor();
    };
    await Promise.all(browsers.map((browser, i) => vote(browser, chosen[i]!)));
    const shows = (page: Page, scores: readonly string[]) =>
      Promise.all(scores.map((score) => page.getByText(score, { exact: true }).first().waitFor()));
    await Promise.all(
      all.map(async ({ page }) => {
        await page.getByText(/^20 votes so far/).waitFor();
        await shows(page, ['11 ego, 55%', '6 ego, 30%', '3 ego, 15%']);
      }),
    );

    await vote(browsers[0]!, 'Tunnel');
    await Promise.all(all.map(({ page }) => shows(page, ['10 ego, 50%', '6 ego, 30%', '4 ego, 20%'])));
    const { rows } = await sql<{ choice: number; votes: number }>`
      select choice::int as choice, count(*)::int as votes from votes where ballot_id = ${ballotId} group by 1 order by 1`.execute(
      hall.db,
    );
    expect(rows).toEqual([
      { choice: 1, votes: 10 },
      { choice: 2, votes: 6 },
      { choice: 3, votes: 4 },
    ]);

    // A vote that no page has counted yet, and the end.
    const late = await hall.api.call('PUT', `/v1/ballots/${ballotId}/vote`, {
      token: hall.founder.token,
      body: { choice: 3 },
    });
    expect(late.status, late.text).toBe(200);
    await sql`update ballots set closes_at = date_trunc('milliseconds', clock_timestamp()) where id = ${ballotId}`.execute(
      hall.db,
    );
    expect(await createBallotStore(hall.db).closeVote(ballotId)).toMatchObject({ kind: 'closed', state: 'rejected' });
    await Promise.all(
      all.map(async ({ page }) => {
        await page.getByText('Counted from 21 votes').waitFor();
        await shows(page, ['10 ego, 48%', '6 ego, 29%', '5 ego, 24%']);
        const voters = page.getByRole('region', { name: 'Who votes' }).last();
        await voters.getByText('–', { exact: true }).waitFor({ state: 'detached' });
        expect(await voters.getByText('Tunnel', { exact: true }).count()).toBe(5);
      }),
    );
    for (const { page, faults } of all) {
      expect(await page.evaluate('window.loadedOnce')).toBe(true);
      expect(faults).toEqual([]);
    }
    await Promise.all(all.map(({ close }) => close()));
  }, 300_000);

  test('before it is over a vote stands as its own method counts it', async () => {
    const { ballotId, voters } = await openBallot(3, ['Ferry', 'Bridge'], 'quadratic');
    for (const [i, { token }] of voters.entries()) {
      const voted = await hall.api.call('PUT', `/v1/ballots/${ballotId}/vote`, {
        token,
        body: { choice: i === 0 ? { 1: 1 } : { 2: 1 } },
      });
      expect(voted.status, voted.text).toBe(200);
    }
    const { page, faults, close } = await stage.visit({ as: hall.founder });
    await page.goto(`${stage.url}/ballots/${ballotId}`);
    // Roots: 1² and (1 + 1)² of the three ego that chose; as plain sums it would be a third and two.
    await page.getByText('0.6 ego, 20%', { exact: true }).waitFor();
    await page.getByText('2.4 ego, 80%', { exact: true }).waitFor();
    await page.getByText(/^3 votes so far, counted by this ballot’s method/).waitFor();
    expect(faults).toEqual([]);
    await close();
  }, 60_000);

  test('options are ranked by keyboard alone, and the focus stays among them', async () => {
    const { ballotId, voters } = await openBallot(1, ['Ferry', 'Bridge', 'Tunnel'], 'ranked');
    const { page, faults, close } = await stage.visit({ as: voters[0]! });
    await page.goto(`${stage.url}/ballots/${ballotId}`);
    await settled(page);
    const focused = () =>
      page.evaluate<string>('document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()');
    const press = async (name: string) => {
      await page.keyboard.press('Enter');
      await until(`the focus is on ${name}`, async () => (await focused()) === name);
    };
    await page.getByRole('button', { name: 'Tunnel', exact: true }).focus();
    await press('Bridge');
    await press('Ferry');
    await press('Ferry: one up');
    await press('Ferry: one up');
    // At the top there is no further up.
    await press('Ferry: one down');
    await page.getByRole('button', { name: 'Vote', exact: true }).focus();
    await page.keyboard.press('Enter');
    await page
      .getByText(/^Your vote counts with/)
      .first()
      .waitFor();
    const { choice } = await hall.db
      .selectFrom('votes')
      .select('choice')
      .where('ballotId', '=', ballotId)
      .executeTakeFirstOrThrow();
    expect(choice).toEqual([1, 3, 2]);
    expect(faults).toEqual([]);
    await close();
  }, 120_000);

  test('of more electors than one page of the API holds, every vote is in the sum', async () => {
    const { ballotId, voters } = await openBallot(230, ['Ferry', 'Bridge']);
    for (const [i, { token }] of voters.entries()) {
      const body = { choice: i % 2 === 0 ? 1 : 2 };
      const voted = await hall.api.call('PUT', `/v1/ballots/${ballotId}/vote`, { token, body });
      expect(voted.status, voted.text).toBe(200);
    }
    const { page, faults, close } = await stage.visit({ as: hall.founder });
    await page.goto(`${stage.url}/ballots/${ballotId}`);
    await page.getByText('230 votes so far').waitFor();
    expect(await page.getByText('115 ego, 50%', { exact: true }).count()).toBe(2);
    const row = page.getByRole('region', { name: 'Who votes' }).last().locator('tbody tr');
    await row.first().waitFor();
    expect(await row.count()).toBe(100);
    await page.getByRole('button', { name: 'Show more' }).click();
    await row.nth(199).waitFor();
    await page.getByRole('button', { name: 'Show more' }).click();
    await row.nth(230).waitFor();
    expect(await row.count()).toBe(231);
    expect(faults).toEqual([]);
    await close();
  }, 180_000);
});
