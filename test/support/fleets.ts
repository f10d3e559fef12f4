import { type Fleet, fleetSchema } from '../../domain/fleet.ts';

/** A heavy model that only the 24 GiB card holds and a light one that both hold; few agents of each. */
export function testFleet(
  options: {
    heavy?: number;
    light?: number;
    limits?: Partial<Fleet['limits']>;
    urls?: { mainpc?: string; pc2?: string };
  } = {},
): Fleet {
  const { heavy = 2, light = 3, limits = {}, urls = {} } = options;
  const shape = { layers: 32, queryHeads: 32, kvHeads: 4, headSize: 64, context: { reflect: 8192, talk: 8192 } };
  const archetype = { traits: ['steady'], maskSeed: 1, cadence: '6h', tokensPerDay: 100_000, priority: 1 };
  const rate = { tokensPerSecond: 60, slowdown: 0.04 };
  return fleetSchema.parse({
    version: 1,
    name: 'test',
    machines: [
      {
        id: 'mainpc',
        gpus: [{ name: 'RTX 4090', class: '24g', vramGiB: 24 }],
        modelServer: { kind: 'openai', sequences: 16, ...(urls.mainpc === undefined ? {} : { url: urls.mainpc }) },
        roles: { coordination: { pollers: 2, workflowSlots: 4, activitySlots: 1 } },
      },
      {
        id: 'pc2',
        gpus: [{ name: 'RTX 3060', class: '12g', vramGiB: 12 }],
        modelServer: { kind: 'openai', sequences: 6, ...(urls.pc2 === undefined ? {} : { url: urls.pc2 }) },
        roles: { coordination: { pollers: 8, workflowSlots: 20, activitySlots: 8 } },
      },
    ],
    models: [
      {
        id: 'heavy',
        family: 'test',
        ...shape,
        quantisations: { q4: { fileGiB: 12, rates: { '24g': rate }, smaller: 'light_q4' } },
      },
      {
        id: 'light',
        family: 'test',
        ...shape,
        quantisations: { q4: { fileGiB: 2, rates: { '24g': rate, '12g': rate } } },
      },
    ],
    archetypes: [
      {
        id: 'heavy',
        count: heavy,
        summary: 'works on the large model',
        model: 'heavy_q4',
        leastClass: '8g',
        mayDegrade: true,
        ...archetype,
      },
      {
        id: 'proud',
        count: heavy,
        summary: 'works on the large model or not at all',
        model: 'heavy_q4',
        leastClass: '16g',
        mayDegrade: false,
        ...archetype,
      },
      {
        id: 'light',
        count: light,
        summary: 'works on the small model',
        model: 'light_q4',
        leastClass: '8g',
        mayDegrade: false,
        ...archetype,
      },
    ],
    limits: { heartbeatTimeout: '2s', stallTimeout: '1s', scheduleToStart: '2s', ...limits },
  });
}
