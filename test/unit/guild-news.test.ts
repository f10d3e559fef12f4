import { expect, test } from 'vitest';
import { type GuildNews, guildNewsText } from '../../domain/guild-news.ts';
import { guildActions } from '../../domain/states.ts';

const news = (change: Partial<GuildNews>): GuildNews => ({
  action: 'joined',
  guild: 'The Night Watch',
  actorName: 'ada',
  memberName: 'Vesper',
  reason: '',
  data: { from: 'guest', to: 'elder', role: 'member' },
  ...change,
});

test('what concerns all is one sentence with its reason; what concerns who invites is none', () => {
  const told = guildActions.filter((action) => guildNewsText(news({ action })) !== undefined);
  expect(told.toSorted()).toEqual(['appointed', 'closed', 'expelled', 'joined', 'left', 'renamed', 'transferred']);
  expect(guildNewsText(news({ action: 'appointed', reason: 'steady' }))).toBe(
    'Vesper was made elder of the guild "The Night Watch" by ada. The reason given: steady',
  );
});

test('what a rule did has nobody who did it', () => {
  expect(guildNewsText(news({ action: 'transferred', actorName: null }))).toBe(
    'Vesper was made the founder of the guild "The Night Watch".',
  );
});
