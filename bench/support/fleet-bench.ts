import { createServer } from 'node:net';
import { once } from 'node:events';
import { type Fleet, fleetSchema } from '../../domain/fleet.ts';
import type { Random } from '../../domain/random.ts';
import type { Lab, LabProcess } from '../../test/support/lab.ts';

/** The two machines of the reference pair as simulated model servers: speed of one sequence, slowdown, sequences. */
export const cards = {
  mainpc: { tokensPerSecond: 60, slowdown: 0.04, sequences: 16 },
  pc2: { tokensPerSecond: 22, slowdown: 0.05, sequences: 6 },
} as const;
/** Model servers run this many times real time. */
export const benchSpeed = 4;
export type BenchMachine = keyof typeof cards;

/** Tokens a second of a full card, at `speed` × real time. */
export function capacity(machine: BenchMachine, speed: number): number {
  const { tokensPerSecond, slowdown, sequences } = cards[machine];
  return (speed * sequences * tokensPerSecond) / (1 + slowdown * (sequences - 1));
}

export interface BenchModelServer {
  machineId: BenchMachine;
  url: string;
  process: LabProcess;
  /** POST /control of the double. */
  control(
    order: Record<string, unknown>,
  ): Promise<{ requests: number; started: number; finished: number; aborted: number; busySlotSeconds: number }>;
}

/** A model server double in a process of its own, so that its clock is not the bench's. */
export async function startBenchModelServer(
  lab: Lab,
  machineId: BenchMachine,
  options: { speed: number; models: readonly string[]; port: number; sequences?: number },
): Promise<BenchModelServer> {
  const card = cards[machineId];
  const process = lab.startProcess(
    `model-server-${machineId}`,
    [
      'test/support/model-server.ts',
      '--port',
      String(options.port),
      '--slots',
      String(options.sequences ?? card.sequences),
      '--speed',
      String(card.tokensPerSecond * options.speed),
      '--slowdown',
      String(card.slowdown),
      '--models',
      options.models.join(','),
    ],
    {},
  );
  const base = `http://127.0.0.1:${options.port}`;
  for (let tries = 0; ; tries += 1) {
    try {
      await fetch(`${base}/v1/models`);
      break;
    } catch (err) {
      if (tries > 100) throw err;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  return {
    machineId,
    url: `${base}/v1`,
    process,
    async control(order) {
      const response = await fetch(`${base}/control`, { method: 'POST', body: JSON.stringify(order) });
      return (await response.json()) as Awaited<ReturnType<BenchModelServer['control']>>;
    },
  };
}

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** 70 heavy agents whose model only the 24 GiB card holds, 227 light ones whose model both hold. */
export function pairFleet(
  urls: Record<BenchMachine, string>,
  options: { heavy: number; light: number; limits?: Partial<Fleet['limits']>; sequences?: number },
): Fleet {
  const rates = {
    '24g': { tokensPerSecond: cards.mainpc.tokensPerSecond, slowdown: cards.mainpc.slowdown },
    '12g': { tokensPerSecond: cards.pc2.tokensPerSecond, slowdown: cards.pc2.slowdown },
  };
  const shape = { layers: 32, queryHeads: 32, kvHeads: 4, headSize: 64, context: { reflect: 8192, talk: 8192 } };
  const archetype = { traits: ['steady'], maskSeed: 1, cadence: '24h', tokensPerDay: 100_000, priority: 1 };
  return fleetSchema.parse({
    version: 1,
    name: 'bench',
    machines: [
      {
        id: 'mainpc',
        gpus: [{ name: 'RTX 4090', class: '24g', vramGiB: 24 }],
        modelServer: { kind: 'openai', url: urls.mainpc, sequences: options.sequences ?? cards.mainpc.sequences },
        roles: { coordination: { pollers: 2, workflowSlots: 4, activitySlots: 1 } },
      },
      {
        id: 'pc2',
        gpus: [{ name: 'RTX 3060', class: '12g', vramGiB: 12 }],
        modelServer: { kind: 'openai', url: urls.pc2, sequences: options.sequences ?? cards.pc2.sequences },
        roles: { coordination: { pollers: 8, workflowSlots: 20, activitySlots: 8 } },
      },
    ],
    models: [
      {
        id: 'heavy',
        family: 'bench',
        ...shape,
        quantisations: { q4: { fileGiB: 12, rates: { '24g': rates['24g'] }, smaller: 'light_q4' } },
      },
      { id: 'light', family: 'bench', ...shape, quantisations: { q4: { fileGiB: 2, rates } } },
    ],
    archetypes: [
      {
        id: 'heavy',
        count: options.heavy,
        summary: 'works on the large model',
        model: 'heavy_q4',
        leastClass: '16g',
        mayDegrade: true,
        expectedTokens: 700,
        ...archetype,
      },
      {
        id: 'light',
        count: options.light,
        summary: 'works on the small model',
        model: 'light_q4',
        leastClass: '8g',
        mayDegrade: false,
        expectedTokens: 280,
        ...archetype,
      },
    ],
    limits: { heartbeatTimeout: '2s', stallTimeout: '1s', scheduleToStart: '30s', ...options.limits },
  });
}

/** Long-tailed counts around a mean, within the limits of a reflection's answer. */
export function seededTokens(random: Random, mean: number): number {
  const gauss = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  return Math.max(40, Math.min(1000, Math.round(mean * Math.exp(0.45 * gauss - 0.1))));
}

/** A few memories each: what a bench measures is the path, not the prompt. */
export function benchMemories(agentIds: readonly string[], round: number) {
  return agentIds.flatMap((agentId) =>
    Array.from({ length: 6 }, (_, i) => ({
      agentId,
      externalKey: `bench-${round}-${i}`,
      kind: 'observation' as const,
      text: `On day ${i + 1} of round ${round} ${agentId} counted ${(i + 3) * (round + 2)} boats at the pier.`,
      importance: (i % 9) + 1,
      source: 'bench',
      occurredAt: new Date(Date.UTC(2026, 0, 1 + i)).toISOString(),
    })),
  );
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
