import { expect, test } from 'vitest';
import { noticeRules } from '../../domain/notice-acts.ts';
import { afterNotifyTry, notifySchema, notifySecretsOf } from '../../domain/notify.ts';
import { noticesContent, type ToldNotice, webhookBody } from '../../domain/notify-texts.ts';

function notice(change: Partial<ToldNotice>): ToldNotice {
  return {
    what: 'opened',
    id: 'ntc_1',
    kind: 'machine_lost',
    severity: 'critical',
    subject: 'pc2',
    title: 'pc2 is lost',
    detail: 'no renewal for 15 s',
    act: noticeRules.machine_lost.act({ id: 'ntc_1', key: 'k', subject: 'pc2', about: '' }),
    openedAt: '2026-11-22T10:00:00.000Z',
    resolvedAt: null,
    ...change,
  };
}

test('one message: what matters most first, what has ended last, each with its command', () => {
  const { title, text, severity, notices } = noticesContent('Oarfall', [
    notice({ what: 'resolved', title: 'mainpc is lost', resolvedAt: '2026-11-22T10:05:00.000Z' }),
    notice({ severity: 'info', title: 'a small thing\n@everyone' }),
    notice({ what: 'reminder', title: 'an old thing' }),
    notice({}),
  ]);
  expect(title).toBe('Oarfall: 2 new, 1 still open, 1 resolved');
  expect(severity).toBe('critical');
  expect(notices.map((one) => one.title)).toEqual([
    'pc2 is lost',
    'a small thing\n@everyone',
    'an old thing',
    'mainpc is lost',
  ]);
  expect(text).toContain(
    '● critical: pc2 is lost\n  no renewal for 15 s\n  → Start the worker of pc2. soulfra fleet start pc2',
  );
  // What others wrote begins no line of ours.
  expect(text).toContain('● info: a small thing @everyone');
  expect(text).toContain('✔ mainpc is lost: resolved (2026-11-22 10:00 UTC to 10:05 UTC)');
});

test('a message of one says what it is in its title', () => {
  expect(noticesContent('Oarfall', [notice({})]).title).toBe('Oarfall: pc2 is lost');
  const ended = noticesContent('Oarfall', [notice({ what: 'resolved', resolvedAt: '2026-11-22T10:05:00.000Z' })]);
  expect(ended).toMatchObject({ title: 'Oarfall: resolved: pc2 is lost', severity: 'info' });
});

test('a webhook gets no more than receivers take, and how many were left out', () => {
  const many = Array.from({ length: 100 }, (_, i) => notice({ id: `ntc_${i}`, detail: 'x'.repeat(400) }));
  const body = webhookBody(
    { type: 'notices', at: '2026-11-22T10:00:00.000Z', fleet: 'Oarfall' },
    noticesContent('Oarfall', many),
  );
  const { type, data } = JSON.parse(body) as { type: string; data: { notices: unknown[]; left: number } };
  expect(type).toBe('fleet.notices');
  expect(Buffer.byteLength(body)).toBeLessThanOrEqual(16_384);
  expect(data.notices.length).toBeGreaterThan(5);
  expect(data.notices.length + data.left).toBe(100);
});

test('what fails is tried again, ever more seldom, for a day', () => {
  const after = (change: object) => afterNotifyTry({ outcome: 'not_sent', attempts: 1, age: 0, ...change });
  expect(after({ outcome: 'sent' })).toEqual({ state: 'sent' });
  expect([1, 2, 3, 4, 5, 50].map((attempts) => after({ attempts }).againInSeconds)).toEqual([5, 15, 60, 120, 300, 300]);
  expect(after({ outcome: 'unconfirmed' })).toEqual({ state: 'pending', againInSeconds: 5 });
  expect(after({ outcome: 'refused' }).againInSeconds).toBe(900);
  expect(after({ waitSeconds: 40 }).againInSeconds).toBe(40);
  expect(after({ waitSeconds: 1e9 }).againInSeconds).toBe(3_600);
  expect(after({ age: 86_399 })).toEqual({ state: 'failed' });
});

test('the file names destinations once each, and a digest goes to those it names', () => {
  const webhook = { id: 'pager', kind: 'webhook', url: 'https://pager.example/hook' };
  const paths = (value: object) => notifySchema.safeParse(value).error?.issues.map(({ path }) => path.join('.'));
  expect(paths({ destinations: [webhook] })).toBeUndefined();
  expect(paths({ destinations: [webhook, webhook] })).toEqual(['destinations']);
  expect(paths({ destinations: [webhook], digest: { at: '08:00', to: ['nobody'] } })).toEqual(['digest.to']);
  expect(paths({ digest: { at: '8 o’clock' } })).toEqual(['digest.at']);
  expect(paths({ digest: { at: '08:00', timeZone: 'Mars/Olympus' } })).toEqual(['digest.timeZone']);
  // No secret belongs into the file.
  expect(
    paths({ destinations: [{ id: 'ops', kind: 'discord', url: 'https://discord.com/api/webhooks/1/x' }] }),
  ).toEqual(['destinations.0']);
});

test('secrets are JSON by destination', () => {
  expect(notifySecretsOf('{"ops":{"url":"https://discord.com/api/webhooks/1/x"}}')).toEqual({
    ops: { url: 'https://discord.com/api/webhooks/1/x' },
  });
  for (const wrong of ['', 'x', '[]', '{"ops":"x"}', '{"ops":{"password":"x"}}', '{"pager":{"secret":"short"}}'])
    expect(notifySecretsOf(wrong)).toBeUndefined();
});
