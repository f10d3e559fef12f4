import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { between, randomInput } from '../../bench/support/placement-fleets.ts';
import { breachesOf, countedOf, worthOfCounted } from '../../bench/support/placement-score.ts';
import { planPlacement } from '../../domain/placement.ts';
import type { PlacementInput } from '../../domain/placement-input.ts';
import { createRandom } from '../../domain/random.ts';
import { movesBetween } from '../../domain/simulate.ts';

const runs = { numRuns: 20 };
const seeds = fc.integer({ min: 0, max: 1_000_000 });

function fleetOf(seed: number, least = 0.3, most = 1.5): PlacementInput {
  const random = createRandom(seed);
  const load = between(random, least, most);
  return randomInput(random, { gpus: 2 + random.int(4), models: 2 + random.int(4), load, agents: 30 });
}

/** The worth of all demand: a move has to earn 0.1 % of it. */
function allWorth(input: PlacementInput): number {
  return input.agents.reduce((sum, agent) => sum + agent.priority * agent.tokensPerSecond, 0);
}

describe('any fleet', () => {
  test('is never planned over its memory, its sequences or a slot beyond them', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const input = fleetOf(seed);
        expect(breachesOf(input, planPlacement(input))).toEqual([]);
      }),
      runs,
    );
  });

  test('has the same plan in whatever order it is told', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const input = fleetOf(seed);
        const random = createRandom(seed + 1);
        const other = {
          machines: random.shuffle(input.machines),
          models: random.shuffle(input.models),
          agents: random.shuffle(input.agents),
        };
        const plan = planPlacement(input);
        expect(JSON.stringify(planPlacement(other))).toBe(JSON.stringify(plan));
        const previous = { previous: plan };
        expect(JSON.stringify(planPlacement({ ...other, ...previous }))).toBe(
          JSON.stringify(planPlacement({ ...input, ...previous })),
        );
      }),
      runs,
    );
  }, 60_000);

  test('gives every agent a home on a machine that holds its model, or a reason', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const input = fleetOf(seed);
        const plan = planPlacement(input);
        expect(Object.keys(plan.homes).length + plan.unplaced.length).toBe(input.agents.length);
        const held = new Map(
          plan.machines.map(({ machineId, models }) => [machineId, models.map(({ modelId }) => modelId)]),
        );
        for (const agent of input.agents) {
          const home = plan.homes[agent.id];
          if (home !== undefined) expect(held.get(home)).toContain(agent.modelId);
        }
        for (const { reason } of plan.unplaced) expect(reason).toMatch(/\d/);
      }),
      runs,
    );
  });

  test('planned again moves only for what earns it, and no home without need', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const input = fleetOf(seed);
        const plan = planPlacement(input);
        const again = planPlacement({ ...input, previous: plan });
        const { loads, unloads } = movesBetween(plan, again);
        const gain = worthOfCounted(input, countedOf(again)) - worthOfCounted(input, countedOf(plan));
        if (gain < 0.001 * allWorth(input)) {
          expect({ loads, unloads }).toEqual({ loads: [], unloads: [] });
          expect(again.homes).toEqual(plan.homes);
        }
      }),
      runs,
    );
  });
});

describe('a lost machine', () => {
  test('moves nothing on the others but what serves more by it or takes its models in', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const input = fleetOf(seed, 0.1, 0.9);
        const before = planPlacement(input);
        const lost = input.machines[seed % input.machines.length]!.id;
        const left = { ...input, machines: input.machines.filter((machine) => machine.id !== lost) };
        const after = planPlacement({ ...left, previous: before });
        expect(breachesOf(left, after)).toEqual([]);
        const orphaned = new Set(
          before.machines.find(({ machineId }) => machineId === lost)!.models.map(({ modelId }) => modelId),
        );
        const { loads, unloads } = movesBetween(before, after);
        const kept = countedOf(before).filter(({ machineId }) => machineId !== lost);
        const gain = worthOfCounted(left, countedOf(after)) - worthOfCounted(left, kept);
        for (const { modelId } of loads) {
          if (gain < 0.001 * allWorth(input)) expect(orphaned).toContain(modelId);
        }
        if (unloads.length > 0) expect(loads.length > 0 || gain > 0).toBe(true);
      }),
      runs,
    );
  });

  test('comes back, and everything it had to do is served as before', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const input = fleetOf(seed, 0.1, 1.2);
        const before = planPlacement(input);
        const lost = input.machines[seed % input.machines.length]!.id;
        const left = { ...input, machines: input.machines.filter((machine) => machine.id !== lost) };
        const back = planPlacement({ ...input, previous: planPlacement({ ...left, previous: before }) });
        const served = worthOfCounted(input, countedOf(back));
        expect(served).toBeGreaterThan(worthOfCounted(input, countedOf(before)) - 0.02 * allWorth(input));
        expect(back.unplaced.length).toBeLessThanOrEqual(before.unplaced.length);
      }),
      runs,
    );
  });
});

test('a thousand machines are planned within their limits, and one that is lost leaves the rest as they were', () => {
  const wish = { machines: 1000, models: 12, load: 0.9, agents: 5000 };
  const input = randomInput(createRandom(1), wish);
  const before = planPlacement(input);
  expect(breachesOf(input, before)).toEqual([]);
  const left = { ...input, machines: input.machines.slice(1) };
  const after = planPlacement({ ...left, previous: before });
  expect(breachesOf(left, after)).toEqual([]);
  const { loads, unloads } = movesBetween(before, after);
  expect(loads.length + unloads.length).toBeLessThan(12);
});
