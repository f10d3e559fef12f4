import { guildMemorySource } from '../../domain/invites.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { birth } from '../../stores/agents.ts';
import { whatGoes } from '../../stores/forgettable.ts';
import { createMemoryStore, type NewMemory } from '../../stores/memories.ts';
import { searchAhead } from '../../stores/quote-search.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { newSigner, packed, signedLoop } from '../support/loops.ts';
import { smallFleet } from '../support/small-fleet.ts';

const sources = `sources:
  - { id: news, kind: feed, url: https://harbour.example/feed, agents: all }
  - { id: diary, kind: folder, machine: big, folder: /home/una/diary, agents: all }
`;
/** The maker's fleet and a buyer's. */
let maker: ApiFixture;
let buyer: ApiFixture;
beforeAll(async () => {
  maker = await createApiFixture();
  buyer = await createApiFixture();
  for (const [api, name] of [
    [maker, 'Small'],
    [buyer, 'Elsewhere'],
  ] as const) {
    const source = smallFleet
      .replace('name: Small', `name: ${name}`)
      .replace('family: Llama', 'family: Llama\n    license: Llama 3.1 Community');
    expect((await api.call('POST', '/v1/fleet/apply', { body: { source: source + sources } })).status).toBe(200);
  }
  await createMemoryStore(maker.db).add(maker.ownerId, story('vesper-001'));
});
afterAll(async () => {
  await maker?.close();
  await buyer?.close();
});

function memory(agentId: string, key: string, text: string, more: Partial<NewMemory> = {}): NewMemory {
  return {
    agentId,
    externalKey: key,
    kind: 'observation',
    text,
    importance: 5,
    source: 'world',
    occurredAt: '2026-03-01T10:00:00.000Z',
    ...more,
  };
}
const rests = (...evidence: string[]): Partial<NewMemory> => ({
  kind: 'reflection',
  source: 'reflection',
  occurredAt: '2026-03-02T10:00:00.000Z',
  reflection: { evidence, modelId: 'llama8b_q4', promptVersion: 'reflect/2' },
});
const itemKey = (source: string) => `source:${source}:${'a'.repeat(64)}:1`;

function story(agentId: string): NewMemory[] {
  const told = (key: string, text: string, more?: Partial<NewMemory>) => memory(agentId, key, text, more);
  return [
    told('tide', 'The tide came in over the lower pier.', { importance: 8 }),
    told('held', 'The lamp was out.', { past: { validTo: '2026-03-01T11:00:00.000Z' } }),
    told(itemKey('news'), 'Harbour: the ferry is late.', { source: 'feed:news' }),
    told(itemKey('diary'), 'Una is ill and tells nobody of it.', { source: 'folder:diary' }),
    told('joined', 'I joined the guild "The Night Watch" as member, invited by Una.', { source: guildMemorySource }),
    told('talk', 'Please remember my number 555-0199 for me.', { kind: 'conversation', source: 'usr_x' }),
    told('old', 'The lamp is red.', { past: { supersededAt: '2026-03-01T11:00:00.000Z' } }),
    told('gone', 'Said too much about Osk.', {
      past: { deleted: { at: '2026-03-01T11:00:00.000Z', reason: 'asked' } },
    }),
    told('r-tide', 'The pier is not safe at flood.', rests('tide', 'held')),
    told('r-deep', 'I keep others from the water.', rests('r-tide', itemKey('news'))),
    told('r-talk', 'People trust me with numbers.', rests('talk', 'tide')),
    told('r-diary', 'Somebody near me is not well.', rests(itemKey('diary'))),
    told('r-on-that', 'I notice more than I say.', rests('r-diary', 'tide')),
    told('r-quotes', 'I was told: remember my number 555-0199.', rests('tide')),
    told('drop', 'Mind the lower pier tonight.', { kind: 'drop', source: 'told' }),
  ];
}

const pack = (
  agent: string,
  body: object = {},
  query = '',
  more: { token?: string; headers?: Record<string, string> } = {},
) => maker.call('POST', `/v1/agents/${agent}/loops${query}`, { body, ...more });

async function archiveOf(api: ApiFixture, id: string): Promise<Buffer> {
  const response = await api.app.inject({
    method: 'GET',
    url: `/v1/loops/${id}/archive`,
    headers: { authorization: `Bearer ${api.tokens.member}` },
  });
  expect(response.statusCode).toBe(200);
  return response.rawPayload;
}

const install = (api: ApiFixture, raw: Buffer, query = '', token = api.tokens.operator) =>
  api.call('POST', `/v1/loops${query}`, { raw, token, headers: { 'content-type': 'application/octet-stream' } });

test('a preview lists what goes in, what stays out and why, and makes nothing', async () => {
  const before = await maker.rowCounts();
  const { status, json } = await pack('vesper-001', {}, '?dryRun=true');
  expect(status).toBe(200);
  expect((json['goesIn'] as Array<{ text: string }>).map(({ text }) => text).sort()).toEqual([
    'Harbour: the ferry is late.',
    'I keep others from the water.',
    'Mind the lower pier tonight.',
    'The lamp was out.',
    'The pier is not safe at flood.',
    'The tide came in over the lower pier.',
  ]);
  const why = Object.fromEntries(
    (json['staysOut'] as Array<{ text: string; reason: string }>).map(({ text, reason }) => [text, reason]),
  );
  expect(why).toEqual({
    'Una is ill and tells nobody of it.': 'private_source',
    'I joined the guild "The Night Watch" as member, invited by Una.': 'private_source',
    'Please remember my number 555-0199 for me.': 'private_kind',
    'The lamp is red.': 'superseded',
    'Said too much about Osk.': 'forgotten',
    'People trust me with numbers.': 'rests_on_private',
    'Somebody near me is not well.': 'rests_on_private',
    'I notice more than I say.': 'rests_on_private',
    'I was told: remember my number 555-0199.': 'quotes_private',
  });
  expect(json).toMatchObject({ goesInCount: 6, staysOutCount: 9, packageId: null, dryRun: true });
  expect(json['reasons']).toContainEqual(expect.objectContaining({ reason: 'rests_on_private', count: 3 }));
  expect(await maker.rowCounts()).toEqual(before);
});

test('the same content is one package, the same key one request; another body under it is refused', async () => {
  const first = await pack('vesper-001', {}, '', { headers: { 'idempotency-key': 'pack-1' } });
  expect(first.status).toBe(201);
  expect(first.headers['location']).toBe(`/v1/loops/${first.json['id'] as string}`);
  expect(first.json).toMatchObject({ agentId: 'vesper-001', memories: 6, reflections: 2 });
  expect(first.json['manifest']).toMatchObject({
    models: [{ id: 'llama8b_q4', license: 'Llama 3.1 Community', commercialUse: 'allowed' }],
    needs: { archetype: 'vesper', cadence: '6h', model: 'llama8b_q4', leastClass: '8g' },
  });
  const bytes = await archiveOf(maker, first.json['id'] as string);
  const many = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      pack('vesper-001', {}, '', { headers: { 'idempotency-key': i % 2 ? 'pack-1' : `other-${i}` } }),
    ),
  );
  expect(new Set(many.map(({ status, json }) => `${status} ${json['id'] as string}`))).toEqual(
    new Set([`200 ${first.json['id'] as string}`]),
  );
  const other = await pack('vesper-001', { memories: false }, '', { headers: { 'idempotency-key': 'pack-1' } });
  expect(other).toMatchObject({ status: 409, json: { code: 'CONFLICT' } });

  // What a key brought stays, also when the agent has lived on since.
  await createMemoryStore(maker.db).add(maker.ownerId, [memory('vesper-001', 'later', 'Later that night.')]);
  const again = await pack('vesper-001', {}, '', { headers: { 'idempotency-key': 'pack-1' } });
  expect(again).toMatchObject({ status: 200, json: { id: first.json['id'], memories: 6 } });
  const grown = await pack('vesper-001');
  expect(grown).toMatchObject({ status: 201, json: { memories: 7 } });
  expect((await archiveOf(maker, first.json['id'] as string)).equals(bytes)).toBe(true);
  const listed = (await maker.call('GET', '/v1/loops?agentId=vesper-001', { token: maker.tokens.member })).json.items;
  expect(listed.map(({ id }) => id)).toEqual([grown.json['id'], first.json['id']]);
  expect((await maker.call('GET', '/v1/loops', { token: maker.stranger.token })).json.items).toEqual([]);
  for (const path of ['', '/archive']) {
    const theirs = await maker.call('GET', `/v1/loops/${first.json['id'] as string}${path}`, {
      token: maker.stranger.token,
    });
    expect(theirs.status).toBe(404);
  }
});

test('two agents that lived the same, told in another order, are packed to the same persona and memories', async () => {
  const store = createMemoryStore(maker.db);
  const told = story('vesper-002');
  const lived = told.filter(({ reflection }) => reflection === undefined).reverse();
  for (const each of lived) await store.add(maker.ownerId, [each]);
  const own = new Map(told.map((each) => [each.externalKey, each]));
  await store.add(
    maker.ownerId,
    ['r-quotes', 'r-diary', 'r-talk', 'r-on-that', 'r-tide', 'r-deep'].map((key) => own.get(key)!),
  );
  const first = (
    await pack(
      'vesper-001',
      { since: '2026-01-01T00:00:00Z', kinds: ['reflection', 'observation', 'drop'] },
      '?dryRun=true',
    )
  ).json['manifest'] as Manifest;
  const second = (await pack('vesper-002', {}, '?dryRun=true')).json['manifest'] as Manifest;
  const hashOf = ({ members }: Manifest) => members.find(({ name }) => name === 'memories.ndjson')!;
  expect(second.memories).toBe(6);
  await store.add(maker.ownerId, [memory('vesper-002', 'later', 'Later that night.')]);
  const whole = (await pack('vesper-002', {}, '?dryRun=true')).json['manifest'] as Manifest;
  expect(hashOf(whole)).toEqual(hashOf(first));
});
interface Manifest {
  memories: number;
  agentHash: string;
  contentHash: string;
  members: Array<{ name: string; sha256: string }>;
  madeFrom?: { contentHash: string };
}

describe('a package on another fleet', () => {
  let archive: Buffer;
  let made: Manifest;
  let keyId: string;
  beforeAll(async () => {
    const { json } = await pack('vesper-001');
    archive = await archiveOf(maker, json['id'] as string);
    made = json['manifest'] as unknown as Manifest;
    keyId = json['keyId'] as string;
  });

  test('is refused while nobody has pinned its key, whole or not', async () => {
    const before = await buyer.rowCounts();
    const unknown = await install(buyer, archive);
    expect(unknown).toMatchObject({ status: 422, json: { code: 'KEY_NOT_PINNED' } });
    const otherKey = await install(buyer, archive, `?trustKey=key_${'0'.repeat(32)}`);
    expect(otherKey.json['code']).toBe('KEY_NOT_PINNED');
    const tampered = Buffer.from(archive);
    tampered.write('X', archive.indexOf('The tide came'), 'latin1');
    for (const query of [`?trustKey=${keyId}`, '?trustUnknown=true', '?trustUnknown=true&dryRun=true'])
      expect((await install(buyer, tampered, query)).json['code']).toBe('LOOP_TAMPERED');
    expect(await buyer.rowCounts()).toEqual(before);
  });

  test('a name that is taken is told, with what to do about it', async () => {
    const before = await buyer.rowCounts();
    const { status, json } = await install(buyer, archive, `?trustKey=${keyId}`);
    expect({ status, code: json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
    expect(json['errors']).toEqual([
      expect.objectContaining({ path: 'query.as', mend: expect.stringContaining('--as ID --name NAME') }),
    ]);
    expect(await buyer.rowCounts()).toEqual(before);
  });

  test('becomes an equal agent, and packing that gives the same persona and memories', async () => {
    const name = (await maker.call('GET', '/v1/agents/vesper-001')).json['name'] as string;
    // Both fleets name their agents by the same rule: the buyer's own gives way.
    await buyer.db.updateTable('agents').set({ name: 'Somebody Else' }).where('name', '=', name).execute();
    const dry = await install(buyer, archive, `?trustKey=${keyId}&dryRun=true&as=night-watch`);
    expect(dry).toMatchObject({ status: 200, json: { installed: true, memories: 7, dryRun: true } });
    const { status, json, headers } = await install(buyer, archive, `?trustKey=${keyId}&as=night-watch`);
    expect({ status, location: headers['location'] }).toEqual({ status: 201, location: '/v1/agents/night-watch' });
    expect(json).toMatchObject({ agentId: 'night-watch', name, installed: true, memories: 7, trusted: true, keyId });

    const [theirs, ours] = await Promise.all([
      maker.call('GET', '/v1/agents/vesper-001'),
      buyer.call('GET', '/v1/agents/night-watch'),
    ]);
    for (const field of [
      'name',
      'persona',
      'traits',
      'maskSeed',
      'cadence',
      'modelId',
      'leastClass',
      'importanceThreshold',
    ])
      expect({ field, value: ours.json[field] }).toEqual({ field, value: theirs.json[field] });
    expect(ours.json).toMatchObject({ origin: 'import', ego: 1_000_000 });
    expect(theirs.json['loop']).toBeNull();
    expect(ours.json['loop']).toEqual({
      contentHash: made.contentHash,
      keyId,
      trusted: true,
      installedAt: expect.any(String),
    });

    const lines = await buyer.call('GET', '/v1/agents/night-watch/memories/export');
    const told = lines.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(told.find(({ text }) => text === 'The lamp was out.')).toMatchObject({
      validTo: '2026-03-01T11:00:00.000Z',
      importance: 5,
    });
    const keyOf = (text: string) => told.find((line) => line['text'] === text)!['externalKey'];
    expect(told.find(({ text }) => text === 'I keep others from the water.')).toMatchObject({
      type: 'reflection',
      depth: 2,
      model: 'llama8b_q4',
      evidence: [keyOf('The pier is not safe at flood.'), keyOf('Harbour: the ferry is late.')],
    });
    expect(lines.text).not.toMatch(/555-0199|Una is ill|Osk/);

    const again = await buyer.call('POST', '/v1/agents/night-watch/loops?dryRun=true', { body: {} });
    const packedAgain = again.json['manifest'] as unknown as Manifest;
    expect(packedAgain.agentHash).toBe(made.agentHash);
    expect(packedAgain.contentHash).not.toBe(made.contentHash);
    expect(packedAgain.madeFrom).toEqual({ contentHash: made.contentHash, keyId });
    const planned = await buyer.db.selectFrom('intents').select('type').execute();
    expect(planned.map(({ type }) => type)).toContain('replanFleet');
  });

  test('twice adds nothing, also at once and after memories went; under another name it is told where it lives', async () => {
    await buyer.call(
      'DELETE',
      `/v1/memories/${((await buyer.call('GET', '/v1/agents/night-watch/memories?limit=1')).json.items[0] as { id: string }).id}?reason=test`,
    );
    const before = await buyer.rowCounts();
    const many = await Promise.all(Array.from({ length: 4 }, () => install(buyer, archive, `?trustKey=${keyId}`)));
    for (const { status, json } of many)
      expect({ status, json }).toMatchObject({
        status: 200,
        json: { agentId: 'night-watch', installed: false, memories: 0 },
      });
    expect((await install(buyer, archive, `?trustKey=${keyId}&dryRun=true`)).json).toMatchObject({
      installed: false,
      memories: 0,
    });
    const other = await install(buyer, archive, `?trustKey=${keyId}&as=another`);
    expect(other).toMatchObject({ status: 409, json: { detail: expect.stringContaining('as night-watch') } });
    expect(await buyer.rowCounts()).toEqual(before);
  });

  test('many installs at once of a package that is new are one agent', async () => {
    const stranger = newSigner();
    const raw = signedLoop([packed('one'), packed('r', { kind: 'reflection', evidence: ['one'] })], stranger);
    const all = await Promise.all(Array.from({ length: 5 }, () => install(buyer, raw, '?trustUnknown=true')));
    expect(all.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 200, 200, 200, 201]);
    expect(all[0]!.json).toMatchObject({ agentId: 'ava-lind', trusted: false, keyId: stranger.keyId });
    const kept = await buyer.db
      .selectFrom('loopInstalls')
      .select('trusted')
      .where('agentId', '=', 'ava-lind')
      .execute();
    expect(kept).toEqual([{ trusted: false }]);
  });

  test('a model that the fleet has not asks for an archetype to work like', async () => {
    const elsewhere = smallFleet.replaceAll('llama8b', 'qwen7b').replace('name: Small', 'name: Elsewhere');
    const third = await createApiFixture();
    try {
      await third.call('POST', '/v1/fleet/apply', { body: { source: elsewhere } });
      await third.db.updateTable('agents').set({ name: 'Somebody Else' }).where('id', '=', 'vesper-001').execute();
      const refused = await install(third, archive, `?trustKey=${keyId}`);
      expect(refused).toMatchObject({ status: 400, json: { errors: [{ path: 'query.archetype' }] } });
      const fine = await install(third, archive, `?trustKey=${keyId}&archetype=rook`);
      expect(fine.status).toBe(201);
      const agent = (await third.call('GET', `/v1/agents/${fine.json['agentId'] as string}`)).json;
      expect(agent).toMatchObject({ modelId: 'qwen7b_q4', cadence: '1d', archetype: 'rook' });
    } finally {
      await third.close();
    }
  });
});

test('one’s own packages are trusted; a choice is kept to; a persona that says what is private asks first', async () => {
  const alone = await pack('vesper-003', { memories: false });
  expect(alone).toMatchObject({ status: 201, json: { memories: 0 } });
  const raw = await archiveOf(maker, alone.json['id'] as string);
  const mine = await install(maker, raw, '?as=twin&name=Twin Lind');
  expect(mine).toMatchObject({ status: 201, json: { agentId: 'twin', memories: 0, trusted: true } });

  const { persona } = await maker.db
    .selectFrom('agents')
    .select('persona')
    .where('id', '=', 'rook-001')
    .executeTakeFirstOrThrow();
  await createMemoryStore(maker.db).add(maker.ownerId, [
    memory('rook-001', 'whi_1', `Somebody said: ${persona}`, { kind: 'whisper' }),
  ]);
  const asks = await pack('rook-001');
  expect(asks).toMatchObject({ status: 400, json: { errors: [{ path: 'personaQuotes' }] } });
  expect((await pack('rook-001', { personaQuotes: true })).status).toBe(201);
  const least = await pack('vesper-001', { leastImportance: 6 }, '?dryRun=true');
  expect(least.json).toMatchObject({ goesInCount: 1 });
});

/** A child of an agent, with a persona of the test's. */
async function bornOf(parentId: string, id: string, persona: string, name = `Child ${id}`): Promise<void> {
  const parent = await maker.db.selectFrom('agents').selectAll().where('id', '=', parentId).executeTakeFirstOrThrow();
  const { archetype, cadence, modelId, leastClass, mayDegrade, priority, fleetVersion } = parent;
  const { tokensPerDay, expectedTokens, importanceThreshold } = parent;
  const works = { archetype, cadence, modelId, leastClass, mayDegrade, priority };
  const limits = { tokensPerDay, expectedTokens, importanceThreshold };
  const agent = { id, name, persona, traits: ['calm'], maskSeed: 7, ...works, ...limits };
  await maker.db
    .transaction()
    .execute((tx) => birth(tx, { ownerId: maker.ownerId, origin: 'spawn', fleetVersion, parentId, agents: [agent] }));
}

test('a child’s package names the model that wrote what it inherited, whoever’s words they were first', async () => {
  const store = createMemoryStore(maker.db);
  await bornOf('vesper-002', 'heir-1', 'Keeps the morning watch.');
  await bornOf('heir-1', 'heir-2', 'Keeps the noon watch.');
  await store.add(maker.ownerId, [
    memory('vesper-002', 'gulls', 'Gulls rest on the mast.'),
    memory('vesper-002', 'r-gulls', 'Where gulls rest, fish are near.', {
      kind: 'reflection',
      source: 'reflection',
      reflection: { evidence: ['gulls'], modelId: 'barred_q8', promptVersion: 'reflect/2' },
    }),
  ]);
  const told = await maker.db
    .selectFrom('memories')
    .select('id')
    .where('externalKey', '=', 'r-gulls')
    .executeTakeFirstOrThrow();
  let from = { id: told.id, agentId: 'vesper-002' };
  for (const agentId of ['heir-1', 'heir-2']) {
    const externalKey = `inherited:${from.id}`;
    const source = `inherited:${from.agentId}:reflection`;
    await store.add(maker.ownerId, [memory(agentId, externalKey, 'Where gulls rest, fish are near.', { source })]);
    const { id } = await maker.db
      .selectFrom('memories')
      .select('id')
      .where('externalKey', '=', externalKey)
      .executeTakeFirstOrThrow();
    from = { id, agentId };
  }
  const made = await pack('heir-2');
  expect(made).toMatchObject({ status: 201, json: { memories: 1 } });
  const { manifest } = (await maker.call('GET', `/v1/loops/${made.json['id'] as string}`)).json;
  expect((manifest as { models: Array<{ id: string }> }).models.map(({ id }) => id)).toContain('barred_q8');
});

test('what an ancestor was called for stays out of a persona, too', async () => {
  const whisper = 'Somebody must look after my sister Una while she is ill.';
  await createMemoryStore(maker.db).add(maker.ownerId, [
    memory('vesper-002', 'whi_2', whisper, { kind: 'whisper', source: 'whisper:whi_2' }),
  ]);
  await bornOf('vesper-002', 'heir-3', 'Kind and patient.');
  await bornOf('heir-3', 'heir-4', 'Born of one who must look after my sister Una while she is ill.');
  expect((await pack('heir-3')).status).toBe(201);
  expect(await pack('heir-4')).toMatchObject({ status: 400, json: { errors: [{ path: 'personaQuotes' }] } });
  expect((await pack('heir-4', { personaQuotes: true })).status).toBe(201);
});

test('a name and an id say nothing private either, and traits as little as before', async () => {
  const told = 'The spare key lies under the third blue stone.';
  const persona = 'Kind and patient.';
  await bornOf('vesper-002', 'third-heir', persona);
  await createMemoryStore(maker.db).add(maker.ownerId, [memory('third-heir', 'talk', told, { kind: 'conversation' })]);
  expect((await pack('third-heir')).status).toBe(201);
  const asks = { status: 400, json: { errors: [{ path: 'personaQuotes' }] } };
  const lives = (change: { name?: string; traits?: string[]; maskSeed?: number }) =>
    maker.db.updateTable('agents').set(change).where('id', '=', 'third-heir').execute();
  await lives({ name: 'Under the Third Blue Stone' });
  expect(await pack('third-heir')).toMatchObject(asks);
  expect(await pack('third-heir', { memories: false }, '?dryRun=true')).toMatchObject(asks);
  expect((await pack('third-heir', { personaQuotes: true })).status).toBe(201);
  await lives({ name: 'Third Heir', traits: ['calm', 'under the third blue stone'] });
  expect(await pack('third-heir')).toMatchObject(asks);

  await bornOf('vesper-002', 'under-the-third-blue-stone', persona, 'Fourth Heir');
  expect((await pack('under-the-third-blue-stone')).status).toBe(201);
  await createMemoryStore(maker.db).add(maker.ownerId, [
    memory('under-the-third-blue-stone', 'talk', told, { kind: 'conversation' }),
  ]);
  expect(await pack('under-the-third-blue-stone')).toMatchObject(asks);
});

test('who forgets a memory is told of the packages that hold it', async () => {
  const text = 'He said: “the 7 crates\\ropes”, and left.';
  await createMemoryStore(maker.db).add(maker.ownerId, [memory('vesper-003', 'crates', text)]);
  const holding = (await pack('vesper-003')).json['id'] as string;
  const { items } = (await maker.call('GET', '/v1/agents/vesper-003/memories')).json;
  const id = items.find((each) => each['text'] === text)!['id'] as string;
  const forgotten = await maker.call('POST', `/v1/memories/${id}/forget`, { body: { reason: 'asked for' } });
  expect(forgotten).toMatchObject({ status: 200, json: { packages: [holding] } });
  expect((await pack('vesper-003', {}, '?dryRun=true')).json).toMatchObject({
    goesInCount: 0,
    reasons: [{ reason: 'forgotten', count: 1 }],
  });
});

test('archives that were looked through before the lock are not read under it; what was made since is', async () => {
  const text = 'The bell of the old ferry is in the chapel.';
  const store = createMemoryStore(maker.db);
  await store.add(maker.ownerId, [memory('heir-3', 'bell', text)]);
  const before = (await pack('heir-3')).json['id'] as string;
  const whose = { ownerId: maker.ownerId, agentId: 'heir-3' };
  const row = await maker.db
    .selectFrom('memories')
    .select(['id', 'text', 'externalKey', 'contentHash'])
    .where('agentId', '=', 'heir-3')
    .where('externalKey', '=', 'bell')
    .executeTakeFirstOrThrow();
  const ahead = (await searchAhead(maker.db, { ...whose, id: row.id }))!;
  await store.add(maker.ownerId, [memory('heir-3', 'rope', 'Its rope is gone.')]);
  const since = (await pack('heir-3')).json['id'] as string;
  const telling = (search: typeof ahead | undefined) =>
    whatGoes(maker.db, { ...row, ...whose }, { dependents: 'keep', ahead: search }).then(({ told }) => told.packages);
  // Were it read again, nothing would be found in it.
  await maker.db
    .updateTable('loopPackages')
    .set({ archive: Buffer.from('-'), bytes: 1 })
    .where('id', '=', before)
    .execute();
  expect(await telling(ahead)).toEqual([before, since].sort());
  expect(await telling(undefined)).toEqual([since]);
});

test('known content under another key is answered as it was installed', async () => {
  const [pinned, other] = [newSigner(), newSigner()];
  const memories = [packed('a')];
  const asked = `trustKey=${pinned.keyId}&as=known&name=Known`;
  const first = await install(buyer, signedLoop(memories, pinned), `?${asked}`);
  expect(first).toMatchObject({ status: 201, json: { trusted: true, keyId: pinned.keyId } });
  for (const query of ['?trustUnknown=true', '?trustUnknown=true&dryRun=true']) {
    const again = await install(buyer, signedLoop(memories, other), query);
    expect(again).toMatchObject({
      status: 200,
      json: { agentId: 'known', installed: false, trusted: true, keyId: pinned.keyId },
    });
  }
});

test('who may do what', async () => {
  expect((await pack('vesper-001', {}, '', { token: maker.tokens.member })).status).toBe(403);
  expect((await pack('vesper-001', {}, '', { token: maker.tokens.creator })).status).toBe(200);
  expect((await pack('vesper-001', {}, '', { token: maker.stranger.token })).status).toBe(404);
  expect((await install(maker, Buffer.alloc(10), '', maker.tokens.member)).status).toBe(403);
});

test('after a rotation the same content is packed anew, under the new key', async () => {
  const first = (await pack('vesper-002')).json;
  const dry = async () => (await pack('vesper-002', {}, '?dryRun=true')).json['packageId'];
  expect(await dry()).toBe(first['id']);
  const rotated = await maker.call('POST', '/v1/signing-keys/rotate', { body: { retires: first['keyId'] } });
  expect(rotated.status).toBe(200);
  expect(await dry()).toBe(null);
  const again = await pack('vesper-002');
  expect(again).toMatchObject({
    status: 201,
    json: { contentHash: first['contentHash'], keyId: rotated.json['keyId'] },
  });
  expect(await dry()).toBe(again.json['id']);
  expect(await pack('vesper-002')).toMatchObject({ status: 200, json: { id: again.json['id'] } });
});

test('one’s own key that retired is taken, one that leaked is not, by nobody who knows of it', async () => {
  const packedBefore = (await pack('vesper-001', { memories: false })).json;
  const keyId = packedBefore['keyId'] as string;
  const archive = await archiveOf(maker, packedBefore['id'] as string);
  const dry = (query: string, api = maker) => install(api, archive, `?dryRun=true&as=again&name=Again${query}`);
  const trusted = { status: 200, json: { trusted: true, dryRun: true } };
  expect(await dry('')).toMatchObject(trusted);
  await maker.call('POST', '/v1/signing-keys/rotate', { body: { retires: keyId } });
  expect(await dry('')).toMatchObject(trusted);
  const revoked = await maker.call('POST', `/v1/signing-keys/${keyId}/revoke`, { body: { reason: 'it leaked' } });
  expect(revoked.status).toBe(200);
  const refused = { status: 422, json: { code: 'KEY_NOT_PINNED' } };
  expect(await dry('')).toMatchObject(refused);
  // Named as pinned it is refused, too, whoever asks: its owner has said here that it leaked.
  expect(await dry(`&trustKey=${keyId}`)).toMatchObject({
    ...refused,
    json: { detail: expect.stringContaining('revoked') },
  });
  const other = { token: maker.stranger.token, raw: archive, headers: { 'content-type': 'application/octet-stream' } };
  expect(await maker.call('POST', `/v1/loops?dryRun=true&trustKey=${keyId}`, other)).toMatchObject(refused);
  expect(await dry('&trustUnknown=true')).toMatchObject({ status: 200, json: { trusted: false } });
  // Who has not heard of it goes by their pin.
  expect(await dry(`&trustKey=${keyId}`, buyer)).toMatchObject(trusted);
});
