import { deepEqual, equal, notEqual, rejects } from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { codes, openVerifier } from './index.js';

const issuer = 'usr_issuer';
const at = 1_800_000_000;
const now = at * 1000;
const sha256 = (text) => createHash('sha256').update(text).digest('hex');

function newKey(of = issuer) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'jwk' }).x;
  const hash = createHash('sha256').update(Buffer.from(raw, 'base64url')).digest('hex');
  return { privateKey, pin: { keyId: `key_${hash.slice(0, 32)}`, issuer: of, publicKey: raw } };
}
const key = newKey();
const verifier = await openVerifier({ keys: [key.pin] });

const license = {
  activation: { id: 'act_1', place: 'desk', seat: 'ada' },
  commercial: true,
  expiresAt: at + 1000,
  fileExpiresAt: at + 3000,
  graceUntil: at + 2000,
  holder: 'usr_holder',
  issuedAt: at,
  issuer,
  keyId: key.pin.keyId,
  kind: 'commercial',
  license: 'lic_1',
  package: sha256('package'),
  revocation: [sha256('lic_1:0'), sha256('lic_1:0:act_1')],
  uses: null,
};
const list = { expiresAt: at + 500, issuedAt: at, issuer, keyId: key.pin.keyId, revoked: [], suspended: [] };

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  const names = Object.keys(value).sort();
  return Object.fromEntries(names.map((name) => [name, sorted(value[name])]));
}
const written = (content) => JSON.stringify(sorted(content));
function signed(json, { by = key, form = 'SLF1' } = {}) {
  const text = `${form}.${Buffer.from(json).toString('base64url')}`;
  return `${text}.${sign(null, Buffer.from(text), by.privateKey).toString('base64url')}`;
}
const file = (change = {}, how = {}) => signed(written({ ...license, ...change }), how);
const listOf = (change = {}, how = {}) => signed(written({ ...list, ...change }), { form: 'SLR1', ...how });
const codeOf = async (text, asked = {}) => (await verifier.verify(text, { now, place: 'desk', ...asked })).code;

test('a file as it was issued holds, and its content is told', async () => {
  const { code, holds, license: told } = await verifier.verify(`${file()}\n`, { now, place: 'desk' });
  deepEqual({ code, holds }, { code: 'VALID', holds: true });
  deepEqual(told, license);
});

test('no letter of it can be changed, taken away or added', async () => {
  const text = file();
  for (let i = 0; i < text.length; i += 1) {
    for (const letter of ['A', 'B', '.', '=', ' ']) {
      if (text[i] === letter) continue;
      const {
        code,
        holds,
        license: told,
      } = await verifier.verify(text.slice(0, i) + letter + text.slice(i + 1), {
        now,
        place: 'desk',
      });
      equal(holds, false, `${i} ${letter}`);
      equal(['MALFORMED', 'KEY_UNKNOWN', 'SIGNATURE_INVALID'].includes(code), true, code);
      equal(told, undefined);
    }
    equal((await verifier.verify(text.slice(0, i) + text.slice(i + 1), { now, place: 'desk' })).holds, false);
  }
  for (const more of ['.', 'A', `.${'A'.repeat(86)}`, '=']) equal((await verifier.verify(text + more)).holds, false);
});

test('a signature has one text: idle bits of its last letter count', async () => {
  const text = file();
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const place = alphabet.indexOf(text.at(-1));
  equal(await codeOf(text.slice(0, -1) + alphabet[place + 1]), 'MALFORMED');
});

test('every field is signed', async () => {
  const [form, , signature] = file().split('.');
  for (const [name, value] of Object.entries(license)) {
    const other =
      typeof value === 'number' ? value + 1 : value === null ? 1 : typeof value === 'boolean' ? !value : 'x';
    const json = written({ ...license, [name]: other });
    const code = await codeOf(`${form}.${Buffer.from(json).toString('base64url')}.${signature}`);
    equal(code, name === 'keyId' ? 'KEY_UNKNOWN' : 'SIGNATURE_INVALID', name);
  }
});

test('a key that is not pinned is not known, also where the license brings it along', async () => {
  const own = newKey();
  equal(
    await codeOf(file({ keyId: own.pin.keyId, publicKey: own.pin.publicKey, keys: [own.pin] }, { by: own })),
    'KEY_UNKNOWN',
  );
  equal(await codeOf(file({ publicKey: own.pin.publicKey, keys: [own.pin] }, { by: own })), 'SIGNATURE_INVALID');
});

test('a key speaks for its own issuer alone', async () => {
  const other = newKey('usr_other');
  const both = await openVerifier({ keys: [key.pin, other.pin] });
  const { code } = await both.verify(file({ keyId: other.pin.keyId }, { by: other }), { now, place: 'desk' });
  equal(code, 'SIGNATURE_INVALID');
});

test('after a rotation both keys verify', async () => {
  const fresh = newKey();
  const both = await openVerifier({ keys: [key.pin, fresh.pin] });
  equal((await both.verify(file(), { now, place: 'desk' })).code, 'VALID');
  equal((await both.verify(file({ keyId: fresh.pin.keyId }, { by: fresh }), { now, place: 'desk' })).code, 'VALID');
});

test('keys that are none are refused when they are pinned', async () => {
  const { keyId, publicKey } = key.pin;
  await rejects(openVerifier({ keys: [{ keyId, issuer, publicKey: 'AAAA' }] }), /not 32 bytes/);
  await rejects(openVerifier({ keys: [{ ...newKey().pin, publicKey }] }), /is not the id of its key/);
  await rejects(openVerifier({ keys: [{ keyId, publicKey }] }), /names no issuer/);
  await rejects(openVerifier({ keys: [key.pin, { ...key.pin, issuer: 'usr_other' }] }), /two issuers/);
});

test('what is signed but not canonical or not of the form is malformed', async () => {
  const texts = [
    JSON.stringify(license, null, 1),
    written(license).replace('{', '{"uses":9,'),
    written({ ...license, uses: 0 }).replace('"uses":0', '"uses":-0'),
    written({ ...license, uses: 1 }).replace('"uses":1', '"uses":1.5'),
    written({ ...license, uses: 1 }).replace('"uses":1', '"uses":1e0'),
    written({ ...license, expiresAt: 'never' }),
    written({ ...license, activation: { id: 'a' } }),
    written({ ...license, license: undefined }),
    written(license).replace('usr_holder', '\\u0075sr_holder'),
    `\ufeff${written(license)}`,
  ];
  for (const text of texts) equal(await codeOf(signed(text)), 'MALFORMED', text);
  const bytes = Buffer.from(written(license));
  bytes[bytes.indexOf('usr_holder')] = 0xff;
  equal(await codeOf(signed(bytes)), 'MALFORMED');
  for (const text of [
    '',
    'SLF1',
    'SLF1..',
    '[]',
    signed('[]'),
    signed('null'),
    signed('7'),
    'A'.repeat(20_000),
    undefined,
    7,
  ])
    equal(await codeOf(text), 'MALFORMED');
});

test('what is signed for another purpose is no license', async () => {
  equal(await codeOf(file({}, { form: 'SLR1' })), 'MALFORMED');
  equal(await codeOf(file({}, { form: 'SLF2' })), 'MALFORMED');
  equal((await verifier.revocations(file(), { now })).code, 'MALFORMED');
});

test('a clock that is set back is found', async () => {
  equal(await codeOf(file(), { now: now - 60_000 }), 'VALID');
  equal(await codeOf(file(), { now: now - 61_000 }), 'CLOCK_SET_BACK');
  equal(await codeOf(file(), { knownTime: now + 61_000 }), 'CLOCK_SET_BACK');
  const later = await verifier.revocations(listOf({ issuedAt: at + 100 }), { now: now + 100_000 });
  equal(await codeOf(file(), { revocations: later }), 'CLOCK_SET_BACK');
  equal((await verifier.revocations(listOf({ issuedAt: at + 100 }), { now })).code, 'CLOCK_SET_BACK');
});

test('term, grace and time to live end to the second', async () => {
  const after = (seconds, change = {}) => codeOf(file(change), { now: now + seconds * 1000 });
  equal(await after(999), 'VALID');
  equal(await after(1000), 'IN_GRACE');
  equal(await after(1999), 'IN_GRACE');
  equal(await after(2000), 'EXPIRED');
  equal(await after(1000, { graceUntil: null }), 'EXPIRED');
  equal(await after(2999, { expiresAt: null, graceUntil: null }), 'VALID');
  equal(await after(3000, { expiresAt: null, graceUntil: null }), 'FILE_EXPIRED');
});

test('a file holds for its package, place and purpose alone', async () => {
  equal(await codeOf(file(), { package: license.package, commercial: true }), 'VALID');
  equal(await codeOf(file(), { package: sha256('another') }), 'SCOPE_MISSING');
  equal(await codeOf(file(), { place: 'elsewhere' }), 'SCOPE_MISSING');
  equal(await codeOf(file(), { place: undefined }), 'SCOPE_MISSING');
  equal(await codeOf(file({ commercial: false }), { commercial: true }), 'SCOPE_MISSING');
  equal(await codeOf(file({ activation: null }), { place: undefined }), 'VALID');
});

test('a license of another issuer than asked for does not hold, whoever is pinned besides', async () => {
  const other = newKey('usr_other');
  const both = await openVerifier({ keys: [key.pin, other.pin] });
  const theirs = file({ issuer: 'usr_other', keyId: other.pin.keyId }, { by: other });
  const asked = { now, place: 'desk', package: license.package };
  const codes = async (of) => [
    (await both.verify(file(), { ...asked, ...of })).code,
    (await both.verify(theirs, { ...asked, ...of })).code,
  ];
  deepEqual(await codes({ issuer }), ['VALID', 'SCOPE_MISSING']);
  deepEqual(await codes({ issuer: 'usr_other' }), ['SCOPE_MISSING', 'VALID']);
  // Nobody said whose it must be, and it could be either's.
  deepEqual(await codes({}), ['SCOPE_MISSING', 'SCOPE_MISSING']);
  deepEqual(await codes({ issuer: null }), ['SCOPE_MISSING', 'SCOPE_MISSING']);
  equal(await codeOf(file(), { issuer: 'usr_other' }), 'SCOPE_MISSING');
});

test('a time that is none is an error, and never passes for any time', async () => {
  for (const none of [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    'soon',
    String(now),
    null,
    {},
    BigInt(now),
  ]) {
    await rejects(verifier.verify(file(), { now: none, place: 'desk' }), TypeError);
    await rejects(verifier.verify(file(), { now, knownTime: none, place: 'desk' }), TypeError);
    await rejects(verifier.revocations(listOf(), { now: none }), TypeError);
    await rejects(openVerifier({ keys: [key.pin], clockSkewSeconds: none }), TypeError);
  }
  await rejects(openVerifier({ keys: [key.pin], clockSkewSeconds: -1 }), TypeError);
});

test('where uses are counted a file permits none', async () => {
  const { code, holds } = await verifier.verify(file({ uses: 1 }), { now, place: 'desk' });
  deepEqual({ code, holds }, { code: 'REDEEM_ONLINE', holds: false });
});

test('a list revokes and suspends what it names, and nothing else', async () => {
  const other = sha256('lic_2:0');
  const open = (change) => verifier.revocations(listOf(change), { now });
  equal(await codeOf(file(), { revocations: await open({ revoked: [other], suspended: [other] }) }), 'VALID');
  equal(await codeOf(file(), { revocations: await open({ revoked: [other, license.revocation[0]] }) }), 'REVOKED');
  equal(await codeOf(file(), { revocations: await open({ suspended: [license.revocation[0]] }) }), 'SUSPENDED');
  equal(await codeOf(file(), { revocations: await open({ revoked: [license.revocation[1]] }) }), 'REVOKED');
  // Revoked stays so, also by an old list.
  const old = { revocations: await open({ revoked: [license.revocation[0]] }), now: now + 900_000 };
  equal(await codeOf(file(), old), 'REVOKED');
});

test('a list that is stale, forged, of another issuer or only looks like one does not pass', async () => {
  const open = await verifier.revocations(listOf(), { now });
  equal(open.code, 'VALID');
  equal(await codeOf(file(), { revocations: open, now: now + 500_000 }), 'REVOCATIONS_STALE');
  equal((await verifier.revocations(listOf(), { now: now + 499_000 })).code, 'VALID');
  const stale = await verifier.revocations(listOf(), { now: now + 500_000 });
  deepEqual({ code: stale.code, holds: stale.holds }, { code: 'REVOCATIONS_STALE', holds: false });
  equal(await codeOf(file(), { revocations: { ...open } }), 'REVOCATIONS_INVALID');
  const own = newKey();
  const forged = await verifier.revocations(listOf({}, { by: own }), { now });
  equal(forged.code, 'SIGNATURE_INVALID');
  equal(await codeOf(file(), { revocations: forged }), 'REVOCATIONS_INVALID');
  const other = newKey('usr_other');
  const both = await openVerifier({ keys: [key.pin, other.pin] });
  const asked = { now, place: 'desk', issuer };
  const theirs = await both.revocations(listOf({ issuer: 'usr_other', keyId: other.pin.keyId }, { by: other }), {
    now,
  });
  equal(theirs.code, 'VALID');
  equal((await both.verify(file(), { ...asked, revocations: theirs })).code, 'REVOCATIONS_INVALID');
  for (const change of [{ revoked: 'all' }, { revoked: [7] }, { suspended: undefined }, { expiresAt: null }])
    equal((await verifier.revocations(listOf(change), { now })).code, 'MALFORMED');
});

test('every code is explained', async () => {
  equal(codes.length, 14);
  notEqual((await verifier.verify('')).explanation, undefined);
});
