import fc from 'fast-check';
import { expect, test } from 'vitest';
import { extractiveVersion } from '../../domain/extractive.ts';
import { chooseMemories, type JudgedMemory, type LoopChoice, packableKinds } from '../../domain/loop-choice.ts';
import { loopLines, packedSource, type PackedMemory } from '../../domain/loop-memories.ts';
import { type MemoryKind, memoryKinds } from '../../domain/states.ts';
import { isPrivate, type Source } from '../../domain/sources.ts';
import { loopModels, memoryWriters } from '../../domain/loop-models.ts';
import { modelTerms } from '../../domain/model-licenses.ts';
import { hostCrypto } from '../../config/host-crypto.ts';
import { packed } from '../support/loops.ts';

const reasonsOf = (memories: PackedMemory[], choice: LoopChoice = {}) => {
  const { chosen, leftOut } = chooseMemories(memories, choice);
  return Object.fromEntries([
    ...chosen.map(({ id }) => [id, 'in']),
    ...leftOut.map(({ memory, reason }) => [memory.id, reason]),
  ]) as Record<string, string>;
};

test('talk, whispers, votes and sales stay out, and so does what was gone or came from private sources', () => {
  const kinds = Object.fromEntries(
    memoryKinds.map((kind) => [
      kind,
      reasonsOf([packed('m', { kind, evidence: kind === 'reflection' ? ['m0'] : [] }), packed('m0')])['m'],
    ]),
  );
  expect(kinds).toEqual({
    observation: 'in',
    reflection: 'in',
    drop: 'in',
    whisper: 'private_kind',
    conversation: 'private_kind',
    reply: 'private_kind',
    vote: 'private_kind',
    sale: 'private_kind',
  });
  expect(
    reasonsOf([
      packed('a', { origin: 'private' }),
      packed('b', { origin: 'unknown' }),
      packed('c', { deleted: true, text: '' }),
      packed('d', { superseded: true }),
      packed('e', { kind: 'reflection', evidence: [] }),
    ]),
  ).toEqual({ a: 'private_source', b: 'unknown_source', c: 'forgotten', d: 'superseded', e: 'unknown_source' });
});

test('what rests on, quotes, corrects or inherits anything private stays out over any number of steps', () => {
  expect(
    reasonsOf([
      packed('talk', { kind: 'conversation', text: 'My sister Una moved to the north pier in May.' }),
      packed('seen', { text: 'The tide was low.' }),
      packed('r1', { kind: 'reflection', text: 'Somebody moved.', evidence: ['talk', 'seen'] }),
      packed('r2', { kind: 'reflection', text: 'People move.', evidence: ['r1'] }),
      packed('r3', { kind: 'reflection', text: 'Tides turn.', evidence: ['seen'] }),
      packed('shown', { kind: 'reflection', text: 'That una MOVED to the north pier, I like.', evidence: ['seen'] }),
      packed('drop', { kind: 'drop', text: 'Una moved to the north, they say: “moved to the north pier”.' }),
      packed('told-twice', { text: 'my sister una moved to the north pier in may' }),
      packed('corrected', { text: 'It was the south pier.', replaced: ['talk'] }),
      packed('gathered', { text: '2026-01-01: “it”', replaced: ['seen', 'diary'], quotes: true }),
      packed('diary', { origin: 'private', superseded: true, text: 'A page.' }),
      packed('child', { inheritedFrom: 'parents' }),
      packed('parents', { own: false, inheritedFrom: 'grandparents' }),
      packed('grandparents', { own: false, kind: 'reply' }),
    ]),
  ).toEqual({
    talk: 'private_kind',
    seen: 'in',
    r1: 'rests_on_private',
    r2: 'rests_on_private',
    r3: 'in',
    shown: 'quotes_private',
    drop: 'quotes_private',
    'told-twice': 'quotes_private',
    corrected: 'rests_on_private',
    gathered: 'rests_on_private',
    diary: 'private_source',
    child: 'rests_on_private',
  });
});

test('what gave way goes out no more, but what took its place does; a choice takes what rests on the rest with it', () => {
  const memories = [
    packed('old', { superseded: true }),
    packed('new', { replaced: ['old'] }),
    packed('on-old', { kind: 'reflection', evidence: ['old'] }),
    packed('weak', { importance: 2 }),
    packed('on-weak', { kind: 'reflection', importance: 9, evidence: ['weak', 'new'] }),
    packed('early', { occurredAt: '2025-12-31T23:59:59.999Z' }),
  ];
  expect(reasonsOf(memories)).toMatchObject({
    old: 'superseded',
    new: 'in',
    'on-old': 'rests_on_superseded',
    'on-weak': 'in',
  });
  expect(reasonsOf(memories, { leastImportance: 5 })).toMatchObject({
    weak: 'not_chosen',
    'on-weak': 'evidence_not_chosen',
  });
  expect(reasonsOf(memories, { since: '2026-01-01T01:00:00+01:00' })).toMatchObject({ early: 'not_chosen', new: 'in' });
  expect(reasonsOf(memories, { kinds: ['observation'] })).toMatchObject({ new: 'in', 'on-weak': 'not_chosen' });
  expect(new Set(Object.values(reasonsOf(memories, { memories: false })))).not.toContain('in');
});

test('a word that says nothing by itself bars nothing; a short one that says something does', () => {
  const bars = (said: string, text: string) =>
    reasonsOf([
      packed('talk', { kind: 'conversation', text: said }),
      packed('base'),
      packed('r', { kind: 'reflection', text, evidence: ['base'] }),
    ])['r'];
  expect(bars('OK!', 'All is ok here.')).toBe('in');
  expect(bars('swordfish', 'They say swordfish at the door.')).toBe('quotes_private');
  expect(bars('4711', 'The code is 4711.')).toBe('quotes_private');
});

const seldom = fc.integer({ min: 0, max: 9 }).map((n) => n === 0);
const gull = ['the gull came home late that night', 'so the gull came home late again'];
/** Graphs as a fleet may hold them, and as no fleet holds them: edges go anywhere, rings too. */
const graphs = fc.integer({ min: 1, max: 14 }).chain((count) => {
  const ids = Array.from({ length: count }, (_, i) => `m${i}`);
  const some = fc.subarray(ids, { maxLength: Math.min(2, count) });
  const often = <T>(usual: T, rest: fc.Arbitrary<T>) => fc.oneof({ arbitrary: fc.constant(usual), weight: 8 }, rest);
  return fc.tuple(
    ...ids.map((id) =>
      fc.record({
        id: fc.constant(id),
        own: seldom.map((no) => !no),
        kind: fc.oneof(
          fc.constantFrom<MemoryKind>('observation', 'observation', 'reflection', 'drop'),
          often<MemoryKind>('reflection', fc.constantFrom<MemoryKind>(...memoryKinds)),
        ),
        text: often(`What ${id} tells.`, fc.constantFrom('', ...gull)),
        importance: fc.integer({ min: 1, max: 10 }),
        occurredAt: fc.constantFrom('2026-01-01T00:00:00.000Z', '2026-03-01T00:00:00.000Z'),
        deleted: seldom,
        superseded: seldom,
        origin: often<JudgedMemory['origin']>('public', fc.constantFrom('private', 'unknown')),
        evidence: some,
        replaced: often<string[]>([], some),
        inheritedFrom: often<string | undefined>(undefined, fc.constantFrom(...ids)),
        quotes: seldom,
      }),
    ),
  );
});
const choices = fc.oneof(
  { arbitrary: fc.constant<LoopChoice>({}), weight: 2 },
  fc.record(
    {
      kinds: fc.subarray([...packableKinds], { minLength: 1 }),
      since: fc.constant('2026-02-01T00:00:00Z'),
      leastImportance: fc.integer({ min: 1, max: 10 }),
    },
    { requiredKeys: [] },
  ),
);

test('nothing that is private, or can be walked to from what goes in, is ever in', () => {
  let wentIn = 0;
  let reflections = 0;
  fc.assert(
    fc.property(graphs, choices, (made, choice) => {
      const memories = made.map((memory) => (memory.text === '' ? { ...memory, deleted: true } : memory));
      const byId = new Map(memories.map((memory) => [memory.id, memory]));
      const isPrivateItself = (memory: JudgedMemory) =>
        memory.deleted ||
        memory.origin !== 'public' ||
        !['observation', 'reflection', 'drop'].includes(memory.kind) ||
        (memory.kind === 'reflection' && memory.evidence.length === 0);
      const { chosen, leftOut } = chooseMemories(memories, choice);
      const inside = new Set(chosen.map(({ id }) => id));
      expect(chosen.length + leftOut.length).toBe(memories.filter(({ own }) => own).length);
      for (const memory of chosen) {
        wentIn += 1;
        if (memory.kind === 'reflection') reflections += 1;
        expect(memory.own && !memory.superseded).toBe(true);
        // Each step is a walk of this test's own over the edges.
        const seen = new Set<string>();
        const walk = [memory.id];
        for (let id = walk.pop(); id !== undefined; id = walk.pop()) {
          if (seen.has(id)) continue;
          seen.add(id);
          const at = byId.get(id)!;
          expect(isPrivateItself(at)).toBe(false);
          walk.push(...at.evidence, ...at.replaced, ...(at.inheritedFrom === undefined ? [] : [at.inheritedFrom]));
        }
        for (const id of memory.evidence) expect(inside.has(id) || !byId.get(id)!.own).toBe(true);
        const secrets = memories.filter((each) => isPrivateItself(each) && each.text.includes('gull'));
        if (secrets.length > 0 && memory.kind !== 'observation')
          expect(memory.text).not.toContain('gull came home late');
      }
    }),
    { numRuns: 5_000 },
  );
  // Else nothing was tried.
  expect(wentIn).toBeGreaterThan(2_000);
  expect(reflections).toBeGreaterThan(200);
});

test('memories that say the same of the same moment are one line, whoever rests on which', () => {
  const twice = [
    packed('a', { text: 'The same.' }),
    packed('b', { text: 'The same.' }),
    packed('r', { kind: 'reflection', text: 'Twice.', evidence: ['a', 'b'] }),
  ];
  const { lines, leftOut } = loopLines(twice, hostCrypto.sha256);
  expect(lines.map(({ text }) => text)).toEqual(['The same.', 'Twice.']);
  expect(leftOut).toMatchObject([{ memory: { id: 'b' }, reason: 'same_again' }]);
  expect(lines[1]).toMatchObject({ evidence: [lines[0]!.externalKey] });
});

test('a source says of what kind it is and nothing of this fleet; said again it stays', () => {
  const told = [
    'feed:harbour-news',
    'inherited:vesper-001:observation',
    'consolidated',
    'Una Lind',
    'world',
    'usr_0',
    'rook-001',
  ];
  const said = ['feed', 'inherited:loop', 'consolidated', 'told', 'world', 'told', 'told'];
  expect(told.map(packedSource)).toEqual(said);
  expect(said.map(packedSource)).toEqual(said);
});

test('what is the owner’s own is private unless fleet.yaml says otherwise', () => {
  const source = (of: object) => isPrivate({ id: 's', agents: 'all', ...of } as Source);
  expect(source({ kind: 'feed', allowPrivate: [] })).toBe(false);
  expect(source({ kind: 'feed', allowPrivate: ['wiki.lan'] })).toBe(true);
  expect(source({ kind: 'folder' })).toBe(true);
  expect(source({ kind: 'webhook' })).toBe(true);
  expect(source({ kind: 'webhook', private: false })).toBe(false);
  expect(source({ kind: 'drops' })).toBe(false);
  expect(source({ kind: 'feed', allowPrivate: [], private: true })).toBe(true);
});

test('who wrote what goes out: also what was handed on, over any number of steps, and what another stands for', () => {
  const memories = [
    packed('child', { inheritedFrom: 'parent' }),
    packed('parent', { own: false, inheritedFrom: 'first' }),
    packed('first', { own: false, kind: 'reflection', modelId: 'barred_q4', promptVersion: 'reflect/2' }),
    packed('whole', { quotes: true, replaced: ['part', 'whole'] }),
    packed('part', { kind: 'reflection', modelId: 'part_q4', promptVersion: 'reflect/2' }),
    packed('other', { kind: 'reflection', modelId: 'other_q4', promptVersion: 'reflect/2' }),
    packed('rule', { kind: 'reflection', modelId: 'none', promptVersion: extractiveVersion }),
  ];
  const writersOf = (...ids: string[]) =>
    memoryWriters(
      memories.filter(({ id }) => ids.includes(id)),
      memories,
    ).sort();
  expect(writersOf('child')).toEqual(['barred_q4']);
  expect(writersOf('child', 'whole', 'rule')).toEqual(['barred_q4', 'part_q4']);
  expect(writersOf()).toEqual([]);
});

test('terms of models: fleet.yaml first, then the name of the license; what was barred stays barred', () => {
  const use = (license?: string, commercialUse?: boolean) => modelTerms({ license, commercialUse }).commercialUse;
  expect(
    ['Apache-2.0', 'MIT', 'Llama 3.1 Community', 'Gemma', 'CC-BY-NC-4.0', 'Qwen Research', 'Mystery', undefined].map(
      (name) => use(name),
    ),
  ).toEqual(['allowed', 'allowed', 'allowed', 'allowed', 'barred', 'barred', 'unknown', 'unknown']);
  expect(use('CC-BY-NC-4.0', true)).toBe('allowed');
  expect(use('MIT', false)).toBe('barred');
  const models = loopModels({
    needed: 'b_q4',
    writers: ['c_q4', 'a_q4', 'b_q4'],
    termsOf: (id) => modelTerms(id === 'a_q4' ? {} : { license: 'MIT' }),
    origin: [
      { id: 'b_q4', license: 'CC-BY-NC-4.0', commercialUse: 'barred' },
      { id: 'd_q4', license: 'MIT', commercialUse: 'allowed' },
    ],
  });
  expect(models.map(({ id, commercialUse }) => `${id} ${commercialUse}`)).toEqual([
    'b_q4 barred',
    'a_q4 unknown',
    'c_q4 allowed',
    'd_q4 allowed',
  ]);
});
