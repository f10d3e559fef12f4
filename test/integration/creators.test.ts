import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPurchaseActivities } from '../../activities/purchases.ts';
import { hostCrypto } from '../../config/host-crypto.ts';
import { mostLoopMemories } from '../../domain/loop-manifest.ts';
import { readLoop } from '../../domain/loop-packages.ts';
import { issueLicense } from '../../stores/licenses.ts';
import { createSweepStore } from '../../stores/sweeps.ts';
import { placementAgents } from '../../stores/placement.ts';
import { createPurchaseStore } from '../../stores/purchase-steps.ts';
import { type Answer, type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { inPieces } from '../support/loops.ts';
import { type MailServer, startMailServer } from '../support/mail-server.ts';
import { addPerson, type Person } from '../support/market.ts';
import { applyFleet, openOutbound } from '../support/outbound.ts';

let api: ApiFixture;
let server: MailServer;
let outbound: Awaited<ReturnType<typeof openOutbound>>;
let creator: Person;
let buyer: Person;

beforeAll(async () => {
  api = await createApiFixture();
  await applyFleet(api.db, api.ownerId, { people: { agentsPerCreator: 2, packagesPerCreator: 2 } });
  server = await startMailServer();
  const purchases = createPurchaseStore(api.db);
  const activities = createPurchaseActivities({ purchases, providers: {} });
  outbound = await openOutbound(api, { smtpUrl: server.url }, { activities });
  buyer = await addPerson(api.db, 'buyer');
  await api.call('POST', '/v1/credits/grants', {
    body: { userId: buyer.ownerId, amount: 10_000, currency: 'EUR', reason: 'to buy' },
    headers: { 'idempotency-key': 'grant' },
  });
});
afterAll(async () => {
  await outbound?.close();
  await server?.close();
  await api?.close();
});

const card = (name: string) => ({
  spec: 'chara_card_v2',
  spec_version: '2.0',
  data: { name, description: '{{char}} mends nets.', personality: 'calm, stubborn' },
});
const as = ({ token }: { token: string }, method: string, url: string, body?: unknown, headers = {}): Promise<Answer> =>
  api.call(method, url, { token, body, headers });
const made = (answer: Answer): Answer => {
  if (answer.status !== 201) throw new Error(answer.text);
  return answer;
};
async function bought(listingId: string): Promise<string> {
  const body = { listingId, kind: 'unlimited' };
  const purchase = made(await as(buyer, 'POST', '/v1/purchases', body, { 'idempotency-key': `buy-${listingId}` }));
  return purchase.json['licenseId'] as string;
}
const codeOf = async (id: string) => (await as(buyer, 'POST', `/v1/licenses/${id}/check`)).json['code'];

let licenseId: string;

test('who is invited as a creator gets by API alone from the link in the mail to a sale', async () => {
  const address = 'mara@harbour.example';
  const { id } = made(await api.call('POST', '/v1/users', { body: { address, role: 'creator' } })).json;
  await until('the link came', () => Promise.resolve(server.to(address).length > 0));
  const once = /#once=(sfr_[\w-]+)/.exec(server.to(address)[0]!.text)![1];
  const session = await api.call('POST', '/v1/sessions', { token: null, body: { once, as: 'token' } });
  creator = { ownerId: id as string, token: session.json['token'] as string };

  const born = made(await as(creator, 'POST', '/v1/agents/import', card('Mara')));
  expect(born.json).toMatchObject({ agentId: 'mara', born: true });
  made(await as(creator, 'POST', '/v1/agents/mara/memories', { text: 'The tide took two nets.' }));
  const packed = made(await as(creator, 'POST', '/v1/agents/mara/loops', {}));
  const offer = {
    packageId: packed.json['id'],
    price: { amount: 1_000, currency: 'EUR' },
    termsVersion: '1',
    kinds: ['unlimited'],
    modelStatement: 'Nothing in it was written by a model.',
  };
  const listing = made(await as(creator, 'POST', '/v1/listings', offer)).json['id'] as string;
  expect((await as(creator, 'POST', `/v1/listings/${listing}/list`)).status).toBe(200);

  licenseId = await bought(listing);
  const link = (await as(buyer, 'POST', `/v1/licenses/${licenseId}/download`)).json['url'] as string;
  const { rawPayload } = await api.app.inject({ method: 'GET', url: link });
  const keys = (await as(buyer, 'GET', `/v1/signing-keys?issuer=${creator.ownerId}`)).json.items;
  const { trusted, lines } = await readLoop(inPieces(rawPayload), {
    checks: hostCrypto,
    isPinned: (keyId) => keys.some((key) => key['keyId'] === keyId),
  });
  expect({ trusted, texts: lines.map(({ text }) => text) }).toEqual({
    trusted: true,
    texts: ['The tide took two nets.'],
  });
  const { rows } = await as(creator, 'GET', '/v1/purchases?as=seller').then(({ json }) => ({ rows: json.items }));
  expect(rows).toMatchObject([{ licenseId, state: 'completed' }]);
});

test('a creator defends what they sold: suspends, reinstates, rotates their key', async () => {
  const reason = 'shared with half the harbour';
  expect((await as(creator, 'POST', `/v1/licenses/${licenseId}/suspend`, { reason })).status).toBe(200);
  expect(await codeOf(licenseId)).toBe('SUSPENDED');
  expect((await as(creator, 'POST', `/v1/licenses/${licenseId}/reinstate`, { reason })).status).toBe(200);
  expect(await codeOf(licenseId)).toBe('VALID');
  const keys = (await as(creator, 'GET', `/v1/signing-keys?issuer=${creator.ownerId}`)).json.items;
  const retires = keys.find(({ state }) => state === 'signing')!['keyId'];
  expect((await as(creator, 'POST', '/v1/signing-keys/rotate', { retires })).status).toBe(200);
  // Nobody else’s: not as a buyer, not as another creator.
  const other = await addPerson(api.db, 'other', 'creator');
  expect((await as(other, 'POST', `/v1/licenses/${licenseId}/revoke`, { reason })).status).toBe(404);
  expect((await as(buyer, 'POST', `/v1/licenses/${licenseId}/revoke`, { reason })).status).toBe(403);
  expect((await as(other, 'POST', '/v1/signing-keys/rotate', { retires })).status).toBe(409);
  expect(await codeOf(licenseId)).toBe('VALID');
});

test('who runs the marketplace suspends and revokes what was sold in it, both are told why, and its issuer does not lift that', async () => {
  const operator = { token: api.tokens.operator };
  const reason = 'the package tells private words';
  const dry = await as(operator, 'POST', `/v1/licenses/${licenseId}/suspend?dryRun=true`, { reason });
  expect(dry.json['would']).toBe(`suspend ${licenseId}`);
  expect((await as(operator, 'POST', `/v1/licenses/${licenseId}/suspend`, { reason })).status).toBe(200);
  expect((await as(creator, 'POST', `/v1/licenses/${licenseId}/reinstate`, { reason })).status).toBe(409);
  expect(await codeOf(licenseId)).toBe('SUSPENDED');
  expect((await as(operator, 'POST', `/v1/licenses/${licenseId}/reinstate`, { reason })).status).toBe(200);
  expect(await codeOf(licenseId)).toBe('VALID');
  expect((await as(operator, 'POST', `/v1/licenses/${licenseId}/extend`, { uses: 5, reason })).status).toBe(404);
  // Another operator runs another fleet, not this marketplace.
  const stranger = { token: api.stranger.token };
  expect((await as(stranger, 'POST', `/v1/licenses/${licenseId}/revoke`, { reason })).status).toBe(404);
  expect((await as(operator, 'POST', `/v1/licenses/${licenseId}/revoke`, { reason })).status).toBe(200);
  expect(await codeOf(licenseId)).toBe('REVOKED');
  for (const ownerId of [creator.ownerId, buyer.ownerId]) {
    const told = await api.db
      .selectFrom('events')
      .select('data')
      .where('ownerId', '=', ownerId)
      .where('type', '=', 'license.revoked')
      .where('subject', '=', licenseId)
      .execute();
    expect(told).toMatchObject([{ data: { reason } }]);
  }
});

test('what was given by hand is its issuer’s alone', async () => {
  const { ownerId } = api.stranger;
  const packed = await as(creator, 'GET', '/v1/loops');
  const packageHash = packed.json.items[0]!['contentHash'];
  const id = 'lic_01890000-0000-7000-8000-00000000000a';
  const by = { actor: 'test', reason: 'a gift' };
  await api.db.transaction().execute((tx) =>
    issueLicense(tx, {
      id,
      holderId: ownerId,
      issuerId: creator.ownerId,
      kind: 'personal',
      packageHash: String(packageHash),
      by,
    }),
  );
  const { status } = await api.call('POST', `/v1/licenses/${id}/revoke`, { body: { reason: 'a look' } });
  expect(status).toBe(404);
});

test('a creator’s agent is dormant: no plan, sweep, model or whisper works for it', async () => {
  const { json } = await as(creator, 'GET', '/v1/agents/mara');
  expect(json).toMatchObject({ state: 'dormant' });
  for (const [url, body] of [
    ['/v1/agents/mara/trigger', undefined],
    ['/v1/agents/mara/messages', { text: 'Hello?' }],
  ] as const)
    expect((await as(creator, 'POST', url, body, { 'idempotency-key': url })).json).toMatchObject({
      status: 409,
      code: 'AGENT_DORMANT',
    });
  const whisper = await as(creator, 'POST', '/v1/whispers', { parentId: 'mara', text: 'Come.' });
  expect(whisper.status).toBe(404);
  // More than any threshold of importance, and still nobody is asked to reflect.
  for (let i = 0; i < 40; i += 1)
    made(await as(creator, 'POST', '/v1/agents/mara/memories', { text: `Storm ${i}.`, importance: 10 }));
  const asked = await api.db
    .selectFrom('intents')
    .select('type')
    .where('type', 'in', ['reflectAgent', 'replanFleet'])
    .execute();
  expect(asked).toEqual([]);
  expect((await placementAgents(api.db)).map(({ id }) => id)).not.toContain('mara');
  const sweep = { workflowId: 'sweep:test', trigger: 'call', cadence: null, period: 'test' } as const;
  const { sweepId } = await createSweepStore(api.db).begin(sweep, new Map());
  const swept = await api.db.selectFrom('runs').select('agentId').where('sweepId', '=', sweepId).execute();
  expect(swept.length).toBeGreaterThan(0);
  expect(swept.map(({ agentId }) => agentId)).not.toContain('mara');
});

test('there are only so many agents, memories and packages of a creator', async () => {
  made(await as(creator, 'POST', '/v1/agents/mara/loops', { leastImportance: 2 }));
  const before = await api.rowCounts();
  const third = await as(creator, 'POST', '/v1/agents/mara/loops', { leastImportance: 9 });
  expect(third.json).toMatchObject({ status: 409, code: 'CONFLICT' });
  expect(third.json['detail']).toContain('people.packagesPerCreator permits 2');
  expect(await api.rowCounts()).toEqual(before);

  const born = await Promise.all(
    ['Nils', 'Odo', 'Pia'].map((name) => as(creator, 'POST', '/v1/agents/import', card(name))),
  );
  expect(born.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409, 409]);
  const dry = await as(creator, 'POST', '/v1/agents/import?dryRun=true', card('Quint'));
  expect(dry.json['detail']).toContain('people.agentsPerCreator permits 2');

  await api.db.updateTable('agents').set({ memorySeq: mostLoopMemories }).where('id', '=', 'mara').execute();
  const more = await as(creator, 'POST', '/v1/agents/mara/memories', { text: 'One more.' });
  expect(more.json).toMatchObject({ status: 409, code: 'CONFLICT' });
  const [{ id: old } = { id: '' }] = await api.db
    .selectFrom('memories')
    .select('id')
    .where('agentId', '=', 'mara')
    .execute();
  expect((await as(creator, 'POST', `/v1/memories/${old}/supersede`, { text: 'Instead.' })).status).toBe(409);
});

test('the operator’s fleet takes such an agent by its package alone', async () => {
  const [listed] = (await as(creator, 'GET', '/v1/loops')).json.items;
  const { rawPayload } = await api.app.inject({
    method: 'GET',
    url: `/v1/loops/${String(listed!['id'])}/archive`,
    headers: { authorization: `Bearer ${creator.token}` },
  });
  const query = `as=mara-here&name=Mara+Here&archetype=light&trustKey=${String(listed!['keyId'])}`;
  const installed = await api.call('POST', `/v1/loops?${query}`, {
    raw: rawPayload,
    headers: { 'content-type': 'application/octet-stream' },
  });
  expect(installed.status).toBe(201);
  expect((await api.call('GET', '/v1/agents/mara-here')).json).toMatchObject({ state: 'active' });
});
