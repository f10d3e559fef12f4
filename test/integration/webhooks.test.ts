import type { ServerResponse } from 'node:http';
import { sql } from 'kysely';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createGuardedFetch } from '../../integrations/guarded-fetch.ts';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { isSigned } from '../../integrations/standard-webhooks.ts';
import { createWebhookSender, webhookSecretAbout } from '../../integrations/webhook-sender.ts';
import { mostAtOnce, mostAtOnceOfOwner, mostRedeliveries, mostRedeliveriesAtOnce } from '../../domain/webhooks.ts';
import { newId } from '../../stores/ids.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { createWebhookDeliveryStore } from '../../stores/webhook-deliveries.ts';
import { queueWebhookEvent } from '../../stores/webhook-events.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { giveLicense } from '../support/licenses.ts';
import { addPerson } from '../support/market.ts';
import { applyFleet, openOutbound, testWebhookKey } from '../support/outbound.ts';
import { applyRetention } from '../support/retention.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../support/webhook-receiver.ts';

let api: ApiFixture;
let receiver: WebhookReceiver;
let outbound: Awaited<ReturnType<typeof openOutbound>>;
/** In place of what the rules say, also in a line. */
let waitSeconds = 0.05;
const box = createSecretBox(Buffer.from(testWebhookKey, 'base64url'));

beforeAll(async () => {
  api = await createApiFixture();
  await applyFleet(api.db, api.ownerId, { webhooks: { allowPrivate: ['127.0.0.1'] } });
  receiver = await startWebhookReceiver();
  outbound = await openOutbound(api, {}, { waitSeconds: () => waitSeconds });
});
afterAll(async () => {
  await outbound?.close();
  await receiver?.close();
  await api?.close();
});

interface Endpoint {
  id: string;
  secret: string;
  secretId: string;
  ownerId: string;
}

/** The one endpoint there is from now on, so that no event of another test comes to it. */
async function endpoint(path: string, body: Record<string, unknown> = {}): Promise<Endpoint & { token: string }> {
  await sql`delete from webhooks`.execute(api.db);
  await sql`delete from notices`.execute(api.db);
  const token = api.tokens.member;
  const made = await api.call('POST', '/v1/webhooks', { token, body: { url: receiver.url(path), ...body } });
  expect(made.status, made.text).toBe(201);
  return { ...(made.json as unknown as Endpoint), ownerId: api.ownerId, token };
}

const revoked = (licenseId = newId('license')) => ({
  licenseId,
  holderId: newId('user'),
  packageHash: 'a'.repeat(64),
  purchaseId: null,
  revokedAt: '2026-11-21T10:00:00.000Z',
});

function tell(ownerId: string, data = revoked()): Promise<number> {
  return api.db.transaction().execute((tx) => queueWebhookEvent(tx, ownerId, 'license.revoked', data));
}

async function deliveries({ id, token }: { id: string; token: string }) {
  return (await api.call('GET', `/v1/webhooks/${id}/deliveries`, { token })).json.items;
}
const settled = (of: { id: string; token: string }) =>
  until('every delivery has ended', async () => (await deliveries(of)).every((one) => one['endedAt'] !== null));

const headersOf = (event: { headers: object }) => event.headers as Record<string, string>;

test('a revoked license is told to who issued it, signed so that the reference library takes it', async () => {
  const made = await api.call('POST', '/v1/webhooks', {
    body: { url: receiver.url('/issuer'), types: ['license.revoked'] },
  });
  const { id, secret } = made.json as unknown as Endpoint;
  const license = await giveLicense(api, 'personal');
  await api.call('POST', `/v1/licenses/${license}/revoke`, { body: { reason: 'returned' } });
  // It is so already: nothing new to tell.
  await api.call('POST', `/v1/licenses/${license}/revoke`, { body: { reason: 'returned' } });
  await settled({ id, token: api.tokens.operator });
  const got = receiver.at('/issuer');
  expect(got).toHaveLength(1);
  expect(new Webhook(secret).verify(got[0]!.body, headersOf(got[0]!))).toMatchObject({
    type: 'license.revoked',
    data: { licenseId: license, holderId: api.ownerId },
  });
  expect(headersOf(got[0]!)['webhook-id']).toMatch(/^evt_/);
  expect(() => new Webhook(secret).verify(`${got[0]!.body} `, headersOf(got[0]!))).toThrow();

  // A receiver that follows the specification takes no stale one and none from the future.
  const {
    'webhook-id': webhookId,
    'webhook-timestamp': timestamp,
    'webhook-signature': signature,
  } = headersOf(got[0]!);
  const request = { id: webhookId!, timestamp: timestamp!, signature: signature!, body: Buffer.from(got[0]!.body) };
  const at = (seconds: number) => new Date((Number(timestamp) + seconds) * 1000);
  expect([0, 299, -299, 301, -301].map((seconds) => isSigned([secret], request, at(seconds)))).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
  await api.call('DELETE', `/v1/webhooks/${id}`);
});

test('the same event is told once; what is rolled back never', async () => {
  const to = await endpoint('/once');
  const data = revoked();
  const told = await Promise.all(Array.from({ length: 20 }, () => tell(to.ownerId, data)));
  expect(told.reduce((sum, one) => sum + one, 0)).toBe(1);
  await expect(
    api.db.transaction().execute(async (tx) => {
      await queueWebhookEvent(tx, to.ownerId, 'license.revoked', revoked());
      throw new Error('undone');
    }),
  ).rejects.toThrow('undone');
  await settled(to);
  expect(receiver.at('/once')).toHaveLength(1);
  expect(await deliveries(to)).toMatchObject([{ state: 'delivered', attempts: 1, status: 204 }]);
  // Of others' events, and of types that it does not take, it hears nothing.
  expect(await tell(api.stranger.ownerId)).toBe(0);
  const other = await endpoint('/other', { types: ['order.paid'] });
  expect(await tell(other.ownerId)).toBe(0);
});

test('every try has the same webhook-id and a signature of its own time; Retry-After and failures are waited out', async () => {
  const to = await endpoint('/flaky');
  receiver.answer(
    '/flaky',
    (response) => response.writeHead(500).end(),
    (response) => response.destroy(),
    (response) => response.writeHead(429, { 'retry-after': '1.5' }).end(),
    (response) => response.writeHead(302, { location: receiver.url('/elsewhere') }).end(),
  );
  await tell(to.ownerId);
  await settled(to);
  const got = receiver.at('/flaky');
  expect(got).toHaveLength(5);
  expect(new Set(got.map((event) => headersOf(event)['webhook-id'])).size).toBe(1);
  expect(new Set(got.map(({ body }) => body)).size).toBe(1);
  for (const event of got) new Webhook(to.secret).verify(event.body, headersOf(event));
  // A redirect is an answer like another, and leads nowhere.
  expect(receiver.at('/elsewhere')).toEqual([]);
  const [delivery] = await deliveries(to);
  expect(delivery).toMatchObject({ state: 'delivered', attempts: 5 });
  const { rows } = await sql<{ status: number | null; reason: string }>`select status, reason from webhook_attempts
    where delivery_id = ${delivery!['id'] as string} order by attempt`.execute(api.db);
  expect(rows.map(({ status }) => status)).toEqual([500, null, 429, 302, 204]);
  expect(rows[3]!.reason).toContain('no redirect is followed');
});

test('what cannot be delivered is given up on with a notice, and delivered again when asked for, under the same id', async () => {
  const to = await endpoint('/down');
  receiver.answer(
    '/down',
    ...Array.from(
      { length: 9 },
      () => (response: { writeHead(n: number): { end(): void } }) => response.writeHead(503).end(),
    ),
  );
  await tell(to.ownerId);
  await settled(to);
  const [failed] = await deliveries(to);
  expect(failed).toMatchObject({ state: 'failed', attempts: 9, status: 503 });
  const inbox = async () => (await api.call('GET', '/v1/inbox', { token: to.token })).json.items;
  const path = `/v1/webhooks/${to.id}/deliveries/${failed!['id'] as string}/redeliver`;
  expect(await inbox()).toMatchObject([
    { kind: 'webhook_failing', action: `soulfra webhooks redeliver ${to.id} ${failed!['id'] as string}` },
  ]);
  expect((await api.call('POST', path, { token: api.stranger.token })).status).toBe(404);
  expect((await api.call('POST', path, { token: to.token })).status).toBe(202);
  await settled(to);
  expect(await deliveries(to)).toMatchObject([{ state: 'delivered', attempts: 10 }]);
  expect(await inbox()).toEqual([]);
  expect(new Set(receiver.at('/down').map((event) => headersOf(event)['webhook-id'])).size).toBe(1);
});

test('410 disables an endpoint until its owner takes it up again', async () => {
  const to = await endpoint('/gone');
  receiver.answer('/gone', (response) => response.writeHead(410).end());
  await tell(to.ownerId);
  await settled(to);
  expect((await api.call('GET', '/v1/webhooks', { token: to.token })).json.items).toMatchObject([
    { state: 'disabled', reason: 'it answered 410' },
  ]);
  expect((await api.call('GET', '/v1/inbox', { token: to.token })).json.items).toMatchObject([
    { kind: 'webhook_disabled' },
  ]);
  expect(await tell(to.ownerId)).toBe(0);
  const [delivery] = await deliveries(to);
  const again = `/v1/webhooks/${to.id}/deliveries/${delivery!['id'] as string}/redeliver`;
  expect((await api.call('POST', again, { token: to.token })).json['code']).toBe('CONFLICT');
  expect((await api.call('POST', `/v1/webhooks/${to.id}/enable`, { token: to.token })).json['state']).toBe('active');
  expect(await tell(to.ownerId)).toBe(1);
  await settled(to);
  expect(receiver.at('/gone')).toHaveLength(2);
});

test('two secrets may be live and both sign; the last one stays', async () => {
  const to = await endpoint('/rotated');
  const secrets = `/v1/webhooks/${to.id}/secrets`;
  const made = await api.call('POST', secrets, { token: to.token });
  const next = made.json as unknown as { secret: string; secretId: string };
  expect((await api.call('POST', secrets, { token: to.token })).json['code']).toBe('CONFLICT');
  await tell(to.ownerId);
  await settled(to);
  const [both] = receiver.at('/rotated');
  for (const secret of [to.secret, next.secret]) new Webhook(secret).verify(both!.body, headersOf(both!));
  expect((await api.call('DELETE', `${secrets}/${to.secretId}`, { token: api.stranger.token })).status).toBe(404);
  expect((await api.call('DELETE', `${secrets}/${to.secretId}`, { token: to.token })).status).toBe(204);
  expect((await api.call('DELETE', `${secrets}/${next.secretId}`, { token: to.token })).json['code']).toBe('CONFLICT');
  await tell(to.ownerId);
  await settled(to);
  const one = receiver.at('/rotated')[1]!;
  new Webhook(next.secret).verify(one.body, headersOf(one));
  expect(() => new Webhook(to.secret).verify(one.body, headersOf(one))).toThrow('No matching signature');
  // None can be read again, by anybody.
  const { rows } = await sql<{ held: boolean }>`select exists (select from webhook_secrets s
    where s::text like ${`%${next.secret.slice(8)}%`} or encode(s.sealed, 'escape') like ${`%${next.secret.slice(8)}%`}) as held`.execute(
    api.db,
  );
  expect(rows[0]?.held).toBe(false);
  const shown = await api.call('GET', '/v1/webhooks', { token: to.token });
  expect(shown.text).not.toContain('whsec_');
});

test('private addresses are refused at every try, also where a name leads there', async () => {
  const to = await endpoint('/inside');
  await sql`update webhooks set url = 'https://metadata.internal.example/' where id = ${to.id}`.execute(api.db);
  const sealed = box.seal(to.secret, webhookSecretAbout(to.secretId));
  const sent: string[] = [];
  for (const address of ['127.0.0.1', '10.0.0.7', '169.254.169.254', '::1', '::ffff:192.168.1.1', 'fd00::1']) {
    const send = createWebhookSender({
      guardedFetch: createGuardedFetch({
        resolve: () => Promise.resolve([{ address, family: address.includes(':') ? 6 : 4 }]),
      }),
      box,
      allowPrivate: () => Promise.resolve([]),
    });
    const { status, reason } = await send({
      id: 'evt_1',
      ownerId: api.ownerId,
      url: `https://hooks.example:${receiver.port}/inside`,
      body: '{}',
      secrets: [{ id: to.secretId, sealed }],
      signal: new AbortController().signal,
    });
    sent.push(`${status} ${/private|never fetched/.exec(reason)?.[0]}`);
  }
  expect(sent).toEqual([
    'undefined private',
    'undefined private',
    'undefined never fetched',
    'undefined private',
    'undefined private',
    'undefined private',
  ]);
  expect(receiver.at('/inside')).toEqual([]);
});

test('hosts of the operator are open to the operator’s endpoints and to nobody else’s', async () => {
  const to = await endpoint('/operator');
  await tell(to.ownerId);
  await settled(to);
  expect(receiver.at('/operator')).toHaveLength(1);
  const ownerId = newId('user');
  await api.db.insertInto('users').values({ id: ownerId, name: 'shop', role: 'member' }).execute();
  const { secret: token } = await createPrincipalStore(api.db).issue({
    ownerId,
    kind: 'bearer',
    role: 'member',
    name: '',
  });
  const url = receiver.url('/operator');
  expect((await api.call('POST', '/v1/webhooks', { token, body: { url } })).json['code']).toBe('INVALID_INPUT');
  const made = await api.call('POST', '/v1/webhooks', { token, body: { url: url.replace('http:', 'https:') } });
  const theirs = { id: made.json['id'] as string, token };
  await sql`update webhooks set url = ${url} where id = ${theirs.id}`.execute(api.db);
  expect(await tell(ownerId)).toBe(1);
  await settled(theirs);
  expect(await deliveries(theirs)).toMatchObject([{ state: 'failed', reason: '127.0.0.1 is a private address' }]);
  expect(receiver.at('/operator')).toHaveLength(1);
});

test('without the key, or with another one, nothing goes unsigned', async () => {
  const to = await endpoint('/unsigned');
  const sealed = box.seal(to.secret, webhookSecretAbout(to.secretId));
  for (const wrong of [undefined, createSecretBox(Buffer.alloc(32, 1))]) {
    const send = createWebhookSender({
      guardedFetch: createGuardedFetch(),
      box: wrong,
      allowPrivate: () => Promise.resolve(['127.0.0.1']),
    });
    const answer = await send({
      id: 'evt_1',
      ownerId: api.ownerId,
      url: receiver.url('/unsigned'),
      body: '{}',
      secrets: [{ id: to.secretId, sealed }],
      signal: new AbortController().signal,
    });
    expect(answer).toMatchObject({ status: undefined, reason: expect.stringContaining('SOULFRA_WEBHOOK_KEY') });
  }
  expect(receiver.at('/unsigned')).toEqual([]);
});

test('an answer’s body is not read, however long', async () => {
  const to = await endpoint('/long');
  receiver.answer('/long', (response) => {
    response.writeHead(200);
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
      response.once('drain', more);
    };
    more();
  });
  await tell(to.ownerId);
  await settled(to);
  expect(await deliveries(to)).toMatchObject([{ state: 'delivered', attempts: 1, status: 200 }]);
});

test('an endpoint that is slow has two deliveries at once, and all come', async () => {
  const to = await endpoint('/slow');
  let open = 0;
  let most = 0;
  receiver.answer(
    '/slow',
    ...Array.from({ length: 6 }, () => (response: { writeHead(n: number): { end(): void } }) => {
      open += 1;
      most = Math.max(most, open);
      setTimeout(() => {
        open -= 1;
        response.writeHead(204).end();
      }, 300);
    }),
  );
  await Promise.all(Array.from({ length: 6 }, () => tell(to.ownerId)));
  await settled(to);
  expect(receiver.at('/slow')).toHaveLength(6);
  expect(most).toBe(2);
});

/** Another endpoint of the same owner. */
async function anotherEndpoint(path: string, token: string): Promise<Endpoint & { token: string }> {
  const made = await api.call('POST', '/v1/webhooks', { token, body: { url: receiver.url(path) } });
  expect(made.status, made.text).toBe(201);
  return { ...(made.json as unknown as Endpoint), ownerId: api.ownerId, token };
}

test('an owner of ten endpoints that all hang holds up nobody else', async () => {
  const first = await endpoint('/hangs-0');
  const own = [first];
  for (let i = 1; i < 10; i += 1) own.push(await anotherEndpoint(`/hangs-${i}`, first.token));
  // Those in line look again as seldom as they would: else looking is all that this machine does.
  waitSeconds = 5;
  const held: ServerResponse[] = [];
  for (const i of own.keys())
    receiver.answer(
      `/hangs-${i}`,
      ...Array.from({ length: 4 }, () => (response: ServerResponse) => held.push(response)),
    );
  for (let i = 0; i < 4; i += 1) await tell(first.ownerId);
  await until('as many hang as an owner may have under way', () => Promise.resolve(held.length >= mostAtOnceOfOwner));

  // Somebody else's is tried while all of those hang.
  const other = await addPerson(api.db, 'shop');
  const made = await api.call('POST', '/v1/webhooks', { token: other.token, body: { url: 'https://127.0.0.1:1/' } });
  const theirs = { id: made.json['id'] as string, token: other.token };
  expect(await tell(other.ownerId)).toBe(1);
  await until('it is tried', async () => Number((await deliveries(theirs))[0]!['attempts']) > 0);
  const { rows } = await sql<{ under: number }>`select count(*) as under
    from webhook_attempts a join webhook_deliveries d on d.id = a.delivery_id, (select min(t.began_at) as began_at
      from webhook_attempts t join webhook_deliveries o on o.id = t.delivery_id where o.webhook_id = ${theirs.id}) their
    where d.webhook_id = any(${own.map(({ id }) => id)}) and a.began_at < their.began_at
      and (a.ended_at is null or a.ended_at > their.began_at)`.execute(api.db);
  expect(rows).toEqual([{ under: mostAtOnceOfOwner }]);
  await api.call('DELETE', `/v1/webhooks/${theirs.id}`, { token: other.token });

  // Let go, every one of the forty comes; nobody is left in the line.
  waitSeconds = 0.05;
  for (const i of own.keys()) receiver.answer(`/hangs-${i}`);
  for (const response of held) response.writeHead(204).end();
  for (const each of own) await settled(each);
  for (const i of own.keys())
    expect(new Set(receiver.at(`/hangs-${i}`).map((event) => headersOf(event)['webhook-id'])).size).toBe(4);
  const left = await sql<{ left: number }>`select count(*) as left from webhook_deliveries
    where waits_since is not null`.execute(api.db);
  expect(left.rows).toEqual([{ left: 0 }]);
});

test('an endpoint’s line keeps its order, and of all that begin at once no more than may do', async () => {
  const first = await endpoint('/line-0');
  const others = [await anotherEndpoint('/line-1', first.token), await anotherEndpoint('/line-2', first.token)];
  const store = createWebhookDeliveryStore(api.db);
  await api.db.transaction().execute(async (tx) => {
    for (let i = 0; i < 15; i += 1) await queueWebhookEvent(tx, first.ownerId, 'license.revoked', revoked());
    // Only the test takes its turns.
    await sql`delete from intents`.execute(tx);
  });
  const ids = (await Promise.all([first, ...others].map(deliveries))).flat().map(({ id }) => id as string);
  expect(ids).toHaveLength(45);
  // All at once, on as many connections as there are: exactly as many begin as may.
  const turns = await Promise.all(ids.map((id) => store.begin(id)));
  const begun = turns.flatMap((turn) => ('send' in turn ? [turn.send] : []));
  expect(begun).toHaveLength(mostAtOnceOfOwner);
  const line = await sql<{ id: string; webhookId: string }>`select id, webhook_id as "webhookId"
    from webhook_deliveries where waits_since is not null order by waits_since`.execute(api.db);
  const waiting = line.rows.map(({ id }) => id);
  expect(waiting).toHaveLength(45 - mostAtOnceOfOwner);
  // Asked again in whatever order each keeps its place: the last ones wait the longest.
  const waits = new Map<string, number>();
  for (const id of waiting.toReversed()) {
    const turn = await store.begin(id);
    waits.set(id, 'step' in turn ? turn.step.againInSeconds! : 0);
  }
  for (const places of Map.groupBy(line.rows, ({ webhookId }) => webhookId).values())
    expect(places.map(({ id }) => waits.get(id))).toEqual(places.map((_, ahead) => Math.max(5, ahead)));
  await store.end(begun[0]!, { status: 204, reason: '' });
  const next = await Promise.all(waiting.map((id) => store.begin(id)));
  expect(next.filter((turn) => 'send' in turn)).toHaveLength(1);
});

test('a delivery is asked for again twenty times at the most, and twenty of an owner at once', async () => {
  const to = await endpoint('/again');
  const ask = (id: string) => api.call('POST', `/v1/webhooks/${to.id}/deliveries/${id}/redeliver`, { token: to.token });
  await api.db.transaction().execute(async (tx) => {
    for (let i = 0; i < mostRedeliveriesAtOnce + 5; i += 1)
      await queueWebhookEvent(tx, to.ownerId, 'license.revoked', revoked());
    // Nobody takes a turn.
    await sql`delete from intents`.execute(tx);
  });
  await sql`update webhook_deliveries set state = 'failed', ended_at = now() where webhook_id = ${to.id}`.execute(
    api.db,
  );
  const { rows } = await sql<{ id: string }>`select id from webhook_deliveries where webhook_id = ${to.id}`.execute(
    api.db,
  );
  // What hangs, and what waits behind it, stays under way.
  const held: ServerResponse[] = [];
  receiver.answer('/again', ...rows.map(() => (response: ServerResponse) => held.push(response)));
  const answers = await Promise.all(rows.map(({ id }) => ask(id)));
  expect(answers.filter(({ status }) => status === 202)).toHaveLength(mostRedeliveriesAtOnce);
  const late = rows.filter((_, i) => answers[i]!.status !== 202).map(({ id }) => id);
  for (const id of late) expect(await ask(id)).toMatchObject({ status: 409, json: { code: 'CONFLICT' } });
  await until('they hang', () => Promise.resolve(held.length === mostAtOnce));
  receiver.answer('/again');
  for (const response of held) response.writeHead(204).end();
  await settled(to);
  expect(receiver.at('/again')).toHaveLength(mostRedeliveriesAtOnce);

  // There is room again, but not for one that was asked for too often.
  const [one, other] = late;
  await sql`update webhook_deliveries set redeliveries = ${mostRedeliveries - 1} where id = ${one}`.execute(api.db);
  expect([(await ask(other!)).status, (await ask(one!)).status]).toEqual([202, 202]);
  await settled(to);
  expect(await ask(one!)).toMatchObject({
    status: 409,
    json: { detail: expect.stringContaining(`${mostRedeliveries} times`) },
  });
  expect((await ask(other!)).status).toBe(202);
  await settled(to);
});

test('a try that was cut off is begun anew; one that is told late counts only where it arrived', async () => {
  const to = await endpoint('/late');
  const store = createWebhookDeliveryStore(api.db);
  await api.db.transaction().execute(async (tx) => {
    await queueWebhookEvent(tx, to.ownerId, 'license.revoked', revoked());
    // Only the test takes its turns.
    await sql`delete from intents`.execute(tx);
  });
  const [{ id: deliveryId } = { id: '' }] = (await deliveries(to)) as Array<{ id: string }>;
  const [first, second] = [await store.begin(deliveryId), await store.begin(deliveryId)];
  if (!('send' in first) || !('send' in second)) throw new Error('it was not their turn');
  expect([first.send.attempt, second.send.attempt]).toEqual([1, 2]);
  expect(first.send.eventId).toBe(second.send.eventId);
  // Somebody else has it in hand: whoever waits for it goes on waiting.
  expect(await store.end(first.send, { status: 500, reason: 'late' })).toEqual({
    state: 'sending',
    againInSeconds: 60,
  });
  expect(await store.end(first.send, { status: 200, reason: 'late' })).toEqual({ state: 'delivered' });
  expect(await store.begin(deliveryId)).toEqual({ step: { state: 'delivered' } });
  // What the second comes to changes nothing that was delivered.
  await store.end(second.send, { status: 500, reason: 'too late' });
  expect(await deliveries(to)).toMatchObject([{ state: 'delivered' }]);
});

test('an endpoint is removed with all that was for it; a delivery under way ends', async () => {
  const to = await endpoint('/removed');
  receiver.answer('/removed', (response) => response.writeHead(500).end());
  await tell(to.ownerId);
  await until('it was tried', () => Promise.resolve(receiver.at('/removed').length > 0));
  expect((await api.call('DELETE', `/v1/webhooks/${to.id}`, { token: api.stranger.token })).status).toBe(404);
  expect((await api.call('DELETE', `/v1/webhooks/${to.id}`, { token: to.token })).status).toBe(204);
  const { rows } = await sql<{
    left: number;
  }>`select count(*) as left from webhook_deliveries where webhook_id = ${to.id}`.execute(api.db);
  expect(rows[0]?.left).toBe(0);
});

test('ten endpoints an owner, also when asked for at once; what is old leaves', async () => {
  const to = await endpoint('/many');
  const add = () => api.call('POST', '/v1/webhooks', { token: to.token, body: { url: receiver.url('/many') } });
  const statuses = (await Promise.all(Array.from({ length: 12 }, add))).map(({ status }) => status);
  expect(statuses.filter((status) => status === 201)).toHaveLength(9);
  expect(statuses.filter((status) => status === 409)).toHaveLength(3);

  const old = await endpoint('/old');
  await tell(old.ownerId);
  await settled(old);
  const eventId = (await deliveries(old))[0]!['eventId'];
  await sql`update webhook_deliveries set ended_at = now() - interval '40 days' where webhook_id = ${old.id}`.execute(
    api.db,
  );
  await sql`update webhook_events set created_at = now() - interval '40 days' where id = ${eventId}`.execute(api.db);
  await applyRetention(api.db);
  expect(await deliveries(old)).toEqual([]);
  const events = await api.db.selectFrom('webhookEvents').select('id').where('ownerId', '=', old.ownerId).execute();
  expect(events.length).toBeGreaterThan(0);
  expect(events.map(({ id }) => id)).not.toContain(eventId);
});
