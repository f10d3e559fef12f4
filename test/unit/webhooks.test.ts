import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { retryAfterOf } from '../../domain/retry-after.ts';
import {
  afterWebhookTry,
  mostCounted,
  mostEventBytes,
  waitInLine,
  webhookEventOf,
  webhookUrlFault,
} from '../../domain/webhooks.ts';
import { newId } from '../../stores/ids.ts';
import '../support/properties.ts';

describe('Retry-After', () => {
  const now = new Date('2026-11-21T10:00:00Z');
  test.each([
    ['120', 120],
    ['0', 0],
    [' 7 ', 7],
    ['1.25', 2],
    ['Sat, 21 Nov 2026 10:05:00 GMT', 300],
    ['Saturday, 21-Nov-26 10:05:00 GMT', 300],
    ['Sat Nov 21 10:05:00 2026', 300],
    ['2026-11-21T10:05:00Z', 300],
    ['2026-11-21T11:05:00.500+01:00', 301],
    ['Sat, 21 Nov 2026 09:00:00 GMT', 0],
  ])('%s is %i s', (header, seconds) => {
    expect(retryAfterOf(header, now)).toBe(seconds);
  });
  test.each(['', 'soon', '-1', '1e9', '12 parsecs', '0x10', 'Infinity', '99999999999', 'Never 32'])(
    '%j is none',
    (header) => {
      expect(retryAfterOf(header, now)).toBeUndefined();
    },
  );
});

test('who waits for room waits longer the further back in the line, so that a long one costs others little', () => {
  const waits = Array.from({ length: mostCounted + 1 }, (_, ahead) => waitInLine(ahead));
  expect([waits[0], waits[10], waits[100], waits.at(-1)]).toEqual([5, 10, 100, 600]);
  expect(waits.every((seconds, i) => i === 0 || seconds >= waits[i - 1]!)).toBe(true);
  // Of 10,000 in line fewer than 30 a second look whether there is room for them.
  const looks = waits.reduce((sum, seconds) => sum + 1 / seconds, (10_000 - waits.length) / waits.at(-1)!);
  expect(looks).toBeLessThan(30);
});

describe('what follows from a try', () => {
  test('2xx is delivered, 410 is for good, all else is tried for more than a day', () => {
    for (const status of [200, 202, 204, 299])
      expect(afterWebhookTry({ attempts: 1, status })).toEqual({ state: 'delivered' });
    expect(afterWebhookTry({ attempts: 1, status: 410 })).toEqual({ state: 'failed', disable: true });
    for (const status of [undefined, 100, 301, 302, 308, 400, 401, 404, 429, 500, 502, 504]) {
      let waited = 0;
      for (let attempts = 1; ; attempts += 1) {
        const { state, againInSeconds } = afterWebhookTry({ attempts, status });
        if (againInSeconds === undefined) {
          expect(state).toBe('failed');
          break;
        }
        waited += againInSeconds;
      }
      expect(waited).toBeGreaterThan(86_400);
    }
  });

  test('a receiver may put it off, never forward, and never past a day', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.nat(10_000_000), (attempts, retryAfterSeconds) => {
        const { againInSeconds } = afterWebhookTry({ attempts, status: 429, retryAfterSeconds });
        const { againInSeconds: ruled } = afterWebhookTry({ attempts, status: 429 });
        expect(againInSeconds).toBe(Math.max(ruled!, Math.min(retryAfterSeconds, 86_400)));
      }),
    );
  });
});

test('an event is of its type and far below what receivers take, or is a fault of ours', () => {
  const data = {
    licenseId: newId('license'),
    holderId: newId('user'),
    packageHash: 'a'.repeat(64),
    purchaseId: null,
    revokedAt: '2026-11-21T10:00:00.000Z',
  };
  const { key, body } = webhookEventOf('license.revoked', data, new Date(0));
  expect(key).toBe(`license.revoked:${data.licenseId}`);
  expect(JSON.parse(body)).toEqual({ type: 'license.revoked', timestamp: '1970-01-01T00:00:00.000Z', data });
  const longest = { ...data, purchaseId: 'x'.repeat(100) };
  expect(Buffer.byteLength(webhookEventOf('license.revoked', longest, new Date(0)).body)).toBeLessThan(mostEventBytes);
  // Why somebody took it back may say anything of anybody.
  expect(() => webhookEventOf('license.revoked', { ...data, reason: 'x' } as never, new Date(0))).toThrow(
    'not what it says',
  );
  expect(() => webhookEventOf('license.revoked', { ...data, document: 'x' } as never, new Date(0))).toThrow(
    'not what it says',
  );
});

test.each([
  ['https://shop.example/hooks', true],
  ['https://shop.example:8443/hooks?key=1', true],
  ['http://127.0.0.1:9/x', true],
  ['http://shop.example/hooks', false],
  ['https://u:p@shop.example/', false],
  ['https://shop.example/#x', false],
  ['ftp://shop.example/', false],
  ['file:///etc/passwd', false],
  ['/hooks', false],
])('%s may be an endpoint: %s', (url, may) => {
  expect(webhookUrlFault(url, ['127.0.0.1']) === undefined).toBe(may);
});
