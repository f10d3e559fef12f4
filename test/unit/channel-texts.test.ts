import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byteCount, cutText, graphemeCount, plainPost, withoutMentions } from '../../domain/channel-texts.ts';
import { channelKindNames } from '../../domain/channel-kinds.ts';
import { channelKind } from '../../integrations/channels/kinds.ts';
import '../support/properties.ts';

const family = '👩‍👩‍👧‍👦';
/** Without the marks that keep names from calling anybody. */
const plain = (text: string) => text.replaceAll('@\u200b', '@');
/** Each sign is one that a reader sees, of very different sizes underneath. */
const signs = fc.array(
  fc.constantFrom('a', ' ', '\n', family, '🇩🇪', 'é', 'ก็', '&', '<', '@ada', '漢', 'https://a.example/b '),
  {
    maxLength: 800,
    size: 'max',
  },
);
const settings: Partial<Record<string, unknown>> = {
  feed: { title: 'Harbour', siteUrl: 'https://harbour.example' },
  webhook: { url: 'https://harbour.example/hooks' },
  discord_bot: { channelId: '42' },
  telegram: { chatId: '-100' },
  mastodon: { server: 'https://mastodon.example' },
  bluesky: { handle: 'harbour.example.org' },
};
const measured: Record<string, (text: string) => boolean> = {
  webhook: (text) => byteCount(text) <= 6_000,
  discord_webhook: (text) => text.length <= 2_000,
  discord_bot: (text) => text.length <= 2_000,
  slack_webhook: (text) => text.replace(/[&<>]/g, (sign) => (sign === '&' ? '&amp;' : '&lt;')).length <= 3_000,
  telegram: (text) => text.length <= 4_096,
  mastodon: (text) => graphemeCount(text.replaceAll(/https?:\/\/\S+/g, 'x'.repeat(23))) <= 500,
  bluesky: (text) => graphemeCount(text) <= 300 && byteCount(text) <= 3_000,
};

describe.each(channelKindNames.filter((kind) => kind !== 'feed'))('%s', (name) => {
  const kind = channelKind(name);
  const own = kind.settings.parse(settings[name] ?? {});

  test('a text fits by its measure, whole where it can, and never ends within a sign', () => {
    fc.assert(
      fc.property(signs, (body) => {
        const words = { title: '', body: `x${body.join('')}` };
        const text = kind.text(words, own, undefined);
        expect(measured[name]!(text)).toBe(true);
        expect(text.isWellFormed()).toBe(true);
        const whole = plainPost(words);
        if (measured[name]!(withoutMentions(whole))) {
          expect(plain(text)).toBe(whole);
          return;
        }
        // Without marks it may just fit.
        if (plain(text) === whole) return;
        // What is there is a beginning, sign by sign.
        const signsOf = (part: string) => Array.from(new Intl.Segmenter().segment(part), ({ segment }) => segment);
        const shown = signsOf(plain(text)).slice(0, -1);
        expect(text.endsWith('…')).toBe(true);
        expect(signsOf(whole).slice(0, shown.length)).toEqual(shown);
      }),
      { numRuns: 20 },
    );
  });

  test('control characters and marks that turn text are kept out', () => {
    const text = kind.text({ title: 'a\u0001\u202e', body: 'b\u0000\u0007\u001b[31mc\ufeff' }, own, undefined);
    expect(text).toBe('a\n\nb[31mc');
  });
});

test('nobody is called by what a model wrote', () => {
  for (const text of ['@everyone', '@here now', 'to @ada@harbour.example', '@harbour_news', '<@123>', '@Žofie'])
    expect(withoutMentions(text)).not.toMatch(/@[\p{L}\p{N}_&!]/u);
  expect(withoutMentions('5 @ 3 € each')).toBe('5 @ 3 € each');
});

test('a text is cut after a word where one ends near', () => {
  expect(cutText('the tide turned at noon', (text) => text.length <= 18)).toBe('the tide turned…');
  expect(cutText('x'.repeat(40), (text) => text.length <= 10)).toBe(`${'x'.repeat(9)}…`);
  expect(cutText(family.repeat(3), (text) => graphemeCount(text) <= 2)).toBe(`${family}…`);
});
