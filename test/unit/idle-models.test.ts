import { expect, test } from 'vitest';
import { idleModels } from '../../domain/idle-models.ts';

test('a model is idle once nothing has it in hand and nothing has used it for so long', () => {
  const uses = new Map([
    ['just', { inHand: 0, usedAt: 41 }],
    ['idle', { inHand: 0, usedAt: 40 }],
    ['long', { inHand: 0, usedAt: -1_000 }],
    ['called', { inHand: 1, usedAt: -1_000 }],
  ]);
  expect(idleModels(uses, { now: 100, afterMs: 60 })).toEqual(['idle', 'long']);
  expect(idleModels(uses, { now: 99, afterMs: 60 })).toEqual(['long']);
  expect(idleModels(new Map(), { now: 100, afterMs: 60 })).toEqual([]);
});
