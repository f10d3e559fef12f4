import { expect, test } from 'vitest';
import { outOfBounds } from '../../bench/support/deploy-bounds.ts';

const boxes = {
  healthy: true,
  second_apply_changes: 0,
  refused_untrusted: true,
  ready: true,
  lost: 0,
  acknowledged: 60,
  restore_equal: true,
  promoted_after_a_kill: true,
  old_one_stays_out: true,
};
const of = (phases: string[], figures: object, isShort = false) =>
  outOfBounds(figures, { phases, isShort, agents: 90 });

test('a figure that was not measured is out of bounds, as one that is wrong', () => {
  expect(of(['boxes'], boxes)).toEqual([]);
  const { lost: _, ...without } = boxes;
  expect(of(['boxes'], without)).toEqual(['lost']);
  expect(of(['boxes'], { ...boxes, lost: 1, restore_equal: null })).toEqual(['lost', 'restore_equal']);
  expect(of(['promote'], {})).toContain('promotion.synchronous.lost');
  const upgrade = { older_refuses_newer_data: true, broken: [] };
  expect(of(['upgrade'], { upgrade_nondeterminism: 0, upgrade })).toEqual([]);
  expect(of(['upgrade'], { upgrade_nondeterminism: 0, upgrade: { ...upgrade, broken: ['failed x'] } })).toEqual([
    'upgrade.broken.length',
  ]);
});

test('nothing is lost of nothing: so much has to be acknowledged', () => {
  expect(of(['boxes'], { ...boxes, acknowledged: 0 })).toEqual(['acknowledged']);
  expect(of(['boxes'], { ...boxes, acknowledged: null })).toEqual(['acknowledged']);
  expect(of(['promote'], { promotion: { cut: { acknowledged: 3, lost: 0 } } })).toContain('promotion.cut.acknowledged');
});

test('of a part that was not asked for nothing is wanted', () => {
  expect(of(['ready'], { ready: true })).toEqual([]);
  expect(of(['boxes'], { healthy: true, second_apply_changes: 0, refused_untrusted: true }, true)).toEqual([]);
});
