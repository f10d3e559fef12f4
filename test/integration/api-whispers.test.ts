import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
  const source = `${smallFleet}spawning: { mostChildren: 2, growth: 0.9, lineage: { burst: 50, perHour: 0 }, fleet: { burst: 50, perHour: 0 } }\n`;
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source } })).status).toBe(200);
});
afterAll(() => api?.close());

const whisper = (body: Record<string, unknown>, headers: Record<string, string> = {}) =>
  api.call('POST', '/v1/whispers', { body: { parentId: 'vesper-001', text: 'A keeper of lists.', ...body }, headers });

test('an admitted whisper is a row that asks for its workflow; the same request is the same whisper', async () => {
  const key = { 'idempotency-key': 'w-1' };
  const first = await whisper({}, key);
  expect(first.status).toBe(202);
  expect(first.json).toMatchObject({ state: 'received', source: 'api', parentId: 'vesper-001', code: null });
  const id = first.json['id'] as string;
  expect(first.headers['location']).toBe(`/v1/whispers/${id}`);
  const intent = await api.db.selectFrom('intents').selectAll().where('workflowId', '=', `spawn:${id}`).execute();
  expect(intent).toMatchObject([{ type: 'spawnPersona', args: [{ whisperId: id }] }]);
  expect((await whisper({}, key)).json).toEqual(first.json);
  const other = await whisper({ text: 'Something else.' }, key);
  expect({ status: other.status, code: other.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
});

test('a refused one is answered with its reason, and asked again it names the old', async () => {
  for (const _ of [1, 2]) await whisper({ parentId: 'vesper-002' });
  const refused = await whisper({ parentId: 'vesper-002' });
  expect(refused.status).toBe(200);
  expect(refused.json).toMatchObject({
    state: 'refused',
    code: 'TOO_MANY_CHILDREN',
    reason: 'vesper-002 has 2 children; spawning.mostChildren is 2',
  });
  const again = await whisper({ parentId: 'rook-001', retryOf: refused.json['id'] });
  expect(again.json).toMatchObject({ state: 'received', retryOf: refused.json['id'] });
  const early = await whisper({ retryOf: again.json['id'] });
  expect({ status: early.status, code: early.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
  const list = await api.call('GET', '/v1/whispers?state=refused');
  expect(list.json.items).toMatchObject([{ id: refused.json['id'] }]);
});

test('a dry run and a stranger write nothing and see nothing', async () => {
  const { json } = await whisper({ parentId: 'vesper-003' });
  const id = json['id'] as string;
  const before = await api.rowCounts();
  const { token } = api.stranger;
  const dry = await api.call('POST', '/v1/whispers?dryRun=true', { body: { parentId: 'vesper-001', text: 'a' } });
  expect(dry.json).toMatchObject({ dryRun: true });
  for (const [method, url, body] of [
    ['GET', `/v1/whispers/${id}`],
    ['POST', `/v1/whispers/${id}/approve`],
    ['POST', `/v1/whispers/${id}/refuse`],
    ['POST', '/v1/whispers', { parentId: 'vesper-001', text: 'a' }],
    ['POST', '/v1/agents/vesper-001/retire'],
  ] as const) {
    const answer = await api.call(method, url, { token, body });
    expect({ url, status: answer.status }).toEqual({ url, status: 404 });
  }
  expect((await api.call('GET', '/v1/whispers', { token })).json.items).toEqual([]);
  expect(await api.rowCounts()).toEqual(before);
});

test('what does not wait for an operator cannot be decided; where its workflow is gone it can still be refused', async () => {
  const { json } = await whisper({ parentId: 'rook-001' });
  const id = json['id'] as string;
  expect((await api.call('POST', `/v1/whispers/${id}/approve`)).json['code']).toBe('CONFLICT');
  await sql`update whispers set state = 'awaiting_approval', deadline = now() + interval '1 day' where id = ${id}`.execute(
    api.db,
  );
  expect((await api.call('POST', `/v1/whispers/${id}/approve`)).json).toMatchObject({ code: 'CONFLICT' });
  const refused = await api.call('POST', `/v1/whispers/${id}/refuse`, { body: { reason: 'nobody waits any more' } });
  expect(refused.json).toMatchObject({ state: 'refused', code: 'NOT_APPROVED', reason: 'nobody waits any more' });
  expect((await api.call('GET', `/v1/whispers/${newId('whisper')}`)).status).toBe(404);
});

test('one that is under way and waits for nobody is refused, too, and gives its place back', async () => {
  await whisper({ parentId: 'rook-001' });
  const open = await api.call('GET', '/v1/whispers?state=received&parentId=rook-001');
  expect(open.json.items).toHaveLength(2);
  const id = open.json.items[0]!['id'] as string;
  expect((await whisper({ parentId: 'rook-001' })).json).toMatchObject({ code: 'TOO_MANY_CHILDREN' });
  const dry = await api.call('POST', `/v1/whispers/${id}/refuse?dryRun=true`);
  expect(dry.json).toEqual({ dryRun: true, would: `refuse ${id}` });
  // Nobody works on it: as after its workflow was terminated.
  const refused = await api.call('POST', `/v1/whispers/${id}/refuse`, { body: { reason: 'it hangs' } });
  expect(refused.status).toBe(200);
  expect(refused.json).toMatchObject({ state: 'refused', code: 'NOT_APPROVED', reason: 'it hangs' });
  expect((await whisper({ parentId: 'rook-001' })).json).toMatchObject({ state: 'received' });
  const again = await api.call('POST', `/v1/whispers/${id}/refuse`);
  expect({ status: again.status, code: again.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
});
