import { expect, test } from 'vitest';
import { choiceOf, choiceWords } from '../../cli/ballots.ts';

const options = ['Yes', 'No', 'Later, perhaps', 'x = 2'];

test.each<[string, string, unknown]>([
  ['2', 'single', 2],
  ['No', 'single', 2],
  [' yes ', 'single', 1],
  ['Later, perhaps', 'single', 3],
  ['x = 2', 'single', 4],
  ['abstain', 'ranked', null],
  ['1,3', 'approval', [1, 3]],
  ['no, Yes', 'ranked', [2, 1]],
  ['No', 'approval', [2]],
  ['1=60,2=40', 'weighted', { 1: 60, 2: 40 }],
  ['Yes=60, no = 40', 'quadratic', { 1: 60, 2: 40 }],
  ['1,No', 'approval', [1, 2]],
])('%s (%s) is understood', (written, method, choice) => {
  expect(choiceOf(written, { method, options })).toEqual(choice);
});

test.each(['Maybe', '5', '0', 'Yes, Maybe', 'Maybe=3', ''])(
  '%s is none of the options, and the message names them',
  (written) => {
    expect(() => choiceOf(written, { method: 'single', options })).toThrow(/is none of the options/);
  },
);

test('words that are numbers: what could be a place and an option is refused, what can be one thing is that', () => {
  const years = ['2', '1', '2030'];
  expect(() => choiceOf('2', { method: 'single', options: years })).toThrow(
    /the place of “1” and the words of option 1/,
  );
  expect(choiceOf('2030', { method: 'single', options: years })).toBe(3);
  expect(choiceOf('3', { method: 'single', options: years })).toBe(3);
});

test('two options that differ in case alone are told apart', () => {
  expect(choiceOf('YES', { method: 'single', options: ['Yes', 'YES'] })).toBe(2);
  expect(() => choiceOf('yes', { method: 'single', options: ['Yes', 'YES'] })).toThrow(/none of the options/);
});

test('a vote is told with the words of its options', () => {
  expect(choiceWords(2, options)).toBe('option 2 “No”');
  expect(choiceWords([2, 1], options)).toBe('options 2 “No”, 1 “Yes”');
  expect(choiceWords({ 1: 60 }, options)).toBe('shares 1 “Yes”=60');
  expect(choiceWords(2)).toBe('option 2');
});
