import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fleetAgents, fleetSchema } from '../../domain/fleet.ts';
import { cpuSecondsOf } from '../../test/support/processes.ts';
import { ensureDatabase, withDatabase } from '../../test/support/servers.ts';
import { type Lab, type LabAddresses, type LabProcess, openLab, openLabServers } from '../../test/support/lab.ts';
import { migrate } from '../../stores/migrate.ts';
import { prepareNamespace } from '../../deploy/embedded/temporal.ts';
import {
  benchMemories,
  type BenchMachine,
  freePorts,
  median,
  pairFleet,
  startBenchModelServer,
} from './fleet-bench.ts';

const machines = ['mainpc', 'pc2'] as const satisfies readonly BenchMachine[];
/** So fast that what is measured is our own work and not the wait for models. */
const speed = 200;
const agentsOf = { heavy: 20, light: 60 };
/** A box under load must not try a call twice: what is measured is one execution of each. */
const limits = { heartbeatTimeout: '20s', stallTimeout: '10s' };
/** Sweeps of each in which code is compiled and caches fill. */
const warmUps = 2;
/** What Prometheus asks by default. */
const scrapeEveryMs = 15_000;

/** A fleet of real workers, of which one sweep's CPU seconds can be told. */
interface Side {
  /** CPU seconds of the workers and the API over one sweep, a reflection. */
  sweep(round: number): Promise<number>;
  close(): Promise<void>;
}

/** CPU seconds a reflection. */
interface Pair {
  on: number;
  off: number;
}

/** Where the telemetry of a side goes. */
interface Telemetry {
  /** First of the ports of the workers. */
  metricsPort: number;
  logs: string;
  collector: Collector;
}

/**
 * CPU seconds a reflection with metrics and their scrapes, log files and traces on, over those with all of it off: two fleets of their
 * own processes on the same servers. Both sweep at the same moment, so that whatever else the box does costs both. Each pair has
 * processes of its own: two that do the same differ by up to a fifth for as long as they live, so that more sweeps of one pair
 * tell no more than one. Which fleet is opened first takes turns.
 */
export async function telemetryCost(
  pairs: number,
  onPair: (pair: Pair) => void,
): Promise<{ ratio: number; pairs: Pair[] }> {
  const measured: Pair[] = [];
  for (let i = 0; i < pairs; i += 1) {
    const pair = await sweptTogether(i % 2 === 0 ? ['on', 'off'] : ['off', 'on']);
    onPair(pair);
    measured.push(pair);
  }
  return { ratio: median(measured.map(({ on, off }) => on / off)), pairs: measured };
}

async function sweptTogether(order: readonly [keyof Pair, keyof Pair]): Promise<Pair> {
  const lab0 = await openLabServers();
  const ends: Array<() => Promise<void>> = [() => lab0.close()];
  try {
    await ensureDatabase(lab0.servers.postgresUrl, 'lab_second');
    const databaseUrl = withDatabase(lab0.servers.postgresUrl, 'lab_second');
    await migrate(databaseUrl);
    const namespace = 'second';
    await makeNamespace(lab0.addresses.temporalAddress, namespace);
    const collector = await startCollector();
    ends.push(() => collector.close());
    const telemetry = {
      metricsPort: lab0.servers.ports.workerMetrics,
      logs: join(lab0.folder, 'on-files'),
      collector,
    };
    const sides = {} as Record<keyof Pair, Side>;
    for (const which of order) {
      const addresses = which === order[0] ? lab0.addresses : { ...lab0.addresses, databaseUrl, namespace };
      const side = await openSide(addresses, join(lab0.folder, which), which === 'on' ? telemetry : undefined);
      ends.push(() => side.close());
      sides[which] = side;
    }
    for (let round = 0; ; round += 1) {
      const [on, off] = await Promise.all([sides.on.sweep(round), sides.off.sweep(round)]);
      if (round === warmUps) return { on, off };
    }
  } finally {
    for (const end of ends.toReversed()) await end();
  }
}

/** @param telemetry undefined: nothing is counted, logged or traced */
async function openSide(addresses: LabAddresses, logs: string, telemetry: Telemetry | undefined): Promise<Side> {
  const { metricsPort, collector } = telemetry ?? {};
  const lab = await openLab(addresses, { logs, workerLogLevel: telemetry === undefined ? 'silent' : 'info' });
  try {
    const [mainPort, pc2Port, apiPort, apiMetrics] = await freePorts(4);
    const models = ['heavy_q4', 'light_q4'];
    const [mainpc, pc2] = await Promise.all([
      startBenchModelServer(lab, 'mainpc', { speed, models, port: mainPort! }),
      startBenchModelServer(lab, 'pc2', { speed, models, port: pc2Port! }),
    ]);
    const plain = pairFleet({ mainpc: mainpc.url, pc2: pc2.url }, { ...agentsOf, limits });
    const fleet = fleetSchema.parse({
      ...plain,
      machines: plain.machines.map((machine, i) => ({
        ...machine,
        ...(metricsPort !== undefined && { metricsPort: metricsPort + 2 * i }),
      })),
      metrics: metricsPort === undefined ? { enabled: false } : { port: apiMetrics },
      ...(collector && { traces: { endpoint: collector.url, share: 1 } }),
    });
    await lab.apply(fleet);
    const env: Record<string, string> = telemetry === undefined ? {} : { SOULFRA_LOG_FOLDER: telemetry.logs };
    const processes: LabProcess[] = machines.map((machine) => lab.startWorker(machine, env));
    const api = await lab.startApi(apiPort!, env);
    processes.push(api.process);
    await lab.settled([...machines]);
    const agents = fleetAgents(fleet).map(({ id }) => id);
    const urls =
      metricsPort === undefined
        ? []
        : [apiMetrics!, ...machines.flatMap((_, i) => [metricsPort + 2 * i, metricsPort + 2 * i + 1])].map(
            (port) => `http://127.0.0.1:${port}/metrics`,
          );
    const scraper = scraping(urls);
    const pids = processes.map(({ pid }) => pid);
    return {
      async sweep(round) {
        await lab.remember(benchMemories(agents, round));
        const told = telemetry && toldOf(telemetry);
        await scraper.now();
        const before = cpuSecondsOf(pids);
        await (await lab.sweep(`cost-${round}`)).result();
        await scraper.now();
        // What waits to be sent is sent within a second, and belongs to it.
        await pause(1_500);
        const spent = cpuSecondsOf(pids) - before;
        await allDone(lab, `cost-${round}`, agents.length);
        if (told) mustHaveTold(told, toldOf(telemetry), agents.length);
        return spent / agents.length;
      },
      async close() {
        await scraper.stop();
        await lab.close();
      },
    };
  } catch (err) {
    await lab.close();
    throw err;
  }
}

/** As Prometheus does: all targets, every 15 s, and once right away when a measurement begins and ends. */
function scraping(urls: readonly string[]) {
  const now = async () => {
    const answers = await Promise.all(urls.map((url) => fetch(url)));
    for (const answer of answers) {
      if (!answer.ok) throw new Error(`${answer.url} answered ${answer.status}`);
      await answer.arrayBuffer();
    }
  };
  let failed: unknown;
  const timer = setInterval(() => {
    now().catch((err: unknown) => {
      failed = err;
    });
  }, scrapeEveryMs);
  return {
    now,
    async stop(): Promise<void> {
      clearInterval(timer);
      if (failed !== undefined) throw new Error('metrics could not be read', { cause: failed });
    },
  };
}

interface Told {
  spans: number;
  lines: number;
}

function toldOf({ logs, collector }: Telemetry): Told {
  const lines = readdirSync(logs).map((file) => readFileSync(join(logs, file), 'utf8').split('\n').length - 1);
  return { spans: collector.spans(), lines: lines.reduce((sum, each) => sum + each, 0) };
}

/** What is measured as on has to have been on: of each reflection some spans, and some lines of it all; a sweep that goes well need not have any. */
function mustHaveTold(before: Told, after: Told, reflections: number): void {
  const spans = after.spans - before.spans;
  if (spans < 3 * reflections || after.lines === 0)
    throw new Error(`${spans} spans of ${reflections} reflections, and ${after.lines} lines so far`);
}

interface Collector {
  url: string;
  /** That have come so far. */
  spans(): number;
  close(): Promise<void>;
}

/** Takes what OTLP exporters post, in this process, whose CPU nobody counts. */
async function startCollector(): Promise<Collector> {
  let spans = 0;
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { resourceSpans } = JSON.parse(Buffer.concat(pieces).toString('utf8')) as {
        resourceSpans: Array<{ scopeSpans: Array<{ spans: unknown[] }> }>;
      };
      spans += resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((each) => each.spans)).length;
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: () => spans,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function allDone(lab: Lab, id: string, agents: number): Promise<void> {
  const rows = await lab.db.selectFrom('runs').select('state').where('period', '=', `call-${id}`).execute();
  const done = rows.filter(({ state }) => state === 'done').length;
  if (done !== agents) throw new Error(`${done} of ${agents} reflections were done in ${id}`);
}

async function makeNamespace(address: string, namespace: string): Promise<void> {
  const { Connection } = await import('@temporalio/client');
  const connection = await Connection.connect({ address });
  try {
    await connection.workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
    });
  } finally {
    await connection.close();
  }
  // A new namespace is known to all parts of the server within seconds.
  for (let tries = 1; ; tries += 1) {
    try {
      await prepareNamespace(address, namespace);
      return;
    } catch (err) {
      if (tries === 20) throw err;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}
