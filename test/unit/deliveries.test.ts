import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ChannelKindName, channelKindNames, channelKindRow } from '../../domain/channel-kinds.ts';
import {
  afterAttempt,
  attemptSeconds,
  deadAfterSeconds,
  type DeliveryOutcome,
  deliveryOutcomes,
  leaveWithinSeconds,
  mayResend,
  patienceLeft,
} from '../../domain/deliveries.ts';
import { endOfDrop, mayStep, needsApproval } from '../../domain/drops.ts';
import { waitSecondsOf } from '../../domain/rate-signals.ts';
import '../support/properties.ts';

const past = (...outcomes: DeliveryOutcome[]) => outcomes.map((outcome) => ({ outcome, age: 0 }));
const kind = fc.constantFrom(...channelKindNames);

describe('after an attempt', () => {
  test('an ambiguous channel is never tried again by itself once one is in doubt', () => {
    fc.assert(
      fc.property(
        kind.filter((name) => channelKindRow(name).keyLife === 'none'),
        fc.array(fc.constantFrom(...deliveryOutcomes), { maxLength: 9 }),
        fc.integer({ min: 0, max: 100_000 }),
        (name, outcomes, wait) => {
          const step = afterAttempt(name, past(...outcomes, 'unknown'), wait);
          expect(step).toEqual({ state: 'unconfirmed' });
          expect(afterAttempt(name, past('unknown', ...outcomes, 'deferred'), wait).state).toBe('unconfirmed');
        },
      ),
    );
  });

  test('no attempt follows beyond the life of a key, by whatever it is put off', () => {
    fc.assert(
      fc.property(kind, fc.integer({ min: 0, max: 10_000 }), fc.integer({ min: 0, max: 10_000 }), (name, age, wait) => {
        const step = afterAttempt(
          name,
          [
            { outcome: 'unknown', age },
            { outcome: 'deferred', age: 0 },
          ],
          wait,
        );
        const { keyLife } = channelKindRow(name);
        if (step.state !== 'pending' || typeof keyLife !== 'number') return;
        // With the whole of the attempt to come, and a margin for clocks.
        expect(age + step.againInSeconds! + attemptSeconds).toBeLessThan(keyLife - 15);
      }),
    );
  });

  test('what is in doubt is never called failed, and what is not is never called unconfirmed', () => {
    fc.assert(
      fc.property(
        kind,
        fc.array(fc.constantFrom(...deliveryOutcomes), { minLength: 1, maxLength: 12 }),
        (name, outcomes) => {
          const { state } = afterAttempt(name, past(...outcomes));
          if (state === 'failed') expect(outcomes).not.toContain('unknown');
          if (state === 'unconfirmed') expect(outcomes).toContain('unknown');
          if (outcomes.at(-1) === 'published') expect(state).toBe('published');
        },
      ),
    );
  });

  test('none follows while the service may still be at work on one whose answer never came', () => {
    fc.assert(
      fc.property(
        kind,
        fc.array(fc.record({ outcome: fc.constantFrom(...deliveryOutcomes), age: fc.integer({ min: 0, max: 200 }) }), {
          minLength: 1,
          maxLength: 6,
        }),
        (name, attempts) => {
          const step = afterAttempt(name, attempts);
          if (step.state !== 'pending') return;
          for (const { age } of attempts.filter(({ outcome }) => outcome === 'unknown'))
            expect(age + step.againInSeconds!).toBeGreaterThanOrEqual(channelKindRow(name).patience);
        },
      ),
    );
    expect(patienceLeft('mastodon', [{ outcome: 'unknown', age: 10 }])).toBe(55);
    expect(patienceLeft('mastodon', [{ outcome: 'deferred', age: 10 }])).toBe(0);
    expect(patienceLeft('bluesky', [{ outcome: 'unknown', age: 0 }])).toBe(0);
  });

  test('the tries come to an end', () => {
    const many = Array.from({ length: 9 }, () => 'deferred' as const);
    for (const name of channelKindNames) expect(afterAttempt(name, past(...many))).toEqual({ state: 'failed' });
  });

  test('a service may put it off for a day and no longer', () => {
    expect(afterAttempt('webhook', past('deferred'), 1_000_000)).toEqual({ state: 'pending', againInSeconds: 86_400 });
    expect(afterAttempt('webhook', past('deferred'), 1)).toEqual({ state: 'pending', againInSeconds: 5 });
  });

  test('an attempt is taken for dead only when it can neither send nor hear any more', () => {
    expect(deadAfterSeconds).toBeGreaterThanOrEqual(leaveWithinSeconds + attemptSeconds);
  });

  test.each<[ChannelKindName, number, boolean]>([
    ['mastodon', 0, true],
    ['mastodon', 3_200, true],
    ['mastodon', 3_240, false],
    ['discord_bot', 89, true],
    ['discord_bot', 90, false],
    ['bluesky', 1e9, true],
    ['webhook', 57 * 3_600, true],
    ['webhook', 58 * 3_600, false],
    ['telegram', 0, false],
    ['slack_webhook', 0, false],
    ['discord_webhook', 0, false],
  ])('%s: %i s after a doubt it may be sent again: %s', (name, seconds, may) => {
    expect(mayResend(name, seconds)).toBe(may);
  });
});

describe('how long a service wants to be left alone', () => {
  const now = new Date('2026-11-21T10:00:00Z');
  test.each<[string, Record<string, string>, unknown, number | undefined]>([
    ['seconds', { 'retry-after': '30' }, undefined, 30],
    ['decimals', { 'retry-after': '0.3' }, undefined, 1],
    ['an HTTP date', { 'retry-after': 'Sat, 21 Nov 2026 10:02:00 GMT' }, undefined, 120],
    ['a date that is past', { 'retry-after': 'Sat, 21 Nov 2026 09:00:00 GMT' }, undefined, 0],
    ['retry_after of Discord', {}, { retry_after: 1.337 }, 2],
    ['parameters of Telegram', {}, { ok: false, parameters: { retry_after: 35 } }, 35],
    ['the longest of both', { 'retry-after': '3' }, { retry_after: 7.2 }, 8],
    ['Reset-After', { 'x-ratelimit-reset-after': '4.2' }, undefined, 5],
    ['a date-time of Mastodon', { 'x-ratelimit-reset': '2026-11-21T10:05:00.123456Z' }, undefined, 301],
    ['seconds since 1970 of Bluesky', { 'ratelimit-reset': '1795255260' }, undefined, 60],
    ['decimals since 1970 of Discord', { 'x-ratelimit-reset': '1795255205.5' }, undefined, 6],
    ['more than a day', { 'retry-after': '999999' }, undefined, 86_400],
    ['nonsense', { 'retry-after': 'soon' }, { retry_after: 'soon' }, undefined],
    ['nothing below zero', {}, { retry_after: -5 }, undefined],
    ['nothing', {}, undefined, undefined],
  ])('%s', (_name, headers, json, seconds) => {
    expect(waitSecondsOf({ status: 429, headers, json }, now)).toBe(seconds);
  });

  test('a quota that is used up counts also where the post was taken, one that is not does not', () => {
    const reset = { 'x-ratelimit-reset-after': '9' };
    expect(waitSecondsOf({ status: 200, headers: { ...reset, 'x-ratelimit-remaining': '0' }, json: {} }, now)).toBe(9);
    expect(
      waitSecondsOf({ status: 200, headers: { ...reset, 'x-ratelimit-remaining': '3' }, json: {} }, now),
    ).toBeUndefined();
  });
});

describe('a drop', () => {
  const real = (state: 'published' | 'failed' | 'unconfirmed') => ({ state, rehearsal: false });
  const rehearsed = { state: 'published' as const, rehearsal: true };
  test.each([
    [[real('published')], 'published'],
    [[real('published'), rehearsed], 'published'],
    [[real('failed'), real('failed')], 'failed'],
    [[real('published'), real('failed')], 'partly_published'],
    [[real('unconfirmed')], 'partly_published'],
    [[rehearsed], 'canceled'],
  ])('%j ends as %s', (deliveries, state) => {
    expect(endOfDrop(deliveries).state).toBe(state);
  });

  test('a channel goes on step by step, and back at once', () => {
    expect([mayStep('dry_run', 'approval'), mayStep('dry_run', 'free'), mayStep('approval', 'free')]).toEqual([
      true,
      false,
      true,
    ]);
    expect([mayStep('free', 'dry_run'), mayStep('free', 'free')]).toEqual([true, true]);
    expect([needsApproval(['dry_run', 'free']), needsApproval(['free', 'approval'])]).toEqual([false, true]);
  });
});
