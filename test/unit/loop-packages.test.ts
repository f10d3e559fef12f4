import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalJson, type CanonicalValue } from '../../domain/canonical-json.ts';
import { archiveLimit, loopMembers, memberLimits, writeArchive } from '../../domain/loop-archive.ts';
import { isDomainError } from '../../domain/errors.ts';
import { type LoopSigner, readLoop, signLoop } from '../../domain/loop-packages.ts';
import { hostCrypto } from '../../config/host-crypto.ts';
import { inPieces, newSigner, packed, signedLoop, unsignedLoop } from '../support/loops.ts';

const signer = newSigner();
const memories = [
  packed('a'),
  packed('b', {
    text: 'Grüße, 漢字 and 🙂.',
    occurredAt: '2026-01-02T00:00:00.000Z',
    validTo: '2026-02-01T00:00:00.000Z',
  }),
  packed('r', { kind: 'reflection', evidence: ['a', 'b'], modelId: 'llama8b_q4', promptVersion: 'reflect/2' }),
  packed('s', { kind: 'reflection', text: 'On top of that.', evidence: ['r'], occurredAt: '2025-01-01T00:00:00.000Z' }),
];
const whole = signedLoop(memories, signer);
const block = 512;

function read(
  bytes: Uint8Array,
  {
    pinned = [signer],
    trustUnknown = false,
    size = bytes.length,
  }: {
    pinned?: LoopSigner[];
    trustUnknown?: boolean;
    size?: number;
  } = {},
) {
  const isPinned = (keyId: string) => pinned.some((each) => each.keyId === keyId);
  return readLoop(inPieces(bytes, size), { checks: hostCrypto, isPinned, trustUnknown });
}

async function refusal(reading: Promise<unknown>): Promise<string> {
  try {
    await reading;
  } catch (err) {
    if (isDomainError(err)) return err.code;
    throw err;
  }
  return 'read';
}

/** Where each member begins and how long it is. */
const placesOf = (archive: Buffer) => {
  const places = new Map<string, { header: number; from: number; size: number }>();
  for (let at = 0; at < archive.length && archive[at] !== 0; ) {
    const name = archive.toString('latin1', at, at + 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(archive.toString('latin1', at + 124, at + 135), 8);
    places.set(name, { header: at, from: at + block, size });
    at += block + Math.ceil(size / block) * block;
  }
  return places;
};
const places = placesOf(whole);

test('a package is read as it was written, in pieces of any size, by any tar', async () => {
  for (const size of [whole.length, 1, 7, 511, 512, 513]) {
    const { manifest, persona, lines, trusted } = await read(whole, { size });
    expect(trusted).toBe(true);
    expect(persona.name).toBe('Ava Lind');
    expect(manifest).toMatchObject({ memories: 4, reflections: 2, madeBy: { keyId: signer.keyId } });
    expect(lines.map(({ text }) => text)).toEqual([
      'What a tells.',
      'Grüße, 漢字 and 🙂.',
      'What r tells.',
      'On top of that.',
    ]);
  }
  expect([...places.keys()]).toEqual([...loopMembers]);
  expect(whole.length).toBeLessThan(archiveLimit);
});

test('the same agent gives the same bytes, in whatever order and under whatever ids its memories are stored', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(memories, { minLength: 4 }), fc.string({ minLength: 1 }), (shuffled, prefix) => {
      const renamed = shuffled.map((memory) => ({
        ...memory,
        id: prefix + memory.id,
        evidence: memory.evidence.map((id) => prefix + id),
      }));
      expect(signedLoop(renamed, signer).equals(whole)).toBe(true);
    }),
  );
});

test('what a package says has one hash, by whatever key it is signed; agents that are equal share theirs', () => {
  const other = signLoop(unsignedLoop(memories), newSigner()).manifest;
  const own = signLoop(unsignedLoop(memories), signer).manifest;
  expect(other.contentHash).toBe(own.contentHash);
  const renamed = unsignedLoop(memories);
  expect(renamed.content.agentHash).toBe(own.agentHash);
  const fewer = unsignedLoop(memories.slice(0, 2));
  expect(fewer.content.agentHash).not.toBe(own.agentHash);
});

test('a key that comes with a package is never trusted by itself', async () => {
  expect(await refusal(read(whole, { pinned: [] }))).toBe('KEY_NOT_PINNED');
  expect((await read(whole, { pinned: [], trustUnknown: true })).trusted).toBe(false);
  const stranger = newSigner();
  const forged = signedLoop(memories, { ...stranger, keyId: signer.keyId });
  for (const trustUnknown of [false, true]) expect(await refusal(read(forged, { trustUnknown }))).toBe('LOOP_TAMPERED');
});

test('no byte of a package can be changed, not even with a key that nobody knows', async () => {
  // Every byte of the headers and of what is signed, and a spread of the padding.
  const at = Array.from({ length: whole.length }, (_, i) => i).filter(
    (i) => whole[i] !== 0 || i % 97 === 0 || i > whole.length - 4,
  );
  for (const i of at) {
    const changed = Buffer.from(whole);
    changed[i]! ^= 1;
    expect({ i, code: await refusal(read(changed, { trustUnknown: true })) }).not.toEqual({ i, code: 'read' });
  }
});

test('each member that is changed under its hash is refused as tampered with', async () => {
  for (const name of ['persona.json', 'prompts.json', 'memories.ndjson']) {
    const changed = Buffer.from(whole);
    const { from } = places.get(name)!;
    changed.write('X', from + 12, 'latin1');
    expect({ name, code: await refusal(read(changed)) }).toEqual({ name, code: 'LOOP_TAMPERED' });
  }
});

/** Archives that a creator with a key of their own may sign: whoever signs must still say what a package says. */
function resigned(change: (parts: Record<string, unknown>) => void, lines?: string): Buffer {
  const unsigned = unsignedLoop(memories);
  const members = { ...unsigned.members };
  if (lines !== undefined) members['memories.ndjson'] = Buffer.from(lines);
  const manifest: Record<string, unknown> = structuredClone({ ...unsigned.content, madeBy: { keyId: signer.keyId } });
  const told = manifest['members'] as Array<{ name: string; size: number; sha256: string }>;
  const memoryMember = told.find(({ name }) => name === 'memories.ndjson')!;
  memoryMember.size = members['memories.ndjson'].length;
  memoryMember.sha256 = hostCrypto.sha256(members['memories.ndjson']);
  change(manifest);
  const { contentHash: _c, agentHash: _a, madeBy: _m, format, version, ...content } = manifest;
  if (manifest['contentHash'] === unsigned.content.contentHash) {
    const own = told.filter(({ name }) => name !== 'prompts.json').map(({ sha256 }) => sha256);
    manifest['contentHash'] = hostCrypto.sha256(
      Buffer.from(canonicalJson({ format, version, ...content } as CanonicalValue)),
    );
    manifest['agentHash'] = hostCrypto.sha256(
      Buffer.from(canonicalJson({ format, version, agent: own } as CanonicalValue)),
    );
  }
  const bytes = Buffer.from(canonicalJson(manifest as CanonicalValue));
  const signature = canonicalJson({
    algorithm: 'Ed25519',
    keyId: signer.keyId,
    publicKey: Buffer.from(signer.publicKey).toString('base64url'),
    signature: Buffer.from(signer.sign(bytes)).toString('base64url'),
  });
  return Buffer.from(writeArchive({ ...members, 'manifest.json': bytes, 'signature.json': Buffer.from(signature) }));
}

const good = Buffer.from(unsignedLoop(memories).members['memories.ndjson']).toString().trimEnd().split('\n');
const line = (change: object) =>
  `${canonicalJson({ ...(JSON.parse(good[0]!) as object), ...change } as CanonicalValue)}\n`;
/** With the key of what it says then: a hostile creator makes it as we do. */
const keyed = (change: object, of = good[0]!) => {
  const said = { ...(JSON.parse(of) as object), ...change, externalKey: '' };
  const externalKey = `loop:${hostCrypto.sha256(Buffer.from(canonicalJson(said as CanonicalValue)))}`;
  return `${canonicalJson({ ...said, externalKey } as CanonicalValue)}\n`;
};
const lived = `${good[0]}\n${good[1]}\n`;
const oneLine = (text: string, reflections = 0) =>
  resigned((manifest) => Object.assign(manifest, { memories: text.split('\n').length - 1, reflections }), text);

test('a line that says more than packing writes is refused, although its key fits and its hash is signed', async () => {
  expect(await refusal(read(oneLine(keyed({ text: 'Something else.' }))))).toBe('read');
  expect(await refusal(read(oneLine(`${lived}${keyed({}, good[2]!)}`, 1)))).toBe('read');
  const forged: object[] = [
    { kind: 'conversation' },
    { kind: 'whisper' },
    { source: 'feed:harbour-news' },
    { source: 'inherited:vesper-002' },
    { source: 'somebody' },
    { agentId: 'vesper-002' },
    { deletedAt: '2026-01-02T00:00:00.000Z', deletedReason: 'x' },
    { supersededAt: '2026-01-02T00:00:00.000Z' },
    { supersededBy: 'mine' },
    { lastUsedAt: '2026-01-02T00:00:00.000Z' },
    { recordedAt: '2026-01-02T00:00:00.000Z' },
    { occurredAt: '2026-01-01T01:00:00+01:00' },
    { occurredAt: '2026-01-01T00:00:00Z' },
    { validTo: '2026-02-01T00:00:00Z' },
    { validTo: '2026-02-01T01:00:00.000+01:00' },
  ];
  for (const change of forged)
    expect({ change, code: await refusal(read(oneLine(keyed(change)))) }).toEqual({ change, code: 'INVALID_INPUT' });
  const { evidence } = JSON.parse(good[2]!) as { evidence: string[] };
  for (const change of [{ depth: 7 }, { evidence: [...evidence, evidence[0]] }, { source: 'reflection:x' }]) {
    const code = await refusal(read(oneLine(`${lived}${keyed(change, good[2]!)}`, 1)));
    expect({ change, code }).toEqual({ change, code: 'INVALID_INPUT' });
  }
});

test('a signed package that says what none may say is refused', async () => {
  expect(await refusal(read(resigned(() => undefined)))).toBe('read');
  const cases: Array<[string, Buffer]> = [
    ['another format', resigned((manifest) => void (manifest['format'] = 'other'))],
    ['a later version', resigned((manifest) => void (manifest['version'] = 2))],
    ['an unknown field', resigned((manifest) => void (manifest['extra'] = 1))],
    ['a count that is not so', resigned((manifest) => void (manifest['memories'] = 3))],
    ['another name than the persona’s', resigned((manifest) => void (manifest['name'] = 'Nobody'))],
    ['another content hash', resigned((manifest) => void (manifest['contentHash'] = 'a'.repeat(64)))],
    [
      'no such class',
      resigned((manifest) => void ((manifest['needs'] as Record<string, unknown>)['leastClass'] = '9g')),
    ],
    ['members in another order', resigned((manifest) => void (manifest['members'] as unknown[]).reverse())],
    ['fewer members', resigned((manifest) => void (manifest['members'] as unknown[]).pop())],
    ['a key of another text', resigned(() => undefined, line({ text: 'Something else.' }))],
    ['a key of no package', resigned(() => undefined, line({ externalKey: 'mine' }))],
    ['the same line twice', resigned(() => undefined, `${good[0]}\n${good[0]}\n`)],
    ['evidence that comes later', resigned(() => undefined, `${good[2]}\n${good[0]}\n${good[1]}\n`)],
    ['a line that is no JSON', resigned(() => undefined, 'x\n')],
    ['a line with spaces', resigned(() => undefined, `${good[0]!.replace(',', ', ')}\n`)],
    ['a last line without its end', resigned(() => undefined, good[0]!)],
    ['a byte order mark', resigned(() => undefined, `\ufeff${good[0]!}\n`)],
    ['a header line', resigned(() => undefined, '{"type":"header"}\n')],
    ['text of half a surrogate', resigned(() => undefined, line({ text: 'WHOLE' }).replace('WHOLE', '\\ud800'))],
  ];
  for (const [name, archive] of cases) {
    const code = await refusal(read(archive));
    expect({ name, ok: code === 'INVALID_INPUT' || code === 'LOOP_TAMPERED' }).toEqual({ name, ok: true });
  }
});

/** A tar header as other programs write it; fields as the case says. */
function header(fields: {
  name?: string;
  size?: string;
  type?: string;
  link?: string;
  prefix?: string;
  mode?: string;
}): Buffer {
  const head = Buffer.alloc(block);
  head.write(fields.name ?? 'manifest.json', 0, 'utf8');
  head.write(fields.mode ?? '0000644\0', 100, 'latin1');
  head.write('0000000\0'.repeat(2), 108, 'latin1');
  head.write(fields.size ?? '00000000010\0', 124, 'latin1');
  head.write('00000000000\0        ', 136, 'latin1');
  head.write(fields.type ?? '0', 156, 'latin1');
  head.write(fields.link ?? '', 157, 'latin1');
  head.write('ustar\0' + '00', 257, 'latin1');
  head.write(fields.prefix ?? '', 345, 'latin1');
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return head;
}
const body = Buffer.concat([Buffer.from('{"a":1}\n'), Buffer.alloc(block - 8)]);
const end = Buffer.alloc(2 * block);
const first = (fields: Parameters<typeof header>[0]) => Buffer.concat([header(fields), body, end]);
const sizeField = (size: number) => `${size.toString(8).padStart(11, '0')}\0`;
const headerAt = (name: string) => places.get(name)!.header;
const cut = (from: number, to: number) => Buffer.concat([whole.subarray(0, from), whole.subarray(to)]);
const inserted = (at: number, bytes: Buffer) => Buffer.concat([whole.subarray(0, at), bytes, whole.subarray(at)]);
const memoriesEnd =
  places.get('memories.ndjson')!.from + Math.ceil(places.get('memories.ndjson')!.size / block) * block;

const hostile: Array<[string, Buffer]> = [
  ['nothing', Buffer.alloc(0)],
  ['zeros', Buffer.alloc(4 * block)],
  ['a text', Buffer.from('hello, this is no archive'.repeat(100))],
  ['a gzip bomb', gzipSync(Buffer.alloc(64 * 1024 * 1024))],
  ['a zip', Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(2 * block)])],
  ['zstandard', Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), Buffer.alloc(2 * block)])],
  ['an absolute path', first({ name: '/etc/passwd' })],
  ['a path upwards', first({ name: '../manifest.json' })],
  ['a path upwards inside', first({ name: 'a/../../manifest.json' })],
  ['a dot before the name', first({ name: './manifest.json' })],
  ['a path of Windows', first({ name: 'C:\\manifest.json' })],
  ['another name', first({ name: 'extra.json' })],
  ['a name in capitals', first({ name: 'MANIFEST.JSON' })],
  ['a name with a NUL and more', first({ name: 'manifest.json\0../../x' })],
  ['a prefix', first({ prefix: '/tmp' })],
  ['a symbolic link', first({ type: '2', link: '/etc/passwd', size: sizeField(0) })],
  ['a hard link', first({ type: '1', link: 'signature.json', size: sizeField(0) })],
  ['a device', first({ type: '3' })],
  ['a block device', first({ type: '4' })],
  ['a folder', first({ type: '5', name: 'manifest.json/' })],
  ['a pipe', first({ type: '6' })],
  ['an old regular file', first({ type: '\0' })],
  ['a pax header', first({ type: 'x', name: 'PaxHeader/manifest.json' })],
  ['a global pax header', first({ type: 'g', name: 'pax_global_header' })],
  ['a long name of GNU', first({ type: 'L', name: '././@LongLink' })],
  ['a sparse file', first({ type: 'S' })],
  ['a program', first({ mode: '0000755\0' })],
  ['a setuid mode', first({ mode: '0004755\0' })],
  ['a size over its limit', first({ size: sizeField(memberLimits['manifest.json'] + 1) })],
  ['eight gigabytes', first({ size: '77777777777\0' })],
  ['a size in base 256', first({ size: '\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff' })],
  ['a negative size', first({ size: '-0000000010\0' })],
  ['a size with spaces', first({ size: '         10 ' })],
  ['a wrong checksum', Buffer.concat([Buffer.from(header({})).fill('7', 148, 154), body, end])],
  ['a second manifest before the first', Buffer.concat([whole.subarray(0, headerAt('signature.json')), whole])],
  [
    'a member twice',
    inserted(headerAt('memories.ndjson'), whole.subarray(headerAt('persona.json'), headerAt('prompts.json'))),
  ],
  ['a member more at the end', inserted(memoriesEnd, Buffer.concat([header({ name: 'run.sh' }), body]))],
  ['without its signature', cut(headerAt('signature.json'), headerAt('persona.json'))],
  ['without its persona', cut(headerAt('persona.json'), headerAt('prompts.json'))],
  ['without its memories', cut(headerAt('memories.ndjson'), memoriesEnd)],
  [
    'members in another order',
    Buffer.concat([
      whole.subarray(0, headerAt('persona.json')),
      whole.subarray(headerAt('prompts.json'), headerAt('memories.ndjson')),
      whole.subarray(headerAt('persona.json'), headerAt('prompts.json')),
      whole.subarray(headerAt('memories.ndjson')),
    ]),
  ],
  ['cut off in a member', whole.subarray(0, memoriesEnd - block)],
  ['cut off in its end', whole.subarray(0, -1)],
  ['without its end', whole.subarray(0, memoriesEnd)],
  ['one zero more', Buffer.concat([whole, Buffer.alloc(1)])],
  ['a block more', Buffer.concat([whole, Buffer.alloc(block)])],
  ['something after the end', Buffer.concat([whole, Buffer.from('x')])],
  ['another package after it', Buffer.concat([whole, whole])],
  [
    'something in the padding',
    (() => {
      const changed = Buffer.from(whole);
      changed[headerAt('prompts.json') - 1] = 1;
      return changed;
    })(),
  ],
];

test('hostile archives are refused, each with a reason and before anything of them is believed', async () => {
  expect(hostile.length).toBeGreaterThanOrEqual(25);
  for (const [name, archive] of hostile) {
    for (const trustUnknown of [false, true]) {
      const code = await refusal(read(archive, { trustUnknown }));
      expect({
        name,
        refused: ['MALFORMED_BODY', 'BODY_TOO_LARGE', 'INVALID_INPUT', 'LOOP_TAMPERED'].includes(code),
        code,
      }).toEqual({
        name,
        refused: true,
        code,
      });
    }
  }
});

test('a stream without end is left at its first wrong byte, and a member is never longer than its limit', async () => {
  let taken = 0;
  async function* endless() {
    for (;;) {
      taken += 64 * 1024;
      yield Buffer.alloc(64 * 1024, 1);
    }
  }
  const options = { checks: hostCrypto, isPinned: () => true };
  expect(await refusal(readLoop(endless(), options))).toBe('MALFORMED_BODY');
  expect(taken).toBe(64 * 1024);
  async function* zeros() {
    yield whole;
    for (;;) yield Buffer.alloc(1);
  }
  expect(await refusal(readLoop(zeros(), options))).toBe('MALFORMED_BODY');
});
