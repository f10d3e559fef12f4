import { type Fleet, fleetSchema } from '../../domain/fleet.ts';

/** First agents, one lineage each. */
const lineages = 24;

/**
 * A pair of simulated machines with room for every agent that could be born, and limits that all bite: the fleet's bucket
 * over the whole run, the others in the lineages that are asked most.
 */
export function spawnFleet(): Fleet {
  const shape = { layers: 32, queryHeads: 32, kvHeads: 4, headSize: 64, context: { reflect: 8192, talk: 8192 } };
  const rate = { tokensPerSecond: 60, slowdown: 0.04 };
  const machine = (id: string, card: string, gpuClass: '24g' | '12g', vramGiB: number) => ({
    id,
    gpus: [{ name: card, class: gpuClass, vramGiB }],
    modelServer: { kind: 'openai', sequences: 8 },
    roles: { coordination: { pollers: 6, workflowSlots: 20, activitySlots: 8 } },
  });
  return fleetSchema.parse({
    version: 1,
    name: 'bench spawn',
    machines: [machine('mainpc', 'RTX 4090', '24g', 24), machine('pc2', 'RTX 3060', '12g', 12)],
    models: [
      {
        id: 'light',
        family: 'bench',
        ...shape,
        quantisations: { q4: { fileGiB: 2, rates: { '24g': rate, '12g': rate } } },
      },
    ],
    archetypes: [
      {
        id: 'first',
        count: lineages,
        summary: 'answers whoever whispers',
        traits: ['patient', 'wry', 'exact', 'restless'],
        maskSeed: 1,
        cadence: '24h',
        model: 'light_q4',
        leastClass: '8g',
        mayDegrade: false,
        tokensPerDay: 100_000,
      },
    ],
    spawning: {
      fleet: { burst: 24, perHour: 1800 },
      lineage: { burst: 5, perHour: 240 },
      mostGenerations: 3,
      mostChildren: 4,
      growth: 0.8,
      window: '1d',
      mostAlike: 0.97,
      egoFloor: 50_000,
    },
    limits: { heartbeatTimeout: '2s', stallTimeout: '1s', scheduleToStart: '5s', requestsPerMinute: 1_000_000 },
  });
}
