import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createMemoryStore } from '../../stores/memories.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
  await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet.replace('count: 3', 'count: 90') } });
});
afterAll(() => api?.close());

const ndjson = { 'content-type': 'application/x-ndjson' };
const agentId = 'vesper-001';
type Line = Record<string, unknown>;
const written = (lines: readonly Line[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join('');
const send = (raw: string | Buffer, query = '') => api.call('POST', `/v1/memories${query}`, { raw, headers: ndjson });
async function exported(id: string): Promise<Line[]> {
  const { status, text } = await api.call('GET', `/v1/agents/${id}/memories/export`);
  expect(status).toBe(200);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}
/** What must be the same on both sides of a journey: all but whose it is and when it came. */
const content = (lines: readonly Line[]) =>
  lines
    .filter(({ type }) => type === 'memory' || type === 'reflection')
    .map(({ agentId: _agent, recordedAt: _recorded, ...line }) => line)
    .sort((a, b) => (String(a['externalKey']) < String(b['externalKey']) ? -1 : 1));

const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();

test('a dirty file: every line is told by number, code and field; a dry run says the same, and a second import adds nothing', async () => {
  await send(written([{ agentId, text: 'Here before.', externalKey: 'here-1', occurredAt: minutesAgo(90) }]));
  const good = { agentId, occurredAt: '2026-01-05T08:00:00Z' };
  const reflection = { ...good, type: 'reflection' };
  const json = (line: Line) => JSON.stringify(line);
  const dirt: Array<[line: string | Buffer, said: string | [string, string | undefined]]> = [
    [`\ufeff${json({ ...good, text: 'It begins with a byte order mark.', externalKey: 'a' })}`, 'in'],
    [`${json({ ...good, text: 'It ends with CR and LF.', externalKey: 'b' })}\r`, 'in'],
    ['   ', 'nothing'],
    [json({ ...good, text: ' \n\t ' }), ['INVALID_INPUT', 'text']],
    [json({ ...good, text: '\u200b\u2060' }), ['INVALID_INPUT', 'text']],
    [json({ ...good, text: '' }), ['INVALID_INPUT', 'text']],
    [json(good), ['INVALID_INPUT', 'text']],
    [json({ ...good, text: 'It begins with a byte order mark.', externalKey: 'a' }), ['CONFLICT', 'externalKey']],
    [json({ ...good, text: 'The key is taken by line 2.', externalKey: 'b' }), ['CONFLICT', 'externalKey']],
    [json({ ...good, text: 'Other words than those here.', externalKey: 'here-1' }), ['CONFLICT', 'externalKey']],
    [json({ ...good, text: 'Here before.', externalKey: 'here-1' }), 'known'],
    [json({ ...good, text: 'No key, twice.' }), 'in'],
    [json({ ...good, text: 'No key, twice.' }), ['CONFLICT', 'externalKey']],
    [json({ agentId, text: 'Neither key nor time.' }), 'in'],
    [json({ agentId, text: 'Neither key nor time.' }), ['CONFLICT', 'externalKey']],
    [json({ ...reflection, text: 'It rests on what comes later.', externalKey: 'r1', evidence: ['late'] }), 'in'],
    [json({ ...reflection, text: 'It rests on nothing.', evidence: ['no-1', 'no-2'] }), ['INVALID_INPUT', 'evidence']],
    [json({ ...reflection, text: 'In part.', externalKey: 'r2', evidence: ['r1', 'no-3'] }), ['note', 'evidence']],
    [json({ ...reflection, text: 'A ring, one.', externalKey: 'x', evidence: ['y'] }), ['INVALID_INPUT', 'evidence']],
    [json({ ...reflection, text: 'A ring, two.', externalKey: 'y', evidence: ['x'] }), ['INVALID_INPUT', 'evidence']],
    [json({ ...reflection, text: 'On itself.', externalKey: 'z', evidence: ['z'] }), ['INVALID_INPUT', 'evidence']],
    [json({ ...reflection, text: 'No evidence.', evidence: [] }), ['INVALID_INPUT', 'evidence']],
    [json({ ...good, text: 'The evidence.', externalKey: 'late' }), 'in'],
    [json({ ...good, text: 'Of days to come.', occurredAt: '2999-01-01T00:00:00Z' }), ['INVALID_INPUT', 'occurredAt']],
    [json({ ...good, text: 'A clock a little fast.', occurredAt: minutesAgo(-3) }), 'in'],
    [json({ ...good, text: 'Used later.', lastUsedAt: minutesAgo(-9) }), ['INVALID_INPUT', 'lastUsedAt']],
    [json({ ...good, text: 'No such day.', occurredAt: '2026-02-30T00:00:00Z' }), ['INVALID_INPUT', 'occurredAt']],
    [json({ ...good, text: 'No such year.', occurredAt: '0000-01-01T00:00:00Z' }), ['INVALID_INPUT', 'occurredAt']],
    [json({ ...good, text: 'A far zone.', occurredAt: '2026-01-05T08:00:00+23:00' }), 'in'],
    [json({ ...good, text: 'It ended first.', validTo: '2026-01-04T00:00:00Z' }), ['INVALID_INPUT', 'validTo']],
    [json({ agentId, text: 'It ended.', validTo: '2026-01-04T00:00:00Z' }), ['INVALID_INPUT', 'occurredAt']],
    [json({ ...good, text: 'No reason.', deletedAt: '2026-01-06T00:00:00Z' }), ['INVALID_INPUT', 'deletedReason']],
    [json({ ...good, forgotten: true, externalKey: 'f' }), ['INVALID_INPUT', 'deletedAt']],
    [json({ ...good, text: 'By itself.', externalKey: 's', supersededBy: 's' }), ['INVALID_INPUT', 'supersededBy']],
    [json({ ...good, text: 'By nobody.', externalKey: 't', supersededBy: 'no-4' }), ['note', 'supersededBy']],
    [Buffer.from('{"agentId":"vesper-001","text":"caf\xe9"}', 'latin1'), ['MALFORMED_BODY', undefined]],
    [json({ ...good, text: 'a\0b' }), ['INVALID_INPUT', 'text']],
    ['{"agentId":"vesper-001","text":"a\0b"}', ['MALFORMED_BODY', undefined]],
    ['{"agentId":"vesper-001","text":"half \\ud83d"}', ['INVALID_INPUT', 'text']],
    [json({ ...good, text: 'k', externalKey: 'k\0' }), ['INVALID_INPUT', 'externalKey']],
    [json({ ...good, text: 'x'.repeat(70_000) }), ['BODY_TOO_LARGE', undefined]],
    [json({ ...good, text: 'x'.repeat(8_001) }), ['INVALID_INPUT', 'text']],
    [json({ ...good, text: 'A number in quotes.', importance: '7' }), ['INVALID_INPUT', 'importance']],
    [json({ ...good, text: 'Too much.', importance: 11 }), ['INVALID_INPUT', 'importance']],
    [json({ ...good, text: 'In between.', importance: 5.5 }), ['INVALID_INPUT', 'importance']],
    [json({ ...good, text: 7 }), ['INVALID_INPUT', 'text']],
    [json({ ...good, text: 'A field more.', colour: 'red' }), ['INVALID_INPUT', 'colour']],
    ['{"agentId":"vesper-001","text":"a","__proto__":{"x":1}}', ['INVALID_INPUT', '__proto__']],
    [json({ ...good, text: 'No such kind.', kind: 'dream' }), ['INVALID_INPUT', 'kind']],
    [json({ ...good, text: 'No such type.', type: 'dream' }), ['INVALID_INPUT', 'type']],
    [json({ ...good, agentId: 'nobody-001', text: 'Of nobody.' }), ['NOT_FOUND', undefined]],
    [json({ text: 'Of whom?' }), ['INVALID_INPUT', 'agentId']],
    ['{"agentId": "vesper-001", "text": ', ['MALFORMED_BODY', undefined]],
    ['[1, 2]', ['INVALID_INPUT', '']],
    ['null', ['INVALID_INPUT', '']],
    ['['.repeat(60_000), ['MALFORMED_BODY', undefined]],
    // The last line needs no end.
    [json({ ...good, text: 'The last one.' }), 'in'],
  ];
  const raw = Buffer.concat(
    dirt.flatMap(([line], i) => [...(i === 0 ? [] : [Buffer.from('\n')]), Buffer.from(line as string)]),
  );
  const before = await api.rowCounts();
  const dry = await send(raw, '?dryRun=true');
  expect(await api.rowCounts()).toEqual(before);
  const real = await send(raw);
  expect({ status: real.status, dry: dry.json }).toEqual({ status: 200, dry: { ...real.json, dryRun: true } });

  type Told = { line: number; code: string; path: string; mend: string; errors?: Array<{ path: string }> };
  const said = new Map<number, unknown>();
  for (const { line, code, mend, errors } of real.json['errors'] as Told[]) {
    said.set(line, [code, errors?.[0]?.path]);
    expect(mend, `line ${line}`).not.toBe('');
  }
  for (const { line, path } of real.json['notes'] as Told[]) said.set(line, ['note', path]);
  expect(dirt.map((_, i) => said.get(i + 1))).toEqual(
    dirt.map(([, expected]) => (typeof expected === 'string' ? undefined : expected)),
  );
  const count = (what: string) => dirt.filter(([, expected]) => expected === what || expected[0] === what);
  expect(real.json).toMatchObject({ added: count('in').length + count('note').length, known: 1 });
  expect(dirt.length - count('in').length - count('note').length - 2).toBeGreaterThan(40);

  const after = await api.rowCounts();
  const again = await send(raw);
  expect(again.json).toMatchObject({
    added: 0,
    known: (real.json['added'] as number) + 1,
    refused: real.json['refused'],
    errors: real.json['errors'],
  });
  expect(await api.rowCounts()).toEqual(after);
});

test('what a memory has been through travels with it: ends, successors, tombstones, what was forgotten, evidence', async () => {
  const memories = createMemoryStore(api.db);
  const give = (text: string, more: Line = {}) =>
    api
      .call('POST', `/v1/agents/vesper-002/memories`, { body: { text, occurredAt: '2026-02-01T00:00:00Z', ...more } })
      .then(({ json }) => json as unknown as { id: string; externalKey: string });
  const gate = await give('The gate is open.', { externalKey: 'gate', importance: 8, source: 'a walk' });
  await memories.supersede(api.ownerId, gate.id, {
    text: 'The gate is shut.',
    importance: 4,
    source: 'a walk',
    externalKey: 'gate-2',
    occurredAt: '2026-02-03T00:00:00Z',
  });
  const well = await give('The well is deep.', { kind: 'conversation' });
  await memories.delete(api.ownerId, well.id, 'it was filled in');
  const letter = await give('Her letter lies in the drawer.');
  const birds = await give('Seven birds on the weir.');
  await send(
    written([
      {
        type: 'reflection',
        agentId: 'vesper-002',
        text: 'What is kept is found.',
        importance: 7,
        externalKey: 'insight',
        occurredAt: '2026-02-05T00:00:00Z',
        evidence: [letter.externalKey, birds.externalKey],
        model: 'llama8b_q4',
        promptVersion: 'reflect/9',
      },
      {
        type: 'reflection',
        agentId: 'vesper-002',
        text: 'And what is found is kept.',
        externalKey: 'insight-2',
        occurredAt: '2026-02-06T00:00:00Z',
        evidence: ['insight'],
      },
    ]),
  );
  await api.call('POST', `/v1/memories/${letter.id}/forget`, { body: { reason: 'she asked' } });

  const lines = await exported('vesper-002');
  expect(lines[0]).toMatchObject({ type: 'header', format: 'soulfra-memories', version: 1, agentId: 'vesper-002' });
  expect(lines.at(-1)).toEqual({ type: 'end', lines: lines.length - 2 });
  expect(JSON.stringify(lines)).not.toContain('Her letter');
  const by = (key: string) => lines.find(({ externalKey }) => externalKey === key);
  expect(by('gate')).toMatchObject({ supersededBy: 'gate-2', validTo: '2026-02-03T00:00:00.000Z', importance: 8 });
  expect(by(well.externalKey)).toMatchObject({ deletedReason: 'it was filled in', kind: 'conversation' });
  expect(by(letter.id)).toMatchObject({ forgotten: true, deletedReason: 'she asked' });
  expect(by('insight')).toMatchObject({ type: 'reflection', evidence: [letter.id, birds.externalKey], depth: 1 });
  expect(by('insight-2')).toMatchObject({ evidence: ['insight'], depth: 2 });

  // Backwards: what is named comes after who names it.
  const journey = await send(written(lines.slice(1, -1).reverse()), '?agentId=vesper-003');
  expect(journey.json).toMatchObject({ added: lines.length - 2, refused: 0, notes: [] });
  expect(content(await exported('vesper-003'))).toEqual(content(lines));
  const again = await send(written(lines), '?agentId=vesper-003');
  expect(again.json).toMatchObject({ added: 0, known: lines.length - 2, refused: 0 });
  const { items } = (await api.call('GET', '/v1/agents/vesper-003/memories')).json;
  const superseded = items.find((item) => item['externalKey'] === 'gate')!;
  const successor = items.find((item) => item['externalKey'] === 'gate-2')!;
  expect(superseded['supersededBy']).toBe(successor['id']);
  const [shown] = (await api.call('GET', '/v1/reflections?agentId=vesper-003')).json.items;
  expect(shown).toMatchObject({ source: 'import', runId: null, machineId: null });
});

let next = 4;
const nextAgent = () => `vesper-${String(next++).padStart(3, '0')}`;

test('whatever goes out comes in the same, in any order of lines', async () => {
  const text = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
    .filter((each) => /[\p{L}\p{N}]/u.test(each) && !each.includes('\0'));
  const moment = fc
    .date({ min: new Date('1990-01-01'), max: new Date('2025-12-31'), noInvalidDate: true })
    .map((at) => at.toISOString());
  const past = fc.record(
    {
      lastUsedAt: moment,
      validTo: fc.constant('2026-03-01T00:00:00.000Z'),
      deleted: fc.record({ deletedAt: moment, deletedReason: text }),
      supersededBy: fc.nat(),
      evidence: fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
      forgotten: fc.constant(true),
    },
    { requiredKeys: [] },
  );
  const memory = fc.record({
    text,
    kind: fc.constantFrom('observation', 'conversation', 'reply', 'drop', 'vote', 'sale', 'whisper'),
    importance: fc.integer({ min: 1, max: 10 }),
    source: text,
    occurredAt: moment,
    past,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(memory, { minLength: 1, maxLength: 25 }), fc.integer(), async (all, seed) => {
      const lines = all.map(({ past: { deleted, supersededBy, evidence, forgotten, ...past }, ...each }, i): Line => {
        const { text: said, kind, ...told } = { externalKey: `k${i}`, ...each };
        const successor = supersededBy === undefined ? i : supersededBy % all.length;
        const rest = {
          ...told,
          ...past,
          ...deleted,
          ...(successor === i ? {} : { supersededBy: `k${successor}`, supersededAt: '2026-01-01T00:00:00.000Z' }),
        };
        if (forgotten && deleted) return { ...rest, type: 'memory', kind, forgotten: true };
        // On what comes before it, so that there is no ring.
        const rests = i === 0 ? [] : [...new Set((evidence ?? []).map((on) => `k${on % i}`))];
        if (rests.length > 0) return { ...rest, type: 'reflection', text: said, evidence: rests };
        return { ...rest, type: 'memory', kind, text: said };
      });
      const shuffled = lines
        .map((line, i) => ({ line, by: Math.sin(seed + i * 7) }))
        .sort((a, b) => a.by - b.by)
        .map(({ line }) => line);
      const [first, second] = [nextAgent(), nextAgent()];
      expect((await send(written(lines), `?agentId=${first}`)).json).toMatchObject({ added: lines.length, notes: [] });
      const out = await exported(first);
      expect(content(out).map(({ depth: _depth, ...line }) => line)).toEqual(content(lines));
      const journey = await send(written(shuffled), `?agentId=${second}`);
      expect(journey.json).toMatchObject({ added: lines.length, refused: 0, notes: [] });
      expect(content(await exported(second))).toEqual(content(out));
      const before = await api.rowCounts();
      expect((await send(written(out), `?agentId=${second}`)).json).toMatchObject({ added: 0, known: lines.length });
      expect(await api.rowCounts()).toEqual(before);
    }),
    { numRuns: 30 },
  );
});

test('a file that was cut off, was changed, or is of another version is told as such', async () => {
  await send(
    written([
      { agentId: 'rook-001', text: 'One.' },
      { agentId: 'rook-001', text: 'Two.' },
    ]),
  );
  const lines = await exported('rook-001');
  const cut = await send(written(lines.slice(0, -1)), '?dryRun=true');
  expect(cut.json).toMatchObject({ known: 2, refused: 1, errors: [{ line: 4, code: 'MALFORMED_BODY' }] });
  const without = await send(written(lines.filter((_, i) => i !== 1)), '?dryRun=true');
  expect(without.json).toMatchObject({ known: 1, refused: 1, errors: [{ line: 3, code: 'MALFORMED_BODY' }] });
  const other = await exported('vesper-088');
  const both = await send(written([...lines, ...other]), '?dryRun=true');
  expect(both.json).toMatchObject({ known: 2, refused: 0 });
  const oneCut = await send(written([...lines.slice(0, -1), ...other]), '?dryRun=true');
  expect(oneCut.json).toMatchObject({ known: 2, refused: 1, errors: [{ line: 4, code: 'MALFORMED_BODY' }] });
  const later = await send(written([{ ...lines[0], version: 2 }, ...lines.slice(1)]));
  expect({ status: later.status, code: later.json['code'] }).toEqual({ status: 400, code: 'INVALID_INPUT' });
  expect(later.text).toContain('this Soulfra reads 1');
});

test('an export of many pages holds all, while memories come in', async () => {
  const many = Array.from({ length: 1_300 }, (_, i) => ({ agentId: 'vesper-090', text: `Event ${i}.` }));
  await send(written(many));
  const [lines] = await Promise.all([
    exported('vesper-090'),
    send(written(many.map((line) => ({ ...line, text: `${line.text} Again.` })))),
  ]);
  expect(lines.length).toBeGreaterThanOrEqual(1_302);
  expect(lines.at(-1)).toEqual({ type: 'end', lines: lines.length - 2 });
});

test('a memory stream of Generative Agents goes in with its evidence; a second time adds nothing', async () => {
  const node = (description: string, more: Line = {}) => ({
    node_count: 1,
    type_count: 1,
    type: 'event',
    depth: 0,
    created: '2023-02-13 09:15:00',
    expiration: null,
    subject: 'a',
    predicate: 'is',
    object: 'b',
    description,
    embedding_key: description,
    poignancy: 4,
    keywords: [],
    filling: [],
    ...more,
  });
  const thought = (description: string, filling: unknown, more: Line = {}) =>
    node(description, { type: 'thought', depth: 1, filling, expiration: '2023-03-15 09:15:00', ...more });
  const file = JSON.stringify({
    node_9: thought('It rests on what is not there', ['node_77']),
    node_8: thought('this is blank', 'node_1'),
    node_7: thought('Reading calms her', ['node_1', 'node_2']),
    node_6: thought('She reads to be calm', ['node_5', 'node_77'], { depth: 2 }),
    node_5: thought('Reading calms her', ['node_1', 'node_2']),
    node_4: node(' '),
    node_3: node('She sleeps', { created: '2999-01-01 00:00:00' }),
    node_2: node('talking of books', { type: 'chat', filling: [['Ada', 'I read.']], poignancy: 12 }),
    node_1: node('She reads'),
  });
  const post = (query: string) =>
    api.call('POST', `/v1/memories?format=generative-agents${query}`, {
      raw: file,
      headers: { 'content-type': 'application/json' },
    });
  const dry = await post('&agentId=vesper-089&dryRun=true');
  const real = await post('&agentId=vesper-089');
  expect(dry.json).toEqual({ ...real.json, dryRun: true });
  expect(real.json).toMatchObject({ added: 4, known: 0, refused: 5 });
  type Told = { at: string; code: string; path: string; errors?: Array<{ path: string; rule: string }> };
  expect((real.json['errors'] as Told[]).map(({ at, errors }) => [at, errors?.[0]?.path])).toEqual(
    expect.arrayContaining([
      ['node_3', 'occurredAt'],
      ['node_4', 'description'],
      ['node_7', 'externalKey'],
      ['node_8', 'description'],
      ['node_9', 'evidence'],
    ]),
  );
  expect((real.json['errors'] as Told[]).find(({ at }) => at === 'node_7')!.errors![0]!.rule).toContain('node_5');
  expect((real.json['notes'] as Told[]).map(({ at, path }) => [at, path])).toEqual(
    expect.arrayContaining([
      ['node_2', 'poignancy'],
      ['node_6', 'evidence'],
    ]),
  );
  expect(real.json['lost']).toContainEqual(expect.objectContaining({ field: 'expiration', count: 4 }));
  const lines = await exported('vesper-089');
  const insight = lines.find(({ text }) => text === 'She reads to be calm')!;
  const below = lines.find(({ text }) => text === 'Reading calms her')!;
  expect(insight).toMatchObject({ type: 'reflection', depth: 2, evidence: [below['externalKey']] });
  expect(below).toMatchObject({ depth: 1, occurredAt: '2023-02-13T09:15:00.000Z', importance: 4 });
  expect((await post('&agentId=vesper-089')).json).toMatchObject({ added: 0, known: 4, refused: 5 });
  const nobody = await post('');
  expect({ status: nobody.status, said: nobody.text }).toMatchObject({
    status: 400,
    said: expect.stringContaining('query.agentId is required'),
  });
});

test('a memory stream goes out as it came in, and comes in again as what is known', async () => {
  const node = (n: number, type: string, description: string, more: object = {}) => ({
    [`node_${n}`]: { type, description, created: `2023-02-${10 + n} 08:00:00`, poignancy: n, filling: [], ...more },
  });
  const file = {
    ...node(3, 'thought', 'Reading calms her', { filling: ['node_1', 'node_2'], depth: 1 }),
    ...node(2, 'chat', 'talking of books', {
      filling: [
        ['Ada', 'I read.'],
        ['Bo', 'So do I.'],
      ],
    }),
    ...node(1, 'event', 'She reads'),
  };
  const post = (raw: string, agentId: string) =>
    api.call('POST', `/v1/memories?format=generative-agents&agentId=${agentId}`, {
      raw,
      headers: { 'content-type': 'application/json' },
    });
  const stream = async (agentId: string) => {
    const { status, headers, text } = await api.call(
      'GET',
      `/v1/agents/${agentId}/memories/export?format=generative-agents`,
    );
    expect([status, headers['content-type']]).toEqual([200, 'application/json; charset=utf-8']);
    expect(headers['x-soulfra-lost']).toBe('source,externalKey,recordedAt,vector');
    return text;
  };
  expect((await post(JSON.stringify(file), 'vesper-086')).json).toMatchObject({ added: 3, refused: 0, notes: [] });
  const left = await stream('vesper-086');
  const nodes = JSON.parse(left) as Record<string, Record<string, unknown>>;
  for (const [key, told] of Object.entries(file)) expect(nodes[key]).toMatchObject(told);
  expect((await post(left, 'vesper-086')).json).toMatchObject({ added: 0, known: 3, refused: 0 });
  expect((await post(left, 'vesper-087')).json).toMatchObject({ added: 3, refused: 0, notes: [] });
  const again = JSON.parse(await stream('vesper-087')) as typeof nodes;
  const unnamed = (all: typeof nodes) =>
    Object.values(all).map(({ subject: _subject, keywords: _keywords, ...rest }) => rest);
  expect(unnamed(again)).toEqual(unnamed(nodes));
});
