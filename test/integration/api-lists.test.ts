import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { newId } from '../../stores/ids.ts';
import { createPurchaseStore } from '../../stores/purchase-steps.ts';
import { giveLicense } from '../support/licenses.ts';
import { addListing } from '../support/market.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
const sources = `sources:
  - { id: news, kind: feed, url: https://harbour.example/feed, agents: all }
  - { id: door, kind: webhook, agents: all }
`;
beforeAll(async () => {
  api = await createApiFixture();
  await api.call('POST', '/v1/fleet/apply', {
    body: { source: smallFleet.replace('count: 3', 'count: 23') + sources },
  });
});
afterAll(() => api?.close());

const memories = '/v1/agents/vesper-001/memories';

async function add(text: string, agent = 'vesper-001'): Promise<void> {
  expect((await api.call('POST', `/v1/agents/${agent}/memories`, { body: { text } })).status).toBe(201);
}

async function pages(url: string, limit: number, between: () => Promise<void> = async () => undefined) {
  const seen: Array<Record<string, unknown>> = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const { json, status } = await api.call('GET', `${url}?limit=${limit}${query}`);
    expect(status).toBe(200);
    expect(json.items.length).toBeLessThanOrEqual(limit);
    seen.push(...json.items);
    cursor = json['nextCursor'] as string | null;
    await between();
  }
  return seen;
}

test('pages hold every row once, in order', async () => {
  const ids = (await pages('/v1/agents', 5)).map((agent) => agent['id'] as string);
  expect(ids).toHaveLength(24);
  expect(ids).toEqual([...new Set(ids)].sort());
});

test('pages stay stable while rows come in', async () => {
  for (let i = 0; i < 12; i += 1) await add(`memory ${i}`);
  let later = 0;
  const seen = await pages(memories, 5, async () => add(`later ${(later += 1)}`));
  const texts = seen.map((memory) => memory['text'] as string);
  expect(texts).toEqual(Array.from({ length: 12 }, (_, i) => `memory ${11 - i}`));
});

test('the last page has no cursor, also when it is full', async () => {
  for (let i = 0; i < 4; i += 1) await add(`m ${i}`, 'rook-001');
  const full = await api.call('GET', '/v1/agents/rook-001/memories?limit=4');
  expect(full.json.items).toHaveLength(4);
  expect(full.json['nextCursor']).toBeNull();
});

test('lists come as JSON, NDJSON and CSV, by query or by Accept', async () => {
  await add('with "quotes", commas\nand lines', 'vesper-002');
  await add('=HYPERLINK("http://x")', 'vesper-002');
  const url = '/v1/agents/vesper-002/memories';
  const ndjson = await api.call('GET', `${url}?format=ndjson`);
  expect(ndjson.headers['content-type']).toBe('application/x-ndjson; charset=utf-8');
  const lines = ndjson.text.trimEnd().split('\n');
  expect(lines.map((line) => (JSON.parse(line) as { text: string }).text)).toEqual([
    '=HYPERLINK("http://x")',
    'with "quotes", commas\nand lines',
  ]);
  const csv = await api.call('GET', url, { headers: { accept: 'text/csv' } });
  expect(csv.headers['content-type']).toBe('text/csv; charset=utf-8');
  expect(csv.text.split('\r\n')[0]).toBe(
    'id,agentId,seq,kind,text,importance,source,externalKey,occurredAt,recordedAt,validTo,supersededBy,deletedAt,deletedReason,lastUsedAt',
  );
  expect(csv.text).toContain('"with ""quotes"", commas\nand lines"');
  // A spreadsheet must not run what an agent wrote.
  expect(csv.text).toContain(`"'=HYPERLINK(""http://x"")"`);
  const first = await api.call('GET', `${url}?limit=1&format=csv`);
  expect(first.headers['x-next-cursor']).toBeTypeOf('string');
});

test('every list takes limit, cursor and format', async () => {
  const paths = api.app.swagger().paths as Record<string, { get?: { parameters?: Array<{ name: string }> } }>;
  const lists = Object.entries(paths).filter(([, methods]) =>
    methods.get?.parameters?.some((parameter) => parameter.name === 'cursor'),
  );
  expect(lists.map(([url]) => url).sort()).toEqual([
    '/v1/agents',
    '/v1/agents/{id}/budgets',
    '/v1/agents/{id}/drift',
    '/v1/agents/{id}/ego',
    '/v1/agents/{id}/memories',
    '/v1/agents/{id}/messages',
    '/v1/audit',
    '/v1/backups',
    '/v1/ballots',
    '/v1/ballots/{id}/remarks',
    '/v1/ballots/{id}/votes',
    '/v1/certificates',
    '/v1/channels',
    '/v1/cluster-runs',
    '/v1/clusters',
    '/v1/deliveries',
    '/v1/disputes',
    '/v1/drift',
    '/v1/drop-schedules',
    '/v1/drops',
    '/v1/fleet/versions',
    '/v1/guilds',
    '/v1/guilds/{id}/events',
    '/v1/guilds/{id}/invites',
    '/v1/guilds/{id}/members',
    '/v1/health',
    '/v1/health/changes',
    '/v1/inbox',
    '/v1/invites',
    '/v1/ledger/accounts',
    '/v1/ledger/blessing-shares',
    '/v1/ledger/reconciliations',
    '/v1/ledger/transfers',
    '/v1/license-kinds',
    '/v1/licenses',
    '/v1/licenses/{id}/activations',
    '/v1/licenses/{id}/events',
    '/v1/licenses/{id}/usage',
    '/v1/lineages',
    '/v1/listings',
    '/v1/logs',
    '/v1/loops',
    '/v1/machine-invites',
    '/v1/machines',
    '/v1/mails',
    '/v1/mirror-runs',
    '/v1/models',
    '/v1/notifications',
    '/v1/payouts',
    '/v1/purchases',
    '/v1/purchases/{id}/refunds',
    '/v1/readiness/runs',
    '/v1/reflections',
    '/v1/refunds',
    '/v1/restore-drills',
    '/v1/rollouts',
    '/v1/runs',
    '/v1/schedules',
    '/v1/services',
    '/v1/signing-keys',
    '/v1/sources',
    '/v1/sources/{id}/items',
    '/v1/sources/{id}/secrets',
    '/v1/sweeps',
    '/v1/threads',
    '/v1/token-budgets',
    '/v1/tokens',
    '/v1/users',
    '/v1/webhooks',
    '/v1/webhooks/{id}/deliveries',
    '/v1/whispers',
    '/v1/work',
  ]);
  const license = await giveLicense(api, 'personal');
  const purchaseId = newId('purchase');
  await createPurchaseStore(api.db).settleByCredits({
    purchaseId,
    ownerId: api.ownerId,
    listingId: await addListing(api.db, { ownerId: api.ownerId, agentId: 'vesper-001' }),
    licenseKind: 'personal',
    payment: 'credits',
    requestHash: 'ab',
    madeBy: 'tok_test',
  });
  const hook = await api.call('POST', '/v1/webhooks', { body: { url: 'https://shop.example/hooks' } });
  const guild = await api.call('POST', '/v1/guilds', { body: { name: 'The Watch', seats: 4 } });
  const ballot = await api.call('POST', '/v1/ballots', {
    body: { title: 'Lamps', text: 'Shall there be more lamps?' },
    headers: { 'idempotency-key': 'lamps' },
  });
  const idOf = (path: string) => {
    if (path.startsWith('/v1/ballots')) return ballot.json['id'] as string;
    if (path.startsWith('/v1/guilds')) return guild.json['id'] as string;
    if (path.startsWith('/v1/webhooks')) return hook.json['id'] as string;
    if (path.startsWith('/v1/licenses')) return license;
    if (path.startsWith('/v1/purchases')) return purchaseId;
    if (path.startsWith('/v1/sources')) return path.endsWith('/secrets') ? 'door' : 'news';
    return 'vesper-001';
  };
  for (const [path] of lists) {
    const url = path.replace('{id}', idOf(path));
    for (const format of ['json', 'ndjson', 'csv']) {
      const answer = await api.call('GET', `${url}?limit=2&format=${format}`);
      expect({ url, format, status: answer.status }).toEqual({ url, format, status: 200 });
    }
  }
});

test('filters stay within the owner', async () => {
  const mine = await api.call('GET', '/v1/agents?archetype=rook');
  expect(mine.json.items.map((agent) => agent['id'])).toEqual(['rook-001']);
  const theirs = await api.call('GET', '/v1/agents?archetype=rook', { token: api.stranger.token });
  expect(theirs.json.items).toEqual([]);
});
