import { type Fleet, fleetAgents, fleetSchema } from '../../domain/fleet.ts';
import { createRandom } from '../../domain/random.ts';
import { benchSpeed, cards, seededTokens, type BenchMachine } from './fleet-bench.ts';

export type FailoverModel = 'heavy_q4' | 'mid_q4' | 'light_q4';

/**
 * A pair on which every rung of the ladder has work when the large card is lost: `heavy` fits nowhere else (its agents
 * degrade to `light`, the proud ones park), `mid` fits the small card only once a new plan takes a sequence from
 * `light` there, `light` is on both.
 */
export function failoverFleet(
  urls: Record<BenchMachine, string>,
  limits: Partial<Fleet['limits']> = {},
  options: { midStaysHome?: boolean } = {},
): Fleet {
  const large = { tokensPerSecond: cards.mainpc.tokensPerSecond * benchSpeed, slowdown: cards.mainpc.slowdown };
  const small = { tokensPerSecond: cards.pc2.tokensPerSecond * benchSpeed, slowdown: cards.pc2.slowdown };
  const shape = { family: 'bench', layers: 32, queryHeads: 32, context: { reflect: 8192, talk: 8192 } };
  const slim = { ...shape, kvHeads: 1, headSize: 32 };
  const archetype = { traits: ['steady'], maskSeed: 1, cadence: '25s', tokensPerDay: 1_000_000, leastClass: '8g' };
  return fleetSchema.parse({
    version: 1,
    name: 'failover bench',
    // The bench asks for its sweeps itself: one by the clock would take from a round what it counts.
    schedules: { paused: true },
    machines: [
      {
        id: 'mainpc',
        gpus: [{ name: 'RTX 4090', class: '24g', vramGiB: 24 }],
        modelServer: { kind: 'openai', url: urls.mainpc, sequences: cards.mainpc.sequences },
        roles: { coordination: { pollers: 2, workflowSlots: 4, activitySlots: 1 } },
      },
      {
        id: 'pc2',
        gpus: [{ name: 'RTX 3060', class: '12g', vramGiB: 12 }],
        modelServer: { kind: 'openai', url: urls.pc2, sequences: cards.pc2.sequences },
        roles: { coordination: { pollers: 8, workflowSlots: 20, activitySlots: 8 } },
      },
    ],
    models: [
      { id: 'heavy', ...slim, quantisations: { q4: { fileGiB: 7.5, rates: { '24g': large }, smaller: 'light_q4' } } },
      {
        id: 'mid',
        ...slim,
        ...(options.midStaysHome === true ? { machines: ['mainpc'] } : {}),
        quantisations: { q4: { fileGiB: 6, rates: { '24g': large, '12g': small } } },
      },
      {
        id: 'light',
        ...shape,
        kvHeads: 4,
        headSize: 64,
        quantisations: { q4: { fileGiB: 2, rates: { '24g': large, '12g': small } } },
      },
    ],
    archetypes: [
      {
        ...archetype,
        id: 'heavy',
        count: 50,
        summary: 'may stand on the small model',
        model: 'heavy_q4',
        mayDegrade: true,
        expectedTokens: 500,
      },
      {
        ...archetype,
        id: 'proud',
        count: 15,
        summary: 'the large model or not at all',
        model: 'heavy_q4',
        mayDegrade: false,
        expectedTokens: 500,
      },
      {
        ...archetype,
        id: 'mid',
        count: 20,
        summary: 'moves by a new plan',
        model: 'mid_q4',
        mayDegrade: false,
        expectedTokens: 300,
        priority: 2,
      },
      {
        ...archetype,
        id: 'light',
        count: 212,
        summary: 'on both cards',
        model: 'light_q4',
        mayDegrade: false,
        expectedTokens: 280,
      },
    ],
    limits: { heartbeatTimeout: '2s', stallTimeout: '1s', scheduleToStart: '6s', parkedFor: '10m', ...limits },
  });
}

/** Seeded output tokens of each agent. */
export function failoverTokens(fleet: Fleet, seed: number): Map<string, number> {
  const random = createRandom(seed);
  return new Map(fleetAgents(fleet).map((agent) => [agent.id, seededTokens(random, agent.expectedTokens)]));
}
