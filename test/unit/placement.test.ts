import { describe, expect, test } from 'vitest';
import type { ModelVariant } from '../../domain/fleet.ts';
import { planPlacement } from '../../domain/placement.ts';
import type { PlacementAgent, PlacementInput, PlacementMachine } from '../../domain/placement-input.ts';
import type { Plan } from '../../domain/plan.ts';
import type { GpuClass } from '../../domain/task-queues.ts';

const mainpc: PlacementMachine = {
  id: 'mainpc',
  gpus: [{ class: '24g', vramGiB: 24, reserveGiB: 0.5 }],
  sequences: 16,
};
const pc2: PlacementMachine = { id: 'pc2', gpus: [{ class: '12g', vramGiB: 12, reserveGiB: 1 }], sequences: 6 };
const heavy = variant(
  'qwen32b_q4',
  18.67,
  { layers: 64, kvHeads: 8, context: 2048 },
  { '24g': [38, 0.06] },
  'llama8b_q4',
);
const light = variant(
  'llama8b_q4',
  4.58,
  { layers: 32, kvHeads: 8, context: 4096 },
  { '12g': [50, 0.12], '24g': [125, 0.07] },
);
const tiny = variant(
  'qwen1b_q4',
  0.92,
  { layers: 28, kvHeads: 2, context: 4096 },
  { '12g': [150, 0.1], '24g': [290, 0.06] },
);
const pair: PlacementInput = {
  machines: [mainpc, pc2],
  models: [heavy, light, tiny],
  agents: [...agentsOf(heavy, 70, { mayDegrade: true }), ...agentsOf(light, 80), ...agentsOf(tiny, 147)],
};

describe('the reference pair', () => {
  const plan = planPlacement(pair);

  test('places every agent and keeps the light model on both machines', () => {
    expect(plan.unplaced).toEqual([]);
    expect(Object.keys(plan.homes)).toHaveLength(297);
    expect(residents(plan)).toEqual({ mainpc: ['qwen1b_q4', 'qwen32b_q4'], pc2: ['llama8b_q4', 'qwen1b_q4'] });
  });

  test('polls each queue with what the KV memory allows and counts on what the server runs', () => {
    const main = plan.machines[0]!;
    expect(main.models.map(({ modelId, queue }) => [modelId, queue])).toEqual([
      ['qwen1b_q4', 'inference_8g_qwen1b_q4'],
      ['qwen32b_q4', 'inference_24g_qwen32b_q4'],
    ]);
    expect(main.vramUsedGiB).toBeLessThanOrEqual(main.vramUsableGiB);
    for (const { models } of plan.machines) {
      for (const { slots, counted } of models) expect(slots).toBeGreaterThanOrEqual(Math.max(1, counted));
    }
    expect(plan.machines[1]!.models.map(({ slots }) => slots)).toEqual([6, 6]);
  });

  test('the hours add up the demand per class', () => {
    expect(plan.hours.map(({ gpuClass, available }) => [gpuClass, available])).toEqual([
      ['12g', 24],
      ['24g', 24],
    ]);
    for (const { needed, available } of plan.hours) expect(needed / available).toBeLessThan(0.2);
  });

  test('the 4090 lost: nothing on the other machine moves, who may degrade is told where, who may not parks', () => {
    const strict = { ...pair, agents: [...pair.agents, ...agentsOf(heavy, 3, { mayDegrade: false }, 'strict')] };
    const before = planPlacement(strict);
    const after = planPlacement({ ...strict, machines: [pc2], previous: before });
    expect(after.machines[0]).toEqual(before.machines[1]);
    expect(after.unplaced).toHaveLength(73);
    expect(reasonOf(after, 'qwen32b-q4-1')).toBe(
      'qwen32b_q4 needs 19.9 GiB, the largest free GPU has 11.0 (pc2); runs degraded on llama8b_q4 (pc2) meanwhile',
    );
    expect(reasonOf(after, 'strict-1')).toBe(
      'qwen32b_q4 needs 19.9 GiB, the largest free GPU has 11.0 (pc2); it may not degrade, so it parks',
    );
    const back = planPlacement({ ...strict, previous: after });
    expect(back.machines).toEqual(before.machines);
    expect(back.unplaced).toEqual([]);
  });

  test('the same plan again moves nothing', () => {
    expect(planPlacement({ ...pair, previous: plan })).toEqual(plan);
  });
});

describe('reasons', () => {
  test.each<[string, Partial<PlacementInput>, Partial<PlacementAgent>, RegExp]>([
    ['no such model', {}, { modelId: 'gone_q4' }, /^the fleet has no model gone_q4/],
    ['no machine', { machines: [] }, {}, /^no machine with a GPU is alive/],
    ['least class', {}, { modelId: 'qwen1b_q4', leastClass: '24g' }, /class 8g, the agent wants at least 24g/],
    [
      'no rate',
      { models: [{ ...light, rates: { '80g': { tokensPerSecond: 9, slowdown: 0 } } }] },
      {},
      /no rate for the class.*12g, 24g/,
    ],
  ])('%s', (_, input, agent, reason) => {
    const one = { ...agentsOf(light, 1)[0]!, id: 'solo', ...agent };
    const plan = planPlacement({ ...pair, agents: [one], ...input });
    expect(plan.homes).toEqual({});
    expect(reasonOf(plan, 'solo')).toMatch(reason);
  });

  test('crowded out by what serves more', () => {
    const small = { ...pc2, gpus: [{ class: '12g' as const, vramGiB: 8, reserveGiB: 1 }] };
    const agents = [
      ...agentsOf(light, 1, { priority: 0.1 }, 'crowded'),
      ...agentsOf(tiny, 40, { tokensPerSecond: 20 }),
    ];
    const plan = planPlacement({ machines: [small], models: [light, tiny], agents });
    expect(reasonOf(plan, 'crowded-1')).toMatch(
      /^llama8b_q4 needs 5\.8 GiB, but .* serve more with other models: at most \d\.\d are left \(pc2\)/,
    );
  });

  test('a model below the least class does not stand in', () => {
    const agents = agentsOf(heavy, 1, { mayDegrade: true, leastClass: '24g' });
    const plan = planPlacement({ ...pair, machines: [pc2], agents });
    expect(plan.unplaced[0]!.reason).toContain('no smaller model is declared');
    expect(residents(plan)).toEqual({ pc2: [] });
  });
});

describe('what is loaded', () => {
  test('the higher priority comes first where not all can be served', () => {
    const small = { ...pc2, gpus: [{ class: '12g' as const, vramGiB: 7.5, reserveGiB: 1 }] };
    const other = { ...light, id: 'other_q4' };
    const agents = [...agentsOf(light, 5, { priority: 1 }), ...agentsOf(other, 5, { priority: 3 })];
    expect(residents(planPlacement({ machines: [small], models: [light, other], agents }))).toEqual({
      pc2: ['other_q4'],
    });
  });

  test('an idle machine holds spare replicas, so that a sweep uses it', () => {
    const twin = { ...pc2, id: 'pc3' };
    const plan = planPlacement({ machines: [pc2, twin], models: [light], agents: agentsOf(light, 4) });
    expect(residents(plan)).toEqual({ pc2: ['llama8b_q4'], pc3: ['llama8b_q4'] });
    expect(new Set(Object.values(plan.homes))).toEqual(new Set(['pc2', 'pc3']));
  });

  test('a model nobody asks for is not loaded', () => {
    expect(residents(planPlacement({ ...pair, agents: agentsOf(tiny, 3) }))).toEqual({
      mainpc: ['qwen1b_q4'],
      pc2: ['qwen1b_q4'],
    });
  });

  test('only a model declared so lies across cards, and only where no card holds it', () => {
    const two = { ...pc2, id: 'two', gpus: [pc2.gpus[0]!, pc2.gpus[0]!] };
    const rates = { '12g': { tokensPerSecond: 14, slowdown: 0.1 } };
    const agents = agentsOf(heavy, 5);
    const plain = planPlacement({ machines: [two], models: [{ ...heavy, rates }], agents });
    expect(plain.unplaced).toHaveLength(5);
    const plan = planPlacement({ machines: [two], models: [{ ...heavy, rates, span: true }], agents });
    expect(plan.unplaced).toEqual([]);
    expect(plan.machines[0]!.models[0]).toMatchObject({ modelId: 'qwen32b_q4', gpus: [0, 1] });
    expect(plan.machines[0]!.vramUsedGiB).toBeLessThanOrEqual(22);
    expect(
      planPlacement({ machines: [two], models: [{ ...light, span: true }], agents: agentsOf(light, 5) }).machines[0]!
        .models[0]!.gpus,
    ).toHaveLength(1);
  });

  test('homes follow what each machine can serve', () => {
    const big: PlacementMachine = { ...mainpc, id: 'big' };
    const plan = planPlacement({
      machines: [big, pc2],
      models: [light],
      agents: agentsOf(light, 300, { tokensPerSecond: 1 }),
    });
    const atBig = Object.values(plan.homes).filter((home) => home === 'big').length;
    expect(atBig).toBeGreaterThan(200);
    expect(atBig).toBeLessThan(300);
  });
});

function residents(plan: Plan): Record<string, string[]> {
  return Object.fromEntries(
    plan.machines.map(({ machineId, models }) => [machineId, models.map(({ modelId }) => modelId)]),
  );
}

function reasonOf(plan: Plan, agentId: string): string | undefined {
  return plan.unplaced.find((one) => one.agentId === agentId)?.reason;
}

function agentsOf(
  model: ModelVariant,
  count: number,
  more: Partial<PlacementAgent> = {},
  name = model.id.replaceAll('_', '-'),
): PlacementAgent[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `${name}-${i + 1}`,
    modelId: model.id,
    tokensPerSecond: 0.02,
    priority: 1,
    mayDegrade: false,
    leastClass: '8g' as const,
    ...more,
  }));
}

function variant(
  id: string,
  fileGiB: number,
  shape: { layers: number; kvHeads: number; context: number },
  rates: Partial<Record<GpuClass, [number, number]>>,
  smaller?: string,
): ModelVariant {
  return {
    id,
    fileGiB,
    model: {
      id: id.replace(/_[^_]+$/, ''),
      family: id,
      layers: shape.layers,
      queryHeads: 32,
      kvHeads: shape.kvHeads,
      headSize: 128,
      context: { reflect: shape.context, talk: shape.context },
      quantisations: {},
    },
    rates: Object.fromEntries(
      Object.entries(rates).map(([gpuClass, [tokensPerSecond, slowdown]]) => [gpuClass, { tokensPerSecond, slowdown }]),
    ),
    servedAs: {},
    ...(smaller === undefined ? {} : { smaller }),
  };
}
