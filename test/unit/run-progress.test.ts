import { expect, test } from 'vitest';
import { insightsStep } from '../../domain/messages.ts';
import { focusStep, questionsStep } from '../../domain/reflection-calls.ts';
import { runProgress } from '../../domain/run-progress.ts';
import { endedRunStates } from '../../domain/states.ts';

const asked = { step: questionsStep, questions: 3 };
const focus = (place: number) => ({ step: focusStep(place), questions: null });
const insights = { step: insightsStep, questions: null };

test.each([
  ['nothing is stored', [], 'reading', 0, null],
  ['its questions are asked', [asked], 'drawing', 1, 4],
  ['two of three are answered', [asked, focus(0), focus(1)], 'drawing', 3, 4],
  ['one brought nothing to mind', [asked, focus(0), focus(2), insights], 'storing', 3, 3],
  ['no question was worth it: one call draws', [{ ...asked, questions: 0 }], 'drawing', 1, 2],
  ['little is new: one call for all', [focus(0)], 'drawing', 1, 1],
  ['there was nothing to read', [insights], 'storing', 0, 0],
] as const)('a run that runs: %s', (_, steps, stage, done, of) => {
  expect(runProgress('running', steps)).toEqual({ stage, done, of });
});

test('one that waits has done nothing, and one that has ended has no progress', () => {
  expect(runProgress('queued', [])).toEqual({ stage: 'waiting', done: 0, of: null });
  expect(runProgress('parked', [])).toEqual({ stage: 'parked', done: 0, of: null });
  for (const state of endedRunStates) expect(runProgress(state, [asked])).toBeNull();
});
