import { MockActivityEnvironment } from '@temporalio/testing';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createDeliveryActivities } from '../../activities/deliveries.ts';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { channelSecretsAbout, createPosting, type Posting } from '../../integrations/channels/posting.ts';
import { createGuardedFetch } from '../../integrations/guarded-fetch.ts';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { createChannelStore, resumeDrops, setChannelSecrets, stopDrops } from '../../stores/channels.ts';
import { createDeliveryStore } from '../../stores/deliveries.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { newId } from '../../stores/ids.ts';
import { createPublishingStore } from '../../stores/publishing.ts';
import { startDiscordDouble } from '../support/channels/discord.ts';
import { startMastodonDouble } from '../support/channels/mastodon.ts';
import { startWebhookDouble } from '../support/channels/webhook.ts';
import { type DropStage, openDropStage } from '../support/drops.ts';
import { until } from '../support/lab.ts';
import { applyFleet, testWebhookKey } from '../support/outbound.ts';
import { applyRetention } from '../support/retention.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

/** What is in doubt, held back or taken back: nothing of it is sent that somebody no longer wants, and all of it is told. */

let store: StoreScope;
let stage: DropStage;
let deliveries: ReturnType<typeof createDeliveryStore>;
let mastodon: Awaited<ReturnType<typeof startMastodonDouble>>;
let discord: Awaited<ReturnType<typeof startDiscordDouble>>;
let webhook: Awaited<ReturnType<typeof startWebhookDouble>>;
const ref = (id: string) => ({ ownerId: testOwner, id });
const rules = { lateAfter: 3_600, lateSpacing: 600, missedAfter: 86_400 };
const box = createSecretBox(Buffer.from(testWebhookKey, 'base64url'));
const secret = `whsec_${Buffer.alloc(32, 5).toString('base64')}`;

beforeAll(async () => {
  store = await openStoreScope();
  await applyFleet(store.db, testOwner, {
    drops: { allowPrivate: ['127.0.0.1'], lateAfter: '1h', lateSpacing: '10m', missedAfter: '1d' },
  });
  [mastodon, discord, webhook] = [await startMastodonDouble(), await startDiscordDouble(), await startWebhookDouble()];
  stage = await openDropStage({ ...store, ownerId: testOwner });
  deliveries = createDeliveryStore(store.db);
});
afterAll(async () => {
  await stage?.close();
  await Promise.all([mastodon?.close(), discord?.close(), webhook?.close()]);
  await store?.close();
});
beforeEach(async () => {
  await sql`update destinations set next_slot = now(), next_late_slot = now(), not_before = now(), last_at = null`.execute(
    store.db,
  );
});

const toWebhook = () =>
  stage.channel({ kind: 'webhook', settings: { url: `${webhook.url}/hooks` }, secrets: { secret } });
const toMastodon = () =>
  stage.channel({
    kind: 'mastodon',
    settings: { server: mastodon.url },
    secrets: { accessToken: mastodon.token },
  });
const toBot = () =>
  stage.channel({
    kind: 'discord_bot',
    settings: { server: discord.url, channelId: '42' },
    secrets: { botToken: discord.botToken },
  });

/** A drop whose workers are away, with the id of its delivery. */
async function leaving(channel: string): Promise<{ id: string; deliveryId: string }> {
  await stage.stopPosting();
  const id = await stage.publish({ channels: [channel] });
  await stage.state(id, 'publishing');
  return { id, deliveryId: (await stage.delivery(id)).id };
}
/** An attempt of which nobody knows. */
async function doubted(deliveryId: string): Promise<void> {
  expect(await deliveries.begin(deliveryId, 'x', rules)).toMatchObject({ kind: 'begun' });
  await deliveries.end(deliveryId, 1, { outcome: 'unknown', reason: 'the answer broke off' });
}
const openNotices = async (deliveryId: string) =>
  (
    await store.db
      .selectFrom('notices')
      .select('kind')
      .where('key', '=', `delivery:${deliveryId}`)
      .where('resolvedAt', 'is', null)
      .execute()
  ).map(({ kind }) => kind);
const stop = () => store.db.transaction().execute((tx) => stopDrops(tx, testOwner, ''));
const resume = () => store.db.transaction().execute((tx) => resumeDrops(tx, testOwner));

test.each(['all posts are stopped', 'the secrets of the channel are changed'])(
  'an attempt was opened, and %s before its connection stands: no byte leaves',
  async (what) => {
    const channel = await toWebhook();
    const { id, deliveryId } = await leaving(channel);
    const channels = createChannelStore(store.db);
    const real = createPosting({
      guardedFetch: createGuardedFetch(),
      box,
      allowPrivate: () => Promise.resolve(['127.0.0.1']),
    });
    const post: Posting['post'] = async (...args) => {
      if (what.startsWith('all')) await stop();
      else await renewed(channel);
      return real.post(...args);
    };
    const fleet = createFleetReader(createFleetStore(store.db));
    const activities = createDeliveryActivities({ deliveries, channels, posting: { ...real, post }, fleet });
    const before = webhook.requests.length;
    await expect(new MockActivityEnvironment().run(() => activities.tryPost({ deliveryId }))).rejects.toThrow(
      'meanwhile',
    );
    expect(webhook.requests).toHaveLength(before);
    expect(await stage.outcomes(id)).toEqual(['deferred']);
    await resume();
    await stage.startPosting();
    await stage.state(id, 'published');
    expect(webhook.posts.filter(({ text }) => text.includes(id))).toHaveLength(1);
  },
);

async function renewed(channel: string): Promise<void> {
  const { destination } = await store.db
    .selectFrom('channels')
    .select('destination')
    .where('id', '=', channel)
    .executeTakeFirstOrThrow();
  const sealed = box.seal(JSON.stringify({ secret }), channelSecretsAbout(channel));
  await store.db.transaction().execute((tx) => setChannelSecrets(tx, ref(channel), { sealed, destination }));
}

test('a key that runs out while all posts are stopped: the doubt is told at once, and not only when they go on', async () => {
  const { deliveryId } = await leaving(await toMastodon());
  await doubted(deliveryId);
  await stop();
  expect(await deliveries.turn(deliveryId, rules)).toMatchObject({ kind: 'wait' });
  await stage.age(deliveryId, 3_300);
  expect(await deliveries.turn(deliveryId, rules)).toEqual({ kind: 'ended', state: 'unconfirmed' });
  expect(await openNotices(deliveryId)).toEqual(['delivery_unconfirmed']);
  await resume();
});

test('a key is of an account: with other secrets nothing in doubt is sent again', async () => {
  const channel = await toBot();
  const { deliveryId } = await leaving(channel);
  await doubted(deliveryId);
  expect(await deliveries.turn(deliveryId, rules)).not.toMatchObject({ kind: 'ended' });
  await renewed(channel);
  expect(await deliveries.turn(deliveryId, rules)).toEqual({ kind: 'ended', state: 'unconfirmed' });
});

test('what was tried and then held back for days is missed, and within the day stands in the row of the late', async () => {
  const { deliveryId } = await leaving(await toWebhook());
  expect(await deliveries.begin(deliveryId, 'x', rules)).toMatchObject({ kind: 'begun' });
  await deliveries.end(deliveryId, 1, { outcome: 'deferred', reason: 'no connection' });
  const due = (ago: string) =>
    sql`update deliveries set due_at = now() - ${ago}::interval where id = ${deliveryId}`.execute(store.db);
  await sql`update destinations set next_late_slot = now() + interval '5 minutes'`.execute(store.db);
  await due('2 hours');
  const turn = await deliveries.turn(deliveryId, rules);
  expect(turn).toMatchObject({ kind: 'wait' });
  expect((turn as { seconds: number }).seconds).toBeGreaterThan(200);
  await due('2 days');
  expect(await deliveries.turn(deliveryId, rules)).toEqual({ kind: 'ended', state: 'failed' });
  expect((await openNotices(deliveryId)).length).toBe(1);
});

test('what it rests on was forgotten while it was held back: it is not sent', async () => {
  const { id, deliveryId } = await leaving(await toWebhook());
  await stop();
  await sql`update drops set evidence = ${[newId('reflection')]} where id = ${id}`.execute(store.db);
  await resume();
  expect(await deliveries.begin(deliveryId, 'x', rules)).toEqual({ kind: 'ended', state: 'failed' });
  expect((await stage.delivery(id)).reason).toBe('what it rests on was forgotten');
});

test('taken back while in doubt: it is not sent again, and a person is asked whether it is there', async () => {
  const { id, deliveryId } = await leaving(await toWebhook());
  await doubted(deliveryId);
  const before = webhook.requests.length;
  await store.db
    .transaction()
    .execute((tx) => createPublishingStore(store.db).takeBack(tx, ref(id), { by: 'tok_test' }));
  expect((await stage.delivery(id)).state).toBe('unconfirmed');
  expect((await stage.drop(id)).state).toBe('partly_published');
  expect(await openNotices(deliveryId)).toEqual(['delivery_unconfirmed']);
  await stage.startPosting();
  expect(await deliveries.turn(deliveryId, rules)).toEqual({ kind: 'ended', state: 'unconfirmed' });
  expect(webhook.requests).toHaveLength(before);
});

test('however old, what nobody has looked at stays; what ended otherwise leaves', async () => {
  const { id, deliveryId } = await leaving(await toBot());
  await doubted(deliveryId);
  await stage.age(deliveryId, 200);
  await deliveries.turn(deliveryId, rules);
  expect((await stage.delivery(id)).state).toBe('unconfirmed');
  const other = await leaving(await toWebhook());
  await sql`update deliveries set due_at = now() - interval '3 days' where id = ${other.deliveryId}`.execute(store.db);
  await deliveries.turn(other.deliveryId, rules);
  await sql`update drops set ended_at = now() - interval '900 days' where id in (${id}, ${other.id})`.execute(store.db);
  await applyRetention(store.db);
  const { rows } = await sql<{ id: string }>`select id from drops where id in (${id}, ${other.id})`.execute(store.db);
  expect(rows).toEqual([{ id }]);
});

test('what a service answers is kept without secrets, control characters and addresses that nobody should open', async () => {
  await stage.stopPosting();
  await stage.startPosting();
  const { pathname } = new URL(discord.webhookUrl);
  const hook = await stage.channel({ kind: 'discord_webhook', secrets: { url: `${discord.webhookUrl}?thread_id=7` } });
  discord.fail({ status: 400, body: `<pre>Cannot\0 POST ${pathname}</pre>` });
  const refused = await stage.publish({ channels: [hook] });
  await stage.state(refused, 'failed');
  const { reason } = await stage.delivery(refused);
  expect(reason).toMatch(/^it answered 400: <pre>Cannot POST /);
  expect(reason).not.toContain(pathname.split('/').at(-1));
  expect(Object.fromEntries(discord.posted().at(-1)!.query)).toEqual({ thread_id: '7', wait: 'true' });

  mastodon.fail({ status: 200, body: { id: '1\0', url: 'javascript:alert(1)' } });
  const posted = await stage.publish({ channels: [await toMastodon()] });
  await until('it is published', async () => (await stage.delivery(posted))?.state === 'published');
  expect(await stage.delivery(posted)).toMatchObject({ url: null, remoteId: '1' });
});
