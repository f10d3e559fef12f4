import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
  await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } });
});
afterAll(() => api?.close());

const ndjson = { 'content-type': 'application/x-ndjson' };
const line = (fields: object) => `${JSON.stringify({ agentId: 'vesper-001', ...fields })}\n`;
const memoryCount = async () => (await api.rowCounts())['memories'];

test('good lines go in, each bad one is told with its number', async () => {
  const raw = Buffer.concat([
    Buffer.from(line({ text: 'one', externalKey: 'k1' })),
    Buffer.from('{"agentId": "vesper-001", "text": \n'),
    Buffer.from('\n'),
    Buffer.from([0x22, 0xff, 0xfe, 0x22, 0x0a]),
    Buffer.from(line({ text: 'x'.repeat(70_000) })),
    Buffer.from(line({ text: 'two', colour: 'red' })),
    Buffer.from(line({ agentId: 'nobody-001', text: 'three' })),
    // The last line needs no end.
    Buffer.from(line({ text: 'four', externalKey: 'k4' }).trimEnd()),
  ]);
  const { status, json } = await api.call('POST', '/v1/memories', { raw, headers: ndjson });
  expect(status).toBe(200);
  expect(json).toMatchObject({ added: 2, known: 0, refused: 5, errorsLeftOut: 0 });
  const errors = json['errors'] as Array<{ line: number; code: string }>;
  expect(errors.map(({ line: number, code }) => [number, code])).toEqual([
    [2, 'MALFORMED_BODY'],
    [4, 'MALFORMED_BODY'],
    [5, 'BODY_TOO_LARGE'],
    [6, 'INVALID_INPUT'],
    [7, 'NOT_FOUND'],
  ]);
  const again = await api.call('POST', '/v1/memories', { raw, headers: ndjson });
  expect(again.json).toMatchObject({ added: 0, known: 2, refused: 5 });
});

test('a stream of which no line is good is refused', async () => {
  const before = await api.rowCounts();
  const raw = `${line({ agentId: 'nobody-001', text: 'a' })}${line({ agentId: 'nobody-002', text: 'b' })}`;
  const { status, json } = await api.call('POST', '/v1/memories', { raw, headers: ndjson });
  expect({ status, code: json['code'] }).toEqual({ status: 404, code: 'NOT_FOUND' });
  expect(await api.rowCounts()).toEqual(before);
});

test('a stream of many batches goes in whole and numbers the memories of each agent', async () => {
  const raw = Array.from({ length: 2_500 }, (_, i) =>
    line({ agentId: i % 2 === 0 ? 'vesper-002' : 'vesper-003', text: `event ${i}` }),
  ).join('');
  const { json } = await api.call('POST', '/v1/memories', { raw, headers: ndjson });
  expect(json).toMatchObject({ added: 2_500, refused: 0 });
  const rows = await api.db
    .selectFrom('memories')
    .select('seq')
    .where('agentId', '=', 'vesper-003')
    .orderBy('seq')
    .execute();
  expect(rows.map((row) => row.seq)).toEqual(Array.from({ length: 1_250 }, (_, i) => i + 1));
});

test('the same key answers with the memory that is there, and with another text is a conflict', async () => {
  const url = '/v1/agents/rook-001/memories';
  const headers = { 'idempotency-key': 'bird-7' };
  const first = await api.call('POST', url, { body: { text: 'seven birds' }, headers });
  expect(first.status).toBe(201);
  const again = await api.call('POST', url, { body: { text: 'seven birds' }, headers });
  expect({ status: again.status, id: again.json['id'] }).toEqual({ status: 200, id: first.json['id'] });
  const other = await api.call('POST', url, { body: { text: 'eight birds' }, headers });
  expect({ status: other.status, code: other.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
});

test('the same text at the same time is the same memory, at another time another', async () => {
  const url = '/v1/agents/rook-001/memories';
  const body = { text: 'low tide', occurredAt: '2026-03-01T06:00:00Z' };
  expect((await api.call('POST', url, { body })).status).toBe(201);
  expect((await api.call('POST', url, { body })).status).toBe(200);
  expect((await api.call('POST', url, { body: { ...body, occurredAt: '2026-03-02T06:00:00Z' } })).status).toBe(201);
});

test('a dry run counts and writes nothing', async () => {
  const before = await api.rowCounts();
  const raw = `${line({ text: 'never' })}${line({ agentId: 'nobody-001', text: 'b' })}`;
  const many = await api.call('POST', '/v1/memories?dryRun=true', { raw, headers: ndjson });
  expect(many.json).toMatchObject({ dryRun: true, added: 1, refused: 1 });
  const one = await api.call('POST', '/v1/agents/vesper-001/memories?dryRun=true', { body: { text: 'never' } });
  expect(one.json).toMatchObject({ dryRun: true, would: 'add a memory to vesper-001' });
  expect(await api.rowCounts()).toEqual(before);
});

test('text comes back as it was sent', async () => {
  const text = `<script>alert('1')</script> ' "; drop table memories; -- 漢字 🜁 \u202e`;
  const { json } = await api.call('POST', '/v1/agents/vesper-001/memories', { body: { text } });
  const read = await api.call('GET', `/v1/memories/${json['id'] as string}`);
  expect(read.json['text']).toBe(text);
  expect(await memoryCount()).toBeGreaterThan(0);
});
