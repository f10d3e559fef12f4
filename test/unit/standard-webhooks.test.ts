import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { isSigned, newWebhookSecret, signatureOf, type SignedRequest } from '../../integrations/standard-webhooks.ts';

/** The vector that the libraries of the specification test with. */
const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const vector: SignedRequest = {
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  timestamp: '1614265330',
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  body: Buffer.from('{"test": 2432232314}'),
};
const then = new Date(1_614_265_330_000);
const other = newWebhookSecret();

test('the published vector is signed, and signs the same', () => {
  expect(isSigned([secret], vector, then)).toBe(true);
  expect(signatureOf(secret, vector)).toBe(vector.signature);
});

test('the official library and this one take each other’s signatures', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', maxLength: 200 }),
      fc.stringMatching(/^[!-~]{1,40}$/),
      fc.uint8Array({ minLength: 24, maxLength: 64 }),
      (body, id, key) => {
        const own = `whsec_${Buffer.from(key).toString('base64')}`;
        const theirs = new Webhook(own);
        const at = new Date();
        const timestamp = String(Math.floor(at.getTime() / 1000));
        const request = { id, timestamp, body: Buffer.from(body.toWellFormed()) };
        const signature = theirs.sign(id, at, body.toWellFormed());
        expect(signatureOf(own, request)).toBe(signature);
        expect(isSigned([own], { ...request, signature }, at)).toBe(true);
      },
    ),
    { numRuns: 200 },
  );
  expect(new Webhook(other).sign('msg_1', then, '{}')).toBe(
    signatureOf(other, { id: 'msg_1', timestamp: vector.timestamp, body: Buffer.from('{}') }),
  );
});

describe('is refused:', () => {
  const signature = vector.signature;
  test.each<[string, Partial<SignedRequest>]>([
    ['another body', { body: Buffer.from('{"test": 2432232315}') }],
    ['another id', { id: 'msg_other' }],
    ['another time', { timestamp: '1614265331' }],
    ['no signature', { signature: '' }],
    ['a signature of another scheme', { signature: signature.replace('v1,', 'v2,') }],
    ['a scheme that is none', { signature: signature.replace('v1,', '') }],
    ['half a signature', { signature: signature.slice(0, 30) }],
    [
      'a signature and a byte',
      {
        signature: `v1,${Buffer.concat([Buffer.from(signature.slice(3), 'base64'), Buffer.of(0)]).toString('base64')}`,
      },
    ],
    ['the right one behind too many', { signature: `${'v1,AAAA '.repeat(10)}${signature}` }],
    ['a time that only begins with digits', { timestamp: '1614265330abc' }],
    ['a time in other digits', { timestamp: '0x60376bb2' }],
    ['a time with a point', { timestamp: '1614265330.0' }],
    ['no time', { timestamp: '' }],
  ])('%s', (_name, change) => {
    expect(isSigned([secret], { ...vector, ...change }, then)).toBe(false);
  });

  test('another secret, none, and an empty one', () => {
    expect(isSigned([other], vector, then)).toBe(false);
    expect(isSigned([], vector, then)).toBe(false);
    expect(isSigned([], { ...vector, signature: signatureOf('whsec_', vector) }, then)).toBe(false);
  });

  test('what is older or newer than five minutes', () => {
    const at = (seconds: number) => new Date(then.getTime() + seconds * 1000);
    for (const seconds of [-300, 0, 300]) expect(isSigned([secret], vector, at(seconds))).toBe(true);
    for (const seconds of [-301, 301, 86_400]) expect(isSigned([secret], vector, at(seconds))).toBe(false);
  });
});

test('one of several signatures by one of two secrets is enough', () => {
  const signature = `v1a,abc v1,AAAA ${vector.signature}`;
  expect(isSigned([other, secret], { ...vector, signature }, then)).toBe(true);
});

test('a sealed secret opens under its key and for its thing only', () => {
  const box = createSecretBox(Buffer.alloc(32, 1));
  const sealed = box.seal(secret, 'a');
  expect(box.open(sealed, 'a')).toBe(secret);
  expect(sealed.toString('latin1')).not.toContain(secret.slice(6, 20));
  expect(box.seal(secret, 'a').equals(sealed)).toBe(false);
  expect(() => box.open(sealed, 'b')).toThrow();
  expect(() => createSecretBox(Buffer.alloc(32, 2)).open(sealed, 'a')).toThrow();
  const turned = Buffer.from(sealed);
  turned[turned.length - 1]! ^= 1;
  expect(() => box.open(turned, 'a')).toThrow();
  expect(() => box.open(sealed.subarray(0, 20), 'a')).toThrow();
});
