import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalJson, type CanonicalValue } from '../../domain/canonical-json.ts';
import { signedContent, signedForms } from '../../domain/license-files.ts';
import { openSigningKey, signedText } from '../../integrations/signing.ts';
import { openVerifier } from '../../verifier/index.js';
import { generateKeyPairSync } from 'node:crypto';

const folder = fileURLToPath(new URL('../../verifier/', import.meta.url));

test('the verifier’s own tests pass, with Node alone', () => {
  const { status, stdout } = spawnSync(process.execPath, ['--test', 'verifier.test.js'], {
    cwd: folder,
    encoding: 'utf8',
    // Under vitest Node would take itself for a part of another run of tests.
    env: { PATH: process.env['PATH'] },
  });
  expect({ status, failed: / fail (\d+)/.exec(stdout)?.[1] }, stdout).toEqual({ status: 0, failed: '0' });
});

const value: fc.Arbitrary<CanonicalValue> = fc.letrec<{ value: CanonicalValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string({ unit: 'grapheme' }),
    fc.maxSafeInteger().map((number) => number + 0),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value')),
    fc.dictionary(fc.string({ unit: 'grapheme' }), tie('value')),
  ),
})).value;

test('what the domain writes as canonical the verifier reads as canonical', async () => {
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const signer = openSigningKey(pem);
  const issuer = 'usr_a';
  const verifier = await openVerifier({
    keys: [{ keyId: signer.keyId, issuer, publicKey: signer.publicKey.toString('base64url') }],
  });
  const at = 1_800_000_000;
  const file = {
    license: 'lic_1',
    kind: 'unlimited',
    issuer,
    holder: 'usr_b',
    package: 'f'.repeat(64),
    commercial: true,
    uses: null,
    activation: null,
    issuedAt: at,
    fileExpiresAt: at + 100,
    expiresAt: null,
    graceUntil: null,
    revocation: ['a'],
  };
  await fc.assert(
    fc.asyncProperty(value, async (more) => {
      const content = signedContent({ ...file, more } as typeof file, signer.keyId);
      const text = signedText(signedForms.license, content, signer);
      const { code, license } = await verifier.verify(text, { now: at * 1000 });
      expect(code).toBe('VALID');
      expect(license).toEqual({ ...file, more, keyId: signer.keyId });
    }),
    { numRuns: 300 },
  );
});

test('canonical JSON is one text for one value, whatever the order of its keys', () => {
  expect(canonicalJson({ b: [1, { d: null, c: true }], a: 'é"\n', '\u{1f600}': 1, '\ufb33': 2 })).toBe(
    '{"a":"é\\"\\n","b":[1,{"c":true,"d":null}],"\u{1f600}":1,"\ufb33":2}',
  );
  fc.assert(
    fc.property(value, (any) => {
      const text = canonicalJson(any);
      expect(canonicalJson(JSON.parse(text) as CanonicalValue)).toBe(text);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(any)));
    }),
  );
  for (const bad of [1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -0, 'a\ud800'])
    expect(() => canonicalJson({ bad })).toThrow(RangeError);
});
