import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { generativeAgentsImporter } from '../../integrations/importers/generative-agents.ts';
import { type LeavingMemory, writeMemoryStream } from '../../integrations/importers/generative-agents-writer.ts';

const at = (day: number, ms = 0) => new Date(Date.UTC(2026, 0, day, 8, 30, 0, ms));
function memory(externalKey: string, more: Partial<LeavingMemory> = {}): LeavingMemory {
  return {
    kind: 'observation',
    text: `It was ${externalKey}.`,
    importance: 4,
    externalKey,
    occurredAt: at(1),
    validTo: null,
    supersededAt: null,
    deletedAt: null,
    lastUsedAt: null,
    depth: 0,
    modelId: null,
    evidence: [],
    ...more,
  };
}
type Nodes = Record<string, Record<string, unknown>>;
function written(memories: LeavingMemory[]) {
  const { pieces, lost } = writeMemoryStream('Ada Winter', memories);
  return { nodes: JSON.parse(pieces.join('')) as Nodes, lost: new Map(lost.map(({ field, count }) => [field, count])) };
}

test('each node is what that code loads: numbered without a gap, its own types, evidence by number', () => {
  const { nodes, lost } = written([
    memory('gone', { deletedAt: at(3) }),
    memory('rain', { occurredAt: at(1, 250), validTo: at(5) }),
    memory('talk', { kind: 'conversation', text: 'talking of rain\nAda: It rains.\nBo: So it does: always.' }),
    memory('old', { supersededAt: at(3), validTo: at(3) }),
    memory('older', { supersededAt: at(3), validTo: at(3) }),
    memory('reply', { kind: 'reply', lastUsedAt: at(4) }),
    memory('insight', {
      kind: 'reflection',
      depth: 2,
      importance: 8,
      modelId: 'llama8b_q4',
      evidence: ['rain', 'talk', 'old', 'gone'],
    }),
    memory('groundless', { kind: 'reflection', depth: 1, evidence: ['gone'] }),
  ]);
  expect(Object.keys(nodes)).toEqual([1, 2, 3, 4, 5, 6].map((n) => `node_${n}`));
  expect(Object.values(nodes).map(({ type, type_count }) => [type, type_count])).toEqual([
    ['event', 1],
    ['chat', 1],
    ['event', 2],
    ['event', 3],
    ['thought', 1],
    ['event', 4],
  ]);
  expect(nodes['node_1']).toEqual({
    node_count: 1,
    type_count: 1,
    type: 'event',
    depth: 0,
    created: '2026-01-01 08:30:00',
    expiration: '2026-01-05 08:30:00',
    subject: 'Ada Winter',
    predicate: 'remembers',
    object: 'It was rain.',
    description: 'It was rain.',
    embedding_key: 'It was rain.',
    poignancy: 4,
    keywords: ['ada winter', 'rain'],
    filling: [],
  });
  expect(nodes['node_2']).toMatchObject({
    description: 'talking of rain',
    filling: [
      ['Ada', 'It rains.'],
      ['Bo', 'So it does: always.'],
    ],
  });
  expect(nodes['node_5']).toMatchObject({ depth: 2, poignancy: 8, filling: ['node_1', 'node_2', 'node_3'] });
  expect(Object.fromEntries(lost)).toEqual({
    deleted: 1,
    superseded: 1,
    evidence: 2,
    kind: 2,
    occurredAt: 1,
    lastUsedAt: 1,
    model: 1,
    source: 6,
    externalKey: 6,
    recordedAt: 6,
    vector: 6,
  });
});

test('an agent without memories is an empty stream', () => {
  expect(written([]).nodes).toEqual({});
  expect(written([]).lost.size).toBe(0);
});

test('a conversation of any other form goes as one text, and every text comes back as it left', async () => {
  const texts = [
    'said\nno pair here',
    ' \nAda: x',
    'a: b',
    'sum\nAda: one\nand more',
    'sum\nAda: ',
    'sum\nÄda “B”: <x>\\ "y"',
  ];
  const { pieces } = writeMemoryStream(
    'Ada',
    texts.map((text, i) => memory(`talk-${i}`, { kind: 'conversation', text })),
  );
  const importer = generativeAgentsImporter({ fileLimit: 1_000_000 });
  const back: string[] = [];
  for await (const { read } of importer.read(Readable.from(pieces.map((piece) => Buffer.from(piece))))) {
    if ('error' in read) throw read.error;
    back.push((read.told as { text: string }).text);
  }
  expect(back).toEqual(texts);
});
