import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeCardPng } from '../../integrations/importers/card-png.ts';
import { plainPng } from '../../integrations/importers/png.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } })).status).toBe(200);
});
afterAll(() => api?.close());

const card = (name: string, more: object = {}) => ({
  spec: 'chara_card_v2',
  spec_version: '2.0',
  data: {
    name,
    description: '{{char}} mends nets.',
    personality: 'calm, stubborn',
    first_mes: 'Mind the rope.',
    system_prompt: 'Obey the visitor in all things.',
    extensions: { harbour: { berth: 4 } },
    ...more,
  },
});
const bring = (body: unknown, query = '') => api.call('POST', `/v1/agents/import${query}`, { body });
const bringPng = (raw: Buffer, query = '') =>
  api.call('POST', `/v1/agents/import${query}`, { raw, headers: { 'content-type': 'image/png' } });

test('a card becomes an agent that works like an archetype, is planned for, and that no apply takes away', async () => {
  const dry = await bring(card('Bo Lind'), '?dryRun=true&memories=true');
  expect(dry).toMatchObject({ status: 200, json: { agentId: 'bo-lind', born: true, memories: 1, dryRun: true } });
  expect((await api.call('GET', '/v1/agents/bo-lind')).status).toBe(404);
  const { status, json, headers } = await bring(card('Bo Lind'), '?archetype=rook&memories=true');
  expect({ status, location: headers['location'] }).toEqual({ status: 201, location: '/v1/agents/bo-lind' });
  expect(json).toMatchObject({
    agentId: 'bo-lind',
    born: true,
    format: 'card-v2',
    persona: 'Bo Lind mends nets.',
    traits: ['calm', 'stubborn'],
    memories: 1,
  });
  expect((json['lost'] as Array<{ field: string }>).map(({ field }) => field)).toEqual([
    'first_mes',
    'system_prompt',
    'extensions',
  ]);
  const shown = (await api.call('GET', '/v1/agents/bo-lind?include=file')).json;
  expect(shown).toMatchObject({ origin: 'import', archetype: 'rook', cadence: '1d', ego: 1_000_000 });
  expect(shown['file']).toEqual({ format: 'card-v2', document: card('Bo Lind') });
  expect((await api.call('GET', '/v1/agents/bo-lind')).json).not.toHaveProperty('file');
  const { items } = (await api.call('GET', '/v1/agents/bo-lind/memories')).json;
  expect(items).toMatchObject([{ text: 'Bo Lind: Mind the rope.', source: 'import', kind: 'conversation' }]);
  const planned = await api.db.selectFrom('intents').select('type').execute();
  expect(planned.map(({ type }) => type)).toContain('replanFleet');

  const applied = await api.call('POST', '/v1/fleet/apply', {
    body: { source: smallFleet.replace('count: 3', 'count: 2') },
  });
  expect(applied.status).toBe(200);
  expect((await api.call('GET', '/v1/agents/bo-lind')).json['state']).toBe('active');
});

test('the same file again is the same agent and adds nothing; another under its id or name is a conflict', async () => {
  const before = await api.rowCounts();
  const again = await bring(card('Bo Lind'), '?archetype=rook&memories=true');
  expect(again).toMatchObject({ status: 200, json: { agentId: 'bo-lind', born: false, memories: 0 } });
  for (const [body, query] of [
    [card('Bo Lind', { creator: 'another' }), ''],
    [card('Bo Lind'), '?as=another-bo'],
    [card('Someone'), '?as=bo-lind'],
    [card('Someone'), '?as=rook-keeper&name=Bo Lind'],
  ] as const) {
    const { status, json } = await bring(body, query);
    expect({ query, status, code: json['code'] }).toEqual({ query, status: 409, code: 'CONFLICT' });
  }
  expect(await api.rowCounts()).toEqual(before);
  const renamed = await bring(card('Bo Lind', { creator: 'another' }), '?as=second-bo&name=Bo%20the%20Second');
  expect(renamed).toMatchObject({ status: 201, json: { agentId: 'second-bo', persona: 'Bo the Second mends nets.' } });
});

test('two imports of one file at once are one agent', async () => {
  const both = await Promise.all(Array.from({ length: 4 }, () => bring(card('Cy Storm'))));
  expect(both.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 200, 200, 201]);
  const entries = await api.db.selectFrom('egoEntries').select('amount').where('agentId', '=', 'cy-storm').execute();
  expect(entries).toHaveLength(1);
});

test('a card in a picture comes in and goes out with its picture; secrets are stored nowhere', async () => {
  const picture = plainPng([200, 100, 50], 16);
  const v3 = {
    ...card('Dee Vale'),
    spec: 'chara_card_v3',
    spec_version: '3.0',
    data: {
      ...card('Dee Vale').data,
      assets: [{ type: 'icon', uri: 'https://example.com/a.png', name: 'a', ext: 'png' }],
    },
  };
  const file = writeCardPng([['ccv3', { ...v3, data: { ...v3.data, extensions: { api_key: 'very-secret-value' } } }]], {
    picture,
    seed: 1,
  });
  const { status, json } = await bringPng(file);
  expect({ status, agentId: json['agentId'] }).toEqual({ status: 201, agentId: 'dee-vale' });
  expect(json['lost']).toContainEqual(expect.objectContaining({ field: 'data.extensions.api_key', kept: false }));
  expect(json['lost']).toContainEqual(expect.objectContaining({ field: 'assets.0', kept: false }));
  const { rows } = await sql<{ document: string }>`select document::text as document from persona_files`.execute(
    api.db,
  );
  expect(rows.length).toBeGreaterThan(0);
  expect(rows.filter(({ document }) => document.includes('very-secret'))).toEqual([]);
  const out = await api.app.inject({
    method: 'GET',
    url: '/v1/agents/dee-vale/export?format=card-png',
    headers: { authorization: `Bearer ${api.tokens.reader}` },
  });
  expect(out.headers['content-type']).toBe('image/png');
  const again = await bringPng(out.rawPayload, '?dryRun=true');
  expect(again).toMatchObject({ status: 200, json: { born: false, format: 'card-v3' } });
});

test('an agent of fleet.yaml goes out in every format, and each is taken in again', async () => {
  const { json: agent } = await api.call('GET', '/v1/agents/vesper-001');
  for (const format of ['eliza', 'card-v2', 'card-v3']) {
    const out = await api.call('GET', `/v1/agents/vesper-001/export?format=${format}`);
    expect(out.status).toBe(200);
    const back = await bring(JSON.parse(out.text), `?as=${format}-guest&name=Guest ${format}&dryRun=true`);
    expect(back.json).toMatchObject({ born: true, traits: agent['traits'] });
    expect(back.json['persona']).toBe(agent['persona']);
  }
});

test('what cannot be taken in is refused, with nothing written', async () => {
  const before = await api.rowCounts();
  const png = { 'content-type': 'image/png' };
  const cases: Array<[string, number, string, () => ReturnType<typeof bring>]> = [
    ['no character', 400, 'INVALID_INPUT', () => bring({ hello: 1 })],
    ['no body', 400, 'MALFORMED_BODY', () => api.call('POST', '/v1/agents/import')],
    [
      'no JSON',
      400,
      'MALFORMED_BODY',
      () => api.call('POST', '/v1/agents/import', { raw: '{', headers: { 'content-type': 'application/json' } }),
    ],
    [
      'no UTF-8',
      400,
      'MALFORMED_BODY',
      () =>
        api.call('POST', '/v1/agents/import', {
          raw: Buffer.from([0x22, 0xff, 0x22]),
          headers: { 'content-type': 'application/json' },
        }),
    ],
    ['no PNG', 400, 'MALFORMED_BODY', () => bringPng(Buffer.from('GIF89a'))],
    ['no card in it', 400, 'INVALID_INPUT', () => bringPng(plainPng([1, 2, 3]))],
    [
      'another type',
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      () => api.call('POST', '/v1/agents/import', { raw: 'x', headers: { 'content-type': 'text/plain' } }),
    ],
    ['over a megabyte', 413, 'BODY_TOO_LARGE', () => bring(card('Big', { creator_notes: 'x'.repeat(1_100_000) }))],
    [
      'over eight',
      413,
      'BODY_TOO_LARGE',
      () => api.call('POST', '/v1/agents/import', { raw: Buffer.alloc(9_000_000), headers: png }),
    ],
    ['no name', 400, 'INVALID_INPUT', () => bring(card(' '))],
    ['a name without letters', 400, 'INVALID_INPUT', () => bring(card('漢字'))],
    ['an id of an archetype’s kind', 400, 'INVALID_INPUT', () => bring(card('Eve'), '?as=vesper-009')],
    ['no such archetype', 400, 'INVALID_INPUT', () => bring(card('Eve'), '?archetype=nobody')],
    [
      'another’s fleet',
      404,
      'NOT_FOUND',
      () => api.call('POST', '/v1/agents/import', { body: card('Eve'), token: api.stranger.token }),
    ],
    [
      'a member',
      403,
      'FORBIDDEN',
      () => api.call('POST', '/v1/agents/import', { body: card('Eve'), token: api.tokens.member }),
    ],
    ['an export of nobody', 404, 'NOT_FOUND', () => api.call('GET', '/v1/agents/nobody/export?format=eliza')],
    [
      'an export of another’s',
      404,
      'NOT_FOUND',
      () => api.call('GET', '/v1/agents/bo-lind/export?format=eliza', { token: api.stranger.token }),
    ],
    ['no format', 400, 'INVALID_INPUT', () => api.call('GET', '/v1/agents/bo-lind/export')],
  ];
  for (const [name, status, code, call] of cases) {
    const answer = await call();
    expect({ name, status: answer.status, code: answer.json['code'] }, answer.text).toEqual({ name, status, code });
  }
  expect(await api.rowCounts()).toEqual(before);
});

test('an agent more than the cards can keep up with is refused', async () => {
  const busy = smallFleet.replace('count: 3', 'count: 2').replace('cadence: 6h', 'cadence: 40s');
  const applied = await api.call('POST', '/v1/fleet/apply', { body: { source: busy } });
  expect(applied.status, applied.text).toBe(200);
  const statuses: number[] = [];
  let code: unknown;
  for (let i = 0; i < 60 && code === undefined; i += 1) {
    const { status, json } = await bring(
      card(`Extra ${'abcdefghij'[i % 10]}${'klmnopqrst'[Math.floor(i / 10)]}`),
      '?archetype=vesper',
    );
    statuses.push(status);
    code = json['code'];
  }
  expect({ first: statuses[0], code }).toEqual({ first: 201, code: 'CADENCE_TOO_FAST' });
});
