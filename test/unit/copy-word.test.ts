import { expect, test } from 'vitest';
import { createCopyWord } from '../../workers/copy-word.ts';

const minute = 60_000;

test('what is said of the second copy is said once, and that it waits for a backup only after an hour', () => {
  const word = createCopyWord();
  const kept = { reason: '' };
  expect([word(kept, 0), word({ reason: 'not mounted' }, 0), word({ reason: 'not mounted' }, minute)]).toEqual([
    undefined,
    'not mounted',
    undefined,
  ]);
  expect([word('busy', 2 * minute), word(kept, 3 * minute)]).toEqual([undefined, '']);
  // Busy anew: the hour begins with it.
  expect([word('busy', 4 * minute), word('busy', 64 * minute)]).toEqual([undefined, undefined]);
  expect(word('busy', 65 * minute)).toMatch(/over an hour/);
  expect([word('busy', 66 * minute), word(kept, 67 * minute), word('busy', 68 * minute)]).toEqual([
    undefined,
    '',
    undefined,
  ]);
});
