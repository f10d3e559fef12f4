import { AtpAgent } from '@atproto/api';
import { DiscordAPIError, REST } from '@discordjs/rest';
import { IncomingWebhook } from '@slack/webhook';
import { Api, GrammyError } from 'grammy';
import { createRestAPIClient } from 'masto';
import { afterEach, expect, test } from 'vitest';
import { startBlueskyDouble } from '../support/channels/bluesky.ts';
import { startDiscordDouble } from '../support/channels/discord.ts';
import { startMastodonDouble } from '../support/channels/mastodon.ts';
import { startSlackDouble } from '../support/channels/slack.ts';
import { startTelegramDouble } from '../support/channels/telegram.ts';

/** Each double is held against the official library of its service: what that one takes for an answer, ours may. */
const open: Array<{ close(): Promise<void> }> = [];
afterEach(async () => {
  for (const double of open.splice(0)) await double.close();
});
function kept<Double extends { close(): Promise<void> }>(double: Double): Double {
  open.push(double);
  return double;
}

test('masto posts under a key, is given the same status under it again, and reads a limit as one', async () => {
  const double = kept(await startMastodonDouble({ most: 3 }));
  const client = createRestAPIClient({ url: double.url, accessToken: double.token });
  const instance = await client.v2.instance.fetch();
  expect(instance.configuration.statuses.maxCharacters).toBe(500);
  const post = (key: string) =>
    client.v1.statuses.create({ status: 'The lamp is lit.' }, { requestInit: { headers: { 'Idempotency-Key': key } } });
  const first = await post('a');
  expect((await post('a')).id).toBe(first.id);
  expect(double.posts).toHaveLength(1);
  await post('b');
  await expect(post('c')).rejects.toMatchObject({ statusCode: 429 });
});

test('discord.js posts with a nonce that is enforced, and obeys the limits of the bucket', async () => {
  const double = kept(await startDiscordDouble());
  const rest = new REST({ api: `${double.url}/api`, version: '10', retries: 0 }).setToken(double.botToken);
  const body = { content: 'The lamp is lit.', nonce: 'a', enforce_nonce: true };
  const first = (await rest.post('/channels/42/messages', { body })) as { id: string };
  expect(await rest.post('/channels/42/messages', { body })).toMatchObject({ id: first.id });
  expect(double.posts).toHaveLength(1);
  const long = rest.post('/channels/42/messages', { body: { content: 'x'.repeat(2_001) } });
  await expect(long).rejects.toBeInstanceOf(DiscordAPIError);
  const [, id, token] = /webhooks\/(\d+)\/(.+)$/.exec(double.webhookUrl)!;
  const query = new URLSearchParams({ wait: 'true' });
  const route = `/webhooks/${id}/${token}` as const;
  expect(await rest.post(route, { body: { content: 'By a webhook.' }, query, auth: false })).toMatchObject({
    content: 'By a webhook.',
  });
});

test('the webhook of Slack takes `ok` for sent, and anything else for an error', async () => {
  const double = kept(await startSlackDouble());
  expect(await new IncomingWebhook(double.webhookUrl).send('The lamp is lit.')).toEqual({ text: 'ok' });
  await expect(new IncomingWebhook(`${double.url}/services/none`).send('x')).rejects.toMatchObject({
    code: 'slack_webhook_http_error',
  });
});

test('grammY sends a message, and reads how long it is to wait', async () => {
  const double = kept(await startTelegramDouble());
  const api = new Api(double.token, { apiRoot: double.url });
  expect(await api.sendMessage(-100, 'The lamp is lit.')).toMatchObject({ message_id: 1, text: 'The lamp is lit.' });
  for (let i = 0; i < 19; i += 1) await api.sendMessage(-100, `number ${i}`);
  const refused = await api.sendMessage(-100, 'one too many').catch((err: unknown) => err);
  expect(refused).toBeInstanceOf(GrammyError);
  expect((refused as GrammyError).parameters.retry_after).toBeGreaterThan(0);
});

test('the agent of Bluesky signs in, creates a record under our key once, reads it, and refreshes its session', async () => {
  const double = kept(await startBlueskyDouble());
  const agent = new AtpAgent({ service: double.url });
  await agent.login({ identifier: double.handle, password: double.password });
  const record = { $type: 'app.bsky.feed.post', text: 'The lamp is lit.', createdAt: new Date().toISOString() };
  const at = { repo: double.did, collection: 'app.bsky.feed.post', rkey: '3lbqj5mbhzk2a' };
  const made = await agent.com.atproto.repo.createRecord({ ...at, record });
  const found = await agent.com.atproto.repo.getRecord(at);
  expect(found.data.uri).toBe(made.data.uri);
  await expect(agent.com.atproto.repo.createRecord({ ...at, record })).rejects.toMatchObject({ status: 500 });
  double.endSessions();
  await agent.resumeSession(agent.session!);
  expect((await agent.com.atproto.repo.getRecord(at)).data.value).toMatchObject({ text: record.text });
  expect(double.posts).toHaveLength(1);
});
