import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import type { ReadThing } from '../../integrations/importers/importer.ts';
import { generativeAgentsImporter } from '../../integrations/importers/generative-agents.ts';

const node = (fields: object) => ({
  node_count: 1,
  type_count: 1,
  type: 'event',
  depth: 0,
  created: '2023-02-13 09:15:00',
  expiration: null,
  subject: 'Ada Winter',
  predicate: 'is',
  object: 'reading',
  description: 'Ada Winter is reading by the window',
  embedding_key: 'Ada Winter is reading by the window',
  poignancy: 3,
  keywords: ['reading'],
  filling: [],
  ...fields,
});

async function read(file: string | Buffer, fileLimit = 1_000_000) {
  const importer = generativeAgentsImporter({ fileLimit });
  const things: ReadThing[] = [];
  for await (const thing of importer.read(Readable.from([Buffer.from(file as string)]))) things.push(thing);
  const told = things.flatMap(({ at, read: each, notes }) => ('told' in each ? [{ at, told: each.told, notes }] : []));
  const refused = things.flatMap(({ at, read: each }) =>
    'error' in each ? [[at, each.error.code, each.error.fields[0]?.path]] : [],
  );
  return { told, refused, lost: importer.lost() };
}

test('events, chats and thoughts in their order, whatever order the file has; what a thought rests on comes before it', async () => {
  const { told, refused, lost } = await read(
    JSON.stringify({
      node_3: node({
        type: 'thought',
        depth: 1,
        description: 'Ada would rather read than talk',
        expiration: '2023-03-15 00:00:00',
        poignancy: 6,
        filling: ['node_1', 'node_2'],
      }),
      node_2: node({
        type: 'chat',
        description: 'conversing about the weather',
        created: '2023-02-13 10:00:00',
        filling: [
          ['Ada Winter', 'It will rain.'],
          ['Bo Lind', 'It always does.'],
        ],
      }),
      node_1: node({}),
    }),
  );
  expect(refused).toEqual([]);
  expect(told.map(({ at }) => at)).toEqual(['node_1', 'node_2', 'node_3']);
  const [event, chat, thought] = told.map((each) => each.told) as Array<Record<string, unknown>>;
  expect(event).toMatchObject({
    type: 'memory',
    kind: 'observation',
    text: 'Ada Winter is reading by the window',
    occurredAt: '2023-02-13T09:15:00Z',
    importance: 3,
    source: 'generative-agents',
  });
  expect(chat).toMatchObject({
    kind: 'conversation',
    text: 'conversing about the weather\nAda Winter: It will rain.\nBo Lind: It always does.',
  });
  expect(thought).toMatchObject({
    type: 'reflection',
    importance: 6,
    evidence: [event!['externalKey'], chat!['externalKey']],
  });
  expect(lost).toContainEqual(expect.objectContaining({ field: 'expiration', count: 1 }));
  expect(lost.map(({ field }) => field)).not.toContain('description');
});

test('the dirt of its own code is told node by node', async () => {
  const parts = [
    ['node_9', node({ type: 'thought', description: 'this is blank', filling: 'node_1' })],
    ['node_8', node({ description: ' \n' })],
    ['node_7', node({ type: 'dream' })],
    ['node_6', node({ created: 'February 13' })],
    ['node_5', node({ created: '2023-02-30 00:00:00' })],
    ['node_4', node({ description: 'a\0b' })],
    ['node_3', 7],
    ['kw_strength_event', { reading: 3 }],
    ['node_1', node({})],
  ].map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  const broken = Buffer.concat([
    Buffer.from(`{${parts.join(',')}, "node_1": ${JSON.stringify(node({ poignancy: 9 }))}, "node_10": {"type": "`),
    Buffer.from([0xff]),
    Buffer.from('"}, "node_11": {"type": }, "node_12": {"type": "ev'),
  ]);
  const { told, refused } = await read(broken);
  expect(told.map(({ at }) => at)).toEqual(['node_1']);
  expect(told[0]!.told).toMatchObject({ importance: 3 });
  expect(refused).toEqual([
    ['node_9', 'INVALID_INPUT', 'description'],
    ['node_8', 'INVALID_INPUT', 'description'],
    ['node_7', 'INVALID_INPUT', 'type'],
    ['node_6', 'INVALID_INPUT', 'created'],
    ['node_3', 'INVALID_INPUT', 'node_3'],
    ['kw_strength_event', 'INVALID_INPUT', 'kw_strength_event'],
    ['node_1', 'INVALID_INPUT', 'node_1'],
    ['node_10', 'MALFORMED_BODY', undefined],
    ['node_11', 'MALFORMED_BODY', undefined],
    ['node_12', 'MALFORMED_BODY', undefined],
    ['node_4', 'INVALID_INPUT', 'text'],
    ['node_5', 'INVALID_INPUT', 'occurredAt'],
  ]);
});

test('what can be mended is, and that is said', async () => {
  const { told } = await read(
    JSON.stringify({
      node_1: node({ poignancy: '8' }),
      node_2: node({ poignancy: 0, description: 'two' }),
      node_3: node({ poignancy: 14.4, description: 'three' }),
      node_4: node({ poignancy: null, description: 'four' }),
      node_5: node({ type: 'thought', description: 'five', filling: 'node_1' }),
      node_6: node({ type: 'thought', description: 'six', filling: null }),
      node_7: node({ type: 'thought', description: 'seven', filling: ['node_2', 3, 'node_99'] }),
      node_8: node({ type: 'chat', description: 'eight', filling: [['Ada', 'x'.repeat(9_000)], 'Bo'] }),
    }),
  );
  expect(told.map(({ told: line, notes }) => [(line as { importance: number }).importance, notes])).toMatchObject([
    [8, [{ path: 'poignancy' }]],
    [1, [{ path: 'poignancy', mend: 'Taken as 1.' }]],
    [10, [{ path: 'poignancy', mend: 'Taken as 10.' }]],
    [5, [{ path: 'poignancy', rule: 'is no number' }]],
    [3, [{ path: 'filling' }]],
    [3, [{ path: 'filling', mend: 'Taken as an observation.' }]],
    [3, [{ path: 'filling' }]],
    [3, [{ path: 'filling', rule: 'holds 2 lines that have no room or no form' }]],
  ]);
  // What is not in the file keeps its name, so that it can be missed by it.
  expect(told[6]!.told).toMatchObject({ evidence: [expect.stringMatching(/^generative-agents:/), 'node_99'] });
  expect(told[5]!.told).toMatchObject({ kind: 'observation' });
});

test('a file over the limit, and one that holds no object, are refused', async () => {
  await expect(read(JSON.stringify({ node_1: node({}) }), 100)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' });
  expect((await read('[]')).refused).toEqual([[undefined, 'MALFORMED_BODY', undefined]]);
});
