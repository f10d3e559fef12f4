import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseFleet } from '../../config/fleet-file.ts';
import { withPins } from '../../config/fleet-pins.ts';
import { modelVariants } from '../../domain/fleet.ts';
import {
  candidatesOf,
  copiedModel,
  copyName,
  digestsSchema,
  modelVersion,
  pinnedDigests,
  staleCopies,
} from '../../domain/model-manifest.ts';
import { smallFleet } from '../support/small-fleet.ts';

const [a, b, c] = ['a', 'b', 'c'].map((sign) => sign.repeat(64)) as [string, string, string];
const shipped = readFileSync(new URL('../../fleet.yaml', import.meta.url), 'utf8');
const held = (name: string, digest: string) => ({ name, digest, bytes: 7 });

test('a digest is 64 digits of a kind of server that tells one', () => {
  expect(digestsSchema.parse({ ollama: [a, b] })).toEqual({ ollama: [a, b] });
  expect(digestsSchema.safeParse({ ollama: [`sha256:${a}`] }).success).toBe(false);
  expect(digestsSchema.safeParse({ ollama: [a.slice(1)] }).success).toBe(false);
  expect(digestsSchema.safeParse({ vllm: [a] }).success).toBe(false);
});

test('a copy says of which model it is, and other names do not', () => {
  expect(copiedModel(copyName('qwen32b_q4', a))).toBe('qwen32b_q4');
  expect(copiedModel('qwen2.5:32b')).toBeUndefined();
  expect(copiedModel('soulfra/qwen32b_q4:latest')).toBeUndefined();
});

describe('which version is served', () => {
  const copy = copyName('m_q4', a);
  test('the wanted one first, from its copy where there is one', () => {
    const all = [held('m:q4', b), held(copy, a), held('other', c)];
    expect(candidatesOf('m_q4', { accepted: [a, b], held: all })).toEqual([
      { digest: a, copy },
      { digest: b, copy: copyName('m_q4', b), from: 'm:q4' },
    ]);
  });

  test('a copy that somebody made another version of is made anew', () => {
    expect(candidatesOf('m_q4', { accepted: [a], held: [held(copy, b), held('m:q4', a)] })).toEqual([
      { digest: a, copy, from: 'm:q4' },
    ]);
  });

  test('none that fleet.yaml does not name', () => {
    expect(candidatesOf('m_q4', { accepted: [a], held: [held('m:q4', b)] })).toEqual([]);
  });

  test('only copies of the same model that are accepted no more are deleted', () => {
    const names = [copy, copyName('m_q4', b), copyName('n_q4', c), 'm:q4'];
    const all = names.map((name) => held(name, c));
    expect(staleCopies('m_q4', { accepted: [a], held: all })).toEqual([copyName('m_q4', b)]);
  });
});

describe('how a machine stands', () => {
  const model = { id: 'm_q4', servedAs: 'm:q4', accepted: [a, b] };
  const said = (digest: string, serves: boolean) => ({
    held: [held('m:q4', digest)],
    serves: serves ? [{ modelId: 'm_q4', digest }] : [],
    failed: [],
  });
  const mute = (digest: string) => [{ modelId: 'm_q4', digest, reason: 'it said nothing' }];
  test.each([
    ['verified', said(a, true)],
    ['verified', said(a, false)],
    ['behind', said(b, true)],
    ['refused', said(c, false)],
    ['refused', { held: [], serves: [], failed: [] }],
    // fleet.yaml names other versions since it was loaded.
    ['refused', said(c, true)],
    // It has it, and it gave no answer: it serves none.
    ['refused', { ...said(a, false), failed: mute(a) }],
    ['behind', { held: [held('m:q4', a), held('old', b)], serves: [], failed: mute(a) }],
    ['unknown', { held: null, serves: [], failed: [] }],
    ['unknown', undefined],
  ])('%s', (state, report) => {
    expect(modelVersion(model, report).state).toBe(state);
  });

  test('unpinned: with what it has, and `latest` need not be said', () => {
    const report = { held: [held('m:latest', c)], serves: [], failed: [] };
    expect(modelVersion({ id: 'm_q4', servedAs: 'm', accepted: undefined }, report)).toEqual({
      state: 'unpinned',
      digest: c,
      bytes: 7,
      reason: null,
    });
  });

  test('why the wanted version is not served', () => {
    expect(modelVersion(model, { ...said(b, true), failed: mute(a) })).toMatchObject({
      state: 'behind',
      reason: 'it said nothing',
    });
    expect(modelVersion(model, { ...said(b, false), failed: mute(b) })).toMatchObject({
      state: 'refused',
      reason: 'it said nothing',
    });
  });
});

test('machines that differ are told, unless one of them is named: the others stay accepted', () => {
  const holds = [
    { machineId: 'x', digest: a },
    { machineId: 'y', digest: b },
    { machineId: 'z', digest: a },
  ];
  expect(pinnedDigests(holds, undefined)).toEqual({ differ: holds });
  expect(pinnedDigests(holds, 'y')).toEqual({ digests: [b, a] });
  expect(pinnedDigests(holds, 'nobody')).toEqual({ digests: [] });
  expect(pinnedDigests([holds[0]!, holds[2]!], undefined)).toEqual({ digests: [a] });
});

describe('pins in fleet.yaml', () => {
  const variantOf = (text: string, id: string) => {
    const parsed = parseFleet(text);
    if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors));
    return modelVariants(parsed.fleet).find((variant) => variant.id === id)!;
  };

  test('only their own lines are written, and written again they are replaced', () => {
    const once = withPins(shipped, [
      { modelId: 'qwen32b_q4', digests: [a], bytes: 19_851_349_856 },
      { modelId: 'qwen1_5b_q4', digests: [c] },
    ]);
    expect(variantOf(once, 'qwen32b_q4')).toMatchObject({ digests: { ollama: [a] }, bytes: 19_851_349_856 });
    expect(variantOf(once, 'qwen1_5b_q4')).toMatchObject({ digests: { ollama: [c] } });
    expect(once.split('\n').filter((line) => !shipped.split('\n').includes(line))).toHaveLength(7);
    const again = withPins(once, [{ modelId: 'qwen32b_q4', digests: [b, a] }]);
    expect(variantOf(again, 'qwen32b_q4').digests).toEqual({ ollama: [b, a] });
    expect(variantOf(again, 'qwen32b_q4').bytes).toBeUndefined();
    expect(withPins(again, [{ modelId: 'qwen32b_q4', digests: [a], bytes: 19_851_349_856 }])).toBe(once);
  });

  test('a comment stays where it is, also at the last line without its end', () => {
    const text = smallFleet.replace(
      '        fileGiB: 4.6\n',
      '        # of the file\n        fileGiB: 4.6 # GiB\n        # of the card\n',
    );
    const pinned = withPins(text, [{ modelId: 'llama8b_q4', digests: [a] }]);
    expect(pinned).toContain(`# of the file\n        fileGiB: 4.6 # GiB\n        digests:\n`);
    expect(variantOf(pinned, 'llama8b_q4').digests).toEqual({ ollama: [a] });
  });

  test('what stands on one line is left alone, with what to write', () => {
    const text = smallFleet.replace(/q4:\n\s+fileGiB: 4.6\n\s+(rates: .*)\n/, 'q4: { fileGiB: 4.6, $1 }\n');
    expect(() => withPins(text, [{ modelId: 'llama8b_q4', digests: [a] }])).toThrow(
      /on one line.*add digests: \{ ollama: \['aaa/,
    );
  });

  test('a model that is not there is named', () => {
    expect(() => withPins(shipped, [{ modelId: 'nobody_q4', digests: [a] }])).toThrow('names no model nobody_q4');
  });
});
