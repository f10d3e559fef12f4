import { expect, test } from 'vitest';
import { joinActivities } from '../../activities/join-activities.ts';

test('activities of several nouns are one worker’s, and no name is another’s', () => {
  const [send, settle] = [() => 'sent', () => 'settled'];
  expect(joinActivities({ send }, { settle })).toEqual({ send, settle });
  expect(() => joinActivities({ send }, { settle }, { send: settle })).toThrow('two activities are called send');
});
