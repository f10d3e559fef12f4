import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createBallotStore } from '../../stores/ballots.ts';
import { addMember, type GuildHall, openGuildHall } from '../support/guilds.ts';
import { until } from '../support/lab.ts';
import { type MailServer, startMailServer } from '../support/mail-server.ts';
import { addPerson } from '../support/market.ts';
import { axeFindings, lacksBrowser, openUiStage, settled, type UiStage } from '../support/ui-stage.ts';

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

  test('several browsers vote, and each sees the tally as it is, live', async () => {
    const guildId = await hall.found();
    const voters = await Promise.all(['ada', 'bea', 'carl', 'dora'].map((name) => addPerson(hall.db, name)));
    for (const { ownerId } of voters) await addMember(hall.db, guildId, { ownerId });
    const proposed = await hall.api.call('POST', '/v1/ballots', {
      token: hall.founder.token,
      body: { title: 'A second ferry', options: ['Ferry', 'Bridge'], guildId, discussion: '0s', vote: '1d' },
    });
    const ballotId = proposed.json['id'] as string;
    await createBallotStore(hall.db).openVote(ballotId);
    const watching = await stage.visit({ as: hall.founder });
    await watching.page.goto(`${stage.url}/ballots/${ballotId}`);
    await watching.page.getByText('0 votes so far').waitFor();
    await watching.page.evaluate('window.loadedOnce = true');

    const cast = async (i: number, option: string) => {
      const { page, faults, close } = await stage.visit({ as: voters[i]!, width: 390, height: 844 });
      await page.goto(`${stage.url}/ballots/${ballotId}`);
      await settled(page);
      await page.getByRole('radio', { name: option }).check();
      await page.getByRole('button', { name: 'Vote', exact: true }).click();
      await page
        .getByText(/^Your vote counts with 1 ego/)
        .first()
        .waitFor();
      expect(faults).toEqual([]);
      await close();
    };
    await Promise.all([cast(0, 'Ferry'), cast(1, 'Ferry'), cast(2, 'Bridge'), cast(3, 'Ferry')]);
    await watching.page.getByText('4 votes so far').waitFor();
    await watching.page.getByText('3 ego, 75%').waitFor();
    await watching.page.getByText('1 ego, 25%').waitFor();
    expect(await watching.page.evaluate('window.loadedOnce')).toBe(true);
    expect(watching.faults).toEqual([]);
    await watching.close();
  }, 120_000);
});
