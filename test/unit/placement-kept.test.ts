import { expect, test } from 'vitest';
import { parseFleet } from '../../config/fleet-file.ts';
import { placementInputOf } from '../../domain/placement-input.ts';
import { planPlacement } from '../../domain/placement.ts';
import { smallFleet } from '../support/small-fleet.ts';

/** The only model, kept to the smaller machine. */
const source = smallFleet.replace('    context: { reflect', '    machines: [small]\n    context: { reflect');

function planned(alive: string[]) {
  const parsed = parseFleet(source);
  if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors));
  return planPlacement(placementInputOf(parsed.fleet, { aliveMachineIds: new Set(alive) }));
}

test('a model kept to a machine stands there only, however much faster another is', () => {
  const plan = planned(['big', 'small']);
  expect(plan.unplaced).toEqual([]);
  expect(Object.values(plan.homes)).toEqual(['small', 'small', 'small', 'small']);
  expect(plan.machines.map(({ machineId, models }) => [machineId, models.length])).toEqual([
    ['big', 0],
    ['small', 1],
  ]);
});

test('without that machine its agents have no place, and the reason names it', () => {
  const plan = planned(['big']);
  expect(plan.homes).toEqual({});
  expect(plan.unplaced[0]!.reason).toBe('llama8b_q4 is kept to small, not alive; it may not degrade, so it parks');
});

test('a model kept to a machine that the file does not name is an error', () => {
  const parsed = parseFleet(source.replace('machines: [small]', 'machines: [smal]'));
  expect('errors' in parsed && parsed.errors).toMatchObject([
    {
      path: 'models.0.machines.0',
      rule: 'must be a machine of this file: big, small',
      mend: 'Did you mean `small`?',
    },
  ]);
});
