import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
const sources = 'sources: [{ id: harbour-news, kind: feed, url: https://harbour.example/feed, agents: [vesper] }]\n';
let theirs: { memoryId: string };

beforeAll(async () => {
  api = await createApiFixture();
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet + sources } })).status).toBe(200);
  const { json } = await api.call('POST', '/v1/agents/vesper-001/memories', { body: { text: 'The tide turned.' } });
  theirs = { memoryId: json['id'] as string };
});
afterAll(() => api?.close());

const memories = '/v1/agents/vesper-001/memories';
const talk = '/v1/agents/vesper-001/messages';
const json = { 'content-type': 'application/json' };
const gift = { kind: 'personal', packageHash: 'a'.repeat(64), reason: 'a gift' };
const noLicense = `/v1/licenses/${newId('license')}`;
const loops = '/v1/agents/vesper-001/loops';
const octets = { 'content-type': 'application/octet-stream' };

const refusals: Array<{
  name: string;
  method?: string;
  url?: string;
  body?: unknown;
  raw?: string | Buffer;
  headers?: Record<string, string>;
  status: number;
  code: string;
}> = [
  { name: 'JSON that does not parse', raw: '{"text": ', headers: json, status: 400, code: 'MALFORMED_BODY' },
  {
    name: 'bytes that are not UTF-8',
    raw: Buffer.from([0x7b, 0x22, 0x74, 0x65, 0x78, 0x74, 0x22, 0x3a, 0x22, 0xff, 0xfe, 0x22, 0x7d]),
    headers: json,
    status: 400,
    code: 'MALFORMED_BODY',
  },
  {
    name: 'a body over 64 kB',
    raw: JSON.stringify({ text: 'x'.repeat(70_000) }),
    headers: json,
    status: 413,
    code: 'BODY_TOO_LARGE',
  },
  { name: 'a text over its length', body: { text: 'x'.repeat(9_000) }, status: 400, code: 'INVALID_INPUT' },
  { name: 'an unknown field', body: { text: 'a', texts: 'b' }, status: 400, code: 'INVALID_INPUT' },
  {
    name: 'a prototype as field',
    raw: '{"text":"a","__proto__":{"x":1}}',
    headers: json,
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'a wrong type', body: { text: 7 }, status: 400, code: 'INVALID_INPUT' },
  { name: 'a list for an object', body: [], status: 400, code: 'INVALID_INPUT' },
  { name: 'null for an object', body: null, status: 400, code: 'INVALID_INPUT' },
  { name: 'no body', status: 400, code: 'INVALID_INPUT' },
  { name: 'an empty text', body: { text: '' }, status: 400, code: 'INVALID_INPUT' },
  { name: 'a blank text', body: { text: ' \n\t' }, status: 400, code: 'INVALID_INPUT' },
  { name: 'NUL in a text', body: { text: 'a\0b' }, status: 400, code: 'INVALID_INPUT' },
  { name: 'half a surrogate pair', raw: '{"text":"a\\ud800b"}', headers: json, status: 400, code: 'INVALID_INPUT' },
  { name: 'a number out of range', body: { text: 'a', importance: 11 }, status: 400, code: 'INVALID_INPUT' },
  {
    name: 'a day that is not',
    body: { text: 'a', occurredAt: '2026-02-30T00:00:00Z' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a year before years',
    body: { text: 'a', occurredAt: '0000-01-01T00:00:00Z' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'an unknown query', url: `${memories}?colour=red`, body: { text: 'a' }, status: 400, code: 'INVALID_INPUT' },
  {
    name: 'a dryRun that is no yes or no',
    url: `${memories}?dryRun=maybe`,
    body: { text: 'a' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'another content type',
    raw: 'text=a',
    headers: { 'content-type': 'text/plain' },
    status: 415,
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  {
    name: 'a form',
    raw: 'text=a',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    status: 415,
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  { name: 'JSON where lines are due', url: '/v1/memories', body: {}, status: 415, code: 'UNSUPPORTED_MEDIA_TYPE' },
  { name: 'a blank text', body: { text: ' \n' }, status: 400, code: 'INVALID_INPUT' },
  {
    name: 'a time to come',
    body: { text: 'a', occurredAt: '2999-01-01T00:00:00Z' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'an import of no known format',
    url: '/v1/memories?format=xml',
    raw: '{}',
    headers: { 'content-type': 'application/x-ndjson' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'lines where one JSON document is due',
    url: '/v1/memories?format=generative-agents&agentId=vesper-001',
    raw: '{}',
    headers: { 'content-type': 'application/x-ndjson' },
    status: 415,
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  {
    name: 'a memory stream that is none',
    url: '/v1/memories?format=generative-agents&agentId=vesper-001',
    raw: '[]',
    headers: json,
    status: 400,
    code: 'MALFORMED_BODY',
  },
  {
    name: 'an import into nobody',
    url: '/v1/memories?agentId=nobody-001',
    raw: '{"text":"a"}',
    headers: { 'content-type': 'application/x-ndjson' },
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a search as of no time',
    method: 'GET',
    url: `${memories}/search?q=a&at=yesterday`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a list as of no time',
    method: 'GET',
    url: `${memories}?knownAt=2026-01-01`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'an export in no known format',
    method: 'GET',
    url: `${memories}/export?format=xml`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'an export of nobody',
    method: 'GET',
    url: '/v1/agents/nobody-001/memories/export',
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'an unknown agent',
    url: '/v1/agents/nobody-001/memories',
    body: { text: 'a' },
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'an id that is none',
    url: '/v1/agents/Robert%27%3B--/memories',
    body: { text: 'a' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'a broken escape in the path', method: 'GET', url: '/v1/agents/%ff', status: 400, code: 'INVALID_INPUT' },
  { name: 'an unknown run', method: 'GET', url: `/v1/runs/${newId('run')}`, status: 404, code: 'NOT_FOUND' },
  {
    name: 'an id of another kind',
    method: 'GET',
    url: `/v1/runs/${newId('memory')}`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a search for nothing',
    method: 'GET',
    url: `${memories}/search?q=%20`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a search for more than there can be',
    method: 'GET',
    url: `${memories}/search?q=a&limit=201`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a successor of nothing',
    url: `/v1/memories/${newId('memory')}/supersede`,
    body: { text: 'a' },
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a deletion without a reason',
    method: 'DELETE',
    url: `/v1/memories/${newId('memory')}`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a memory forgotten without a reason',
    url: `/v1/memories/${newId('memory')}/forget`,
    body: {},
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'an unknown sweep', method: 'GET', url: `/v1/sweeps/${newId('sweep')}`, status: 404, code: 'NOT_FOUND' },
  {
    name: 'an unknown workflow',
    method: 'GET',
    url: '/v1/sweeps/reflect-fleet:call-none',
    status: 404,
    code: 'NOT_FOUND',
  },
  { name: 'an unknown path', method: 'GET', url: '/v1/daydreams', status: 404, code: 'NOT_FOUND' },
  {
    name: 'a path that is too long',
    method: 'GET',
    url: `/v1/agents/${'a'.repeat(300)}`,
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'another method',
    method: 'PUT',
    url: '/v1/agents/vesper-001',
    body: {},
    status: 405,
    code: 'METHOD_NOT_ALLOWED',
  },
  { name: 'a limit over 200', method: 'GET', url: '/v1/agents?limit=201', status: 400, code: 'INVALID_INPUT' },
  { name: 'a cursor that is none', method: 'GET', url: '/v1/agents?cursor=%00', status: 400, code: 'INVALID_INPUT' },
  {
    name: 'a cursor with SQL in it',
    method: 'GET',
    url: `/v1/runs?cursor=${Buffer.from("x' or 1=1--").toString('base64url')}`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'a format that is none', method: 'GET', url: '/v1/agents?format=xml', status: 400, code: 'INVALID_INPUT' },
  {
    name: 'an event cursor that is none',
    method: 'GET',
    url: '/v1/events?after=yesterday',
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a fleet that is not YAML',
    url: '/v1/fleet/apply',
    body: { source: 'machines: [' },
    status: 422,
    code: 'CONFIG_INVALID',
  },
  {
    name: 'a fleet with a misspelt key',
    url: '/v1/fleet/apply',
    body: { source: smallFleet.replace('cadence:', 'cadance:') },
    status: 422,
    code: 'CONFIG_INVALID',
  },
  {
    name: 'a cadence beyond the cards',
    url: '/v1/fleet/apply',
    body: { source: smallFleet.replace('cadence: 6h', 'cadence: 2s') },
    status: 422,
    code: 'CADENCE_TOO_FAST',
  },
  { name: 'a sweep of no cadence', url: '/v1/sweeps', body: { cadence: 'daily' }, status: 400, code: 'INVALID_INPUT' },
  {
    name: 'a key of blanks',
    url: '/v1/sweeps',
    body: {},
    headers: { 'idempotency-key': ' a b ' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a machine to lose that is none',
    url: '/v1/fleet/simulate',
    body: { lose: ['mars'] },
    status: 404,
    code: 'MACHINE_UNKNOWN',
  },
  {
    name: 'a machine to add that is none',
    url: '/v1/fleet/simulate',
    body: { add: ['spare'] },
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'a drain of a lost machine', url: '/v1/machines/big/drain', status: 409, code: 'CONFLICT' },
  { name: 'a kill where nobody runs workers', url: '/v1/machines/big/kill', status: 409, code: 'CONFLICT' },
  {
    name: 'an Ollama that is not there',
    url: '/v1/models/use',
    body: { server: 'ollama', agents: 2 },
    status: 503,
    code: 'MODEL_SERVER_DOWN',
  },
  { name: 'a message without text', url: talk, body: {}, status: 400, code: 'INVALID_INPUT' },
  {
    name: 'a message that is too long',
    url: talk,
    body: { text: 'x'.repeat(8_001) },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a conversation that is none',
    url: talk,
    body: { text: 'a', conversationId: 'yesterday' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a message that whispers more than a whisper holds',
    url: talk,
    body: { text: 'x'.repeat(2_001), whisper: true },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a message that perhaps whispers',
    url: talk,
    body: { text: 'a', whisper: 'yes' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'a speaker without a name', url: talk, body: { text: 'a', author: '' }, status: 400, code: 'INVALID_INPUT' },
  {
    name: 'an agent that is none',
    url: '/v1/agents/nobody-001/messages',
    body: { text: 'a' },
    headers: { accept: 'text/event-stream' },
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'an unknown message',
    method: 'GET',
    url: `/v1/messages/${newId('message')}`,
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a place in a stream that is none',
    method: 'GET',
    url: `/v1/messages/${newId('message')}/events`,
    headers: { 'last-event-id': 'yesterday' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a message to cancel that is none',
    url: `/v1/messages/${newId('message')}/cancel`,
    status: 404,
    code: 'NOT_FOUND',
  },
  { name: 'a schedule that is none', url: '/v1/schedules/reflect-9h/pause', body: {}, status: 404, code: 'NOT_FOUND' },
  { name: 'a secret of a feed', url: '/v1/sources/harbour-news/secrets', body: {}, status: 409, code: 'CONFLICT' },
  {
    name: 'an event that nobody signed',
    url: '/v1/sources/harbour-news/events',
    body: {},
    status: 401,
    code: 'UNAUTHENTICATED',
  },
  {
    name: 'an event of a source that is none',
    url: '/v1/sources/nowhere/events',
    body: {},
    status: 401,
    code: 'UNAUTHENTICATED',
  },
  { name: 'a source that is none', method: 'GET', url: '/v1/sources/nowhere', status: 404, code: 'NOT_FOUND' },
  {
    name: 'items of a source that is none',
    method: 'GET',
    url: '/v1/sources/nowhere/items',
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a poll of a source that is none',
    url: '/v1/sources/nowhere/poll',
    body: {},
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a source by an id that cannot be',
    method: 'GET',
    url: '/v1/sources/No_Where',
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a cursor of items that is none',
    method: 'GET',
    url: `/v1/sources/harbour-news/items?cursor=${Buffer.from('x').toString('base64url')}`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a source with a password in its address',
    url: '/v1/fleet/apply',
    body: { source: `${smallFleet}sources: [{ id: a, kind: feed, url: 'https://me:pw@x.example', agents: all }]` },
    status: 422,
    code: 'CONFIG_INVALID',
  },
  { name: 'a package of talk', url: loops, body: { kinds: ['conversation'] }, status: 400, code: 'INVALID_INPUT' },
  { name: 'a package of no kinds', url: loops, body: { kinds: [] }, status: 400, code: 'INVALID_INPUT' },
  { name: 'a package since a word', url: loops, body: { since: 'yesterday' }, status: 400, code: 'INVALID_INPUT' },
  { name: 'a package over ten', url: loops, body: { leastImportance: 11 }, status: 400, code: 'INVALID_INPUT' },
  { name: 'a package with a wish', url: loops, body: { private: true }, status: 400, code: 'INVALID_INPUT' },
  { name: 'a package of nobody', url: '/v1/agents/nobody-001/loops', body: {}, status: 404, code: 'NOT_FOUND' },
  {
    name: 'an unknown package',
    method: 'GET',
    url: `/v1/loops/${newId('loopPackage')}`,
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'the file of an unknown package',
    method: 'GET',
    url: `/v1/loops/${newId('loopPackage')}/archive`,
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a package by an id that cannot be',
    method: 'GET',
    url: '/v1/loops/1',
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'an install of nothing', url: '/v1/loops', status: 400, code: 'MALFORMED_BODY' },
  { name: 'an install of JSON', url: '/v1/loops', body: {}, status: 415, code: 'UNSUPPORTED_MEDIA_TYPE' },
  {
    name: 'an install of zeros',
    url: '/v1/loops',
    raw: Buffer.alloc(4_096),
    headers: octets,
    status: 400,
    code: 'MALFORMED_BODY',
  },
  {
    name: 'an install of something else',
    url: '/v1/loops?trustUnknown=true',
    raw: Buffer.from('PK\x03\x04 and so on'.repeat(500), 'latin1'),
    headers: octets,
    status: 400,
    code: 'MALFORMED_BODY',
  },
  {
    name: 'an install that trusts a word',
    url: '/v1/loops?trustKey=mine',
    raw: Buffer.alloc(512),
    headers: octets,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'an install under a word that is no id',
    url: '/v1/loops?as=No%20Id',
    raw: Buffer.alloc(512),
    headers: octets,
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'an unknown thread', method: 'GET', url: `/v1/threads/${newId('thread')}`, status: 404, code: 'NOT_FOUND' },
  {
    name: 'a kind of thread that is none',
    method: 'GET',
    url: '/v1/threads?kind=gossip',
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'threads of an agent that cannot be',
    method: 'GET',
    url: '/v1/threads?agentId=Robert%27%3B--',
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a weaving with a wish',
    url: '/v1/threads/weave',
    body: { kind: 'echo' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a state of drift that is none',
    method: 'GET',
    url: '/v1/drift?state=lost',
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'drift of nobody', method: 'GET', url: '/v1/agents/nobody-001/drift', status: 404, code: 'NOT_FOUND' },
  {
    name: 'a drift to be rated with a body',
    url: '/v1/drift/rate',
    body: { agents: 'all' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'an unknown cluster',
    method: 'GET',
    url: `/v1/clusters/${newId('cluster')}`,
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a state of clusters that is none',
    method: 'GET',
    url: '/v1/clusters?state=calm',
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a whisper of nothing',
    url: '/v1/whispers',
    body: { parentId: 'vesper-001', text: ' ' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a whisper over its length',
    url: '/v1/whispers',
    body: { parentId: 'vesper-001', text: 'x'.repeat(2001) },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a whisper to nobody',
    url: '/v1/whispers',
    body: { parentId: 'nobody', text: 'a' },
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a retry of an unknown whisper',
    url: '/v1/whispers',
    body: { parentId: 'vesper-001', text: 'a', retryOf: newId('whisper') },
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'an approval of an unknown whisper',
    url: `/v1/whispers/${newId('whisper')}/approve`,
    status: 404,
    code: 'NOT_FOUND',
  },
  { name: 'an unknown agent to retire', url: '/v1/agents/nobody/retire', status: 404, code: 'NOT_FOUND' },
  { name: 'an unknown agent to revive', url: '/v1/agents/nobody/revive', status: 404, code: 'NOT_FOUND' },
  {
    name: 'an agent without an ego account',
    method: 'GET',
    url: '/v1/agents/nobody/ego',
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a lineage cursor that is none',
    method: 'GET',
    url: '/v1/lineages?cursor=abc',
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a license of no kind',
    url: '/v1/licenses',
    body: { ...gift, kind: 'eternal' },
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a license for nobody',
    url: '/v1/licenses',
    body: { ...gift, holder: newId('user') },
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a license of a package that is no hash',
    url: '/v1/licenses',
    body: { ...gift, packageHash: 'A'.repeat(64) },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a license without a reason',
    url: '/v1/licenses',
    body: { ...gift, reason: ' ' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'an unknown license', method: 'GET', url: noLicense, status: 404, code: 'NOT_FOUND' },
  {
    name: 'a license by an id of another kind',
    method: 'GET',
    url: `/v1/licenses/${newId('run')}`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'a check of an unknown license', url: `${noLicense}/check`, body: {}, status: 404, code: 'NOT_FOUND' },
  {
    name: 'a check for no purpose there is',
    url: `${noLicense}/check`,
    body: { purpose: 'resell' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a redemption without an id',
    url: `${noLicense}/redeem`,
    body: {},
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a redemption id of blanks',
    url: `${noLicense}/redeem`,
    body: { redemptionId: 'a b' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'an activation nowhere',
    url: `${noLicense}/activate`,
    body: { activationId: 'a', place: ' ' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'an end of an activation of an unknown license',
    url: `${noLicense}/deactivate`,
    body: { activationId: 'a' },
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'an extension by nothing',
    url: `${noLicense}/extend`,
    body: { reason: 'a' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'an extension until no day there is',
    url: `${noLicense}/extend`,
    body: { reason: 'a', expiresAt: '2026-02-30T00:00:00Z' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a transfer to a name',
    url: `${noLicense}/transfer`,
    body: { to: 'ada', reason: 'a' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a revocation without a reason',
    url: `${noLicense}/revoke`,
    body: {},
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a file that holds for a minute',
    method: 'GET',
    url: `${noLicense}/file?ttlSeconds=60`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'licenses in a state that is none',
    method: 'GET',
    url: '/v1/licenses?state=lost',
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a cursor of usage that is none',
    method: 'GET',
    url: `${noLicense}/usage?cursor=${Buffer.from('yesterday').toString('base64url')}`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a revocation list of an issuer that cannot be',
    method: 'GET',
    url: '/v1/revocations?issuer=me',
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a revocation list of who has signed nothing',
    method: 'GET',
    url: `/v1/revocations?issuer=${newId('user')}`,
    status: 404,
    code: 'NOT_FOUND',
  },
  { name: 'a rotation of nothing', url: '/v1/signing-keys/rotate', body: {}, status: 400, code: 'INVALID_INPUT' },
  {
    name: 'a rotation of a key that does not sign',
    url: '/v1/signing-keys/rotate',
    body: { retires: `key_${'0'.repeat(32)}` },
    status: 409,
    code: 'CONFLICT',
  },
  {
    name: 'keys of an issuer that cannot be',
    method: 'GET',
    url: '/v1/signing-keys?issuer=me',
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a grant without a key',
    url: '/v1/credits/grants',
    body: { userId: newId('user'), amount: 1, currency: 'EUR', reason: 'a' },
    status: 400,
    code: 'INVALID_INPUT',
  },
  ...[
    { name: 'a grant to nobody', status: 404, code: 'NOT_FOUND' },
    { name: 'a grant of nothing', change: { amount: 0 }, status: 400, code: 'INVALID_INPUT' },
    { name: 'a grant of less than nothing', change: { amount: -5 }, status: 400, code: 'INVALID_INPUT' },
    { name: 'a grant of half a cent', change: { amount: 0.5 }, status: 400, code: 'INVALID_INPUT' },
    { name: 'a grant that is no safe integer', change: { amount: 2 ** 53 }, status: 400, code: 'INVALID_INPUT' },
    { name: 'a grant as text', change: { amount: '5' }, status: 400, code: 'INVALID_INPUT' },
    { name: 'a grant in no currency', change: { currency: 'XYZ' }, status: 400, code: 'INVALID_INPUT' },
    { name: 'a grant in small letters', change: { currency: 'eur' }, status: 400, code: 'INVALID_INPUT' },
    { name: 'a grant without a reason', change: { reason: ' ' }, status: 400, code: 'INVALID_INPUT' },
    { name: 'a grant with a wish', change: { expires: 'never' }, status: 400, code: 'INVALID_INPUT' },
  ].map(({ change = {}, ...rest }) => ({
    ...rest,
    url: '/v1/credits/grants',
    body: { userId: newId('user'), amount: 1, currency: 'EUR', reason: 'a', ...change },
    headers: { 'idempotency-key': 'k' },
  })),
  {
    name: 'an unknown transfer',
    method: 'GET',
    url: '/v1/ledger/transfers/sale:none',
    status: 404,
    code: 'NOT_FOUND',
  },
  {
    name: 'a transfer by an id that cannot be',
    method: 'GET',
    url: '/v1/ledger/transfers/Robert%27%3B--',
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a kind of account that is none',
    method: 'GET',
    url: '/v1/ledger/accounts?kind=purse',
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a cursor of transfers that is none',
    method: 'GET',
    url: `/v1/ledger/transfers?cursor=${Buffer.from('-1').toString('base64url')}`,
    status: 400,
    code: 'INVALID_INPUT',
  },
  {
    name: 'a reconciliation with a wish',
    url: '/v1/ledger/reconcile',
    body: { quickly: true },
    status: 400,
    code: 'INVALID_INPUT',
  },
  { name: 'a token of no role', url: '/v1/tokens', body: { role: 'king' }, status: 400, code: 'INVALID_INPUT' },
  {
    name: 'a sign-in link that is none',
    url: '/v1/sessions',
    body: { once: 'sfr_nothing-of-ours' },
    status: 401,
    code: 'UNAUTHENTICATED',
  },
];

describe('refuses, with a code and nothing written:', () => {
  test.each(refusals)('$name', async ({ method = 'POST', url = memories, status, code, ...call }) => {
    const before = await api.rowCounts();
    const answer = await api.call(method, url, call);
    expect({ status: answer.status, code: answer.json['code'] }, answer.text).toEqual({ status, code });
    expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
    expect(answer.json['requestId']).toBe(answer.headers['x-request-id']);
    expect(await api.rowCounts()).toEqual(before);
  });
});

test('names each broken field with its rule and mend', async () => {
  const { json: problem } = await api.call('POST', memories, { body: { txt: 'a', importance: 0 } });
  expect(problem['errors']).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ path: 'text', rule: 'is required' }),
      expect.objectContaining({ path: 'importance', rule: 'must be at least 1' }),
      expect.objectContaining({ path: 'txt', mend: 'Did you mean `text`?' }),
    ]),
  );
});

test('tells every error of fleet.yaml with its line', async () => {
  const source = smallFleet.replace('cadence: 6h', 'cadence: often').replace('count: 1', 'count: -1');
  const { json: problem } = await api.call('POST', '/v1/fleet/apply', { body: { source } });
  const errors = problem['errors'] as Array<{ path: string; line: number }>;
  const lineOf = (text: string) => source.slice(0, source.indexOf(text)).split('\n').length;
  expect(errors.map(({ path, line }) => ({ path, line }))).toEqual([
    { path: 'archetypes.0.cadence', line: lineOf('cadence: often') },
    { path: 'archetypes.1.count', line: lineOf('count: -1') },
  ]);
});

test('shows and gives nothing of another owner', async () => {
  const { token } = api.stranger;
  const before = await api.rowCounts();
  const calls: Array<[string, string, unknown?]> = [
    ['GET', '/v1/agents/vesper-001'],
    ['GET', memories],
    ['GET', `${memories}/export`],
    ['POST', memories, { text: 'a' }],
    ['GET', `/v1/memories/${theirs.memoryId}`],
    ['POST', '/v1/agents/vesper-001/pause'],
    ['POST', '/v1/agents/vesper-001/trigger'],
    ['GET', '/v1/agents/vesper-001/drift'],
    ['POST', '/v1/drift/rate'],
    ['POST', '/v1/clusters/find'],
    ['GET', '/v1/machines/big'],
    ['POST', '/v1/machines/big/drain'],
    ['POST', '/v1/machines/big/kill'],
    ['GET', '/v1/fleet'],
    ['GET', '/v1/fleet/plan'],
    ['GET', '/v1/fleet/export'],
    ['POST', '/v1/fleet/undo'],
    ['POST', '/v1/sweeps', {}],
    ['GET', '/v1/sources/harbour-news'],
    ['GET', '/v1/sources/harbour-news/items'],
    ['POST', '/v1/sources/harbour-news/poll', {}],
    ['POST', '/v1/threads/weave', {}],
    ['POST', loops, {}],
    ['POST', '/v1/sources/harbour-news/secrets', {}],
    ['GET', '/v1/sources/harbour-news/secrets'],
    ['DELETE', `/v1/sources/harbour-news/secrets/${newId('sourceSecret')}`],
    ['POST', '/v1/schedules/reflect-6h/pause', {}],
  ];
  for (const [method, url, body] of calls) {
    const answer = await api.call(method, url, { token, ...(body === undefined ? {} : { body }) });
    expect({ url, status: answer.status, code: answer.json['code'] }).toEqual({ url, status: 404, code: 'NOT_FOUND' });
  }
  for (const url of [
    '/v1/agents',
    '/v1/machines',
    '/v1/runs',
    '/v1/clusters',
    '/v1/cluster-runs',
    '/v1/drift',
    '/v1/inbox',
    '/v1/loops',
    '/v1/threads',
    '/v1/fleet/versions',
    '/v1/schedules',
    '/v1/sources',
  ]) {
    expect((await api.call('GET', url, { token })).json.items).toEqual([]);
  }
  const ndjson = await api.call('POST', '/v1/memories', {
    token,
    raw: `${JSON.stringify({ agentId: 'vesper-001', text: 'a' })}\n`,
    headers: { 'content-type': 'application/x-ndjson' },
  });
  expect(ndjson.json['code']).toBe('NOT_FOUND');
  expect(await api.rowCounts()).toEqual(before);
});
