import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fleetAgents, fleetSchema } from '../../domain/fleet.ts';
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
/** What Prometheus asks by default. */
const scrapeEveryMs = 15_000;

/** A fleet of real workers, of which one sweep's CPU seconds can be told. */
interface Side {
  /** CPU seconds of the workers and the API over one sweep, a reflection. */
  sweep(round: number): Promise<number>;
  close(): Promise<void>;
}

/**
 * CPU seconds a reflection with metrics, logs and their scrapes on, over those with all of it off: two fleets on the same servers,
 * in alternating order.
 */
export async function telemetryCost(
  pairs: number,
): Promise<{ ratio: number; ratios: number[]; on: number; off: number }> {
  const lab0 = await openLabServers();
  const sides: Side[] = [];
  try {
    await ensureDatabase(lab0.servers.postgresUrl, 'lab_off');
    const offDatabase = withDatabase(lab0.servers.postgresUrl, 'lab_off');
    await migrate(offDatabase);
    const namespace = 'quiet';
    await makeNamespace(lab0.addresses.temporalAddress, namespace);
    const on = await openSide(lab0.addresses, join(lab0.folder, 'on'), lab0.servers.ports.workerMetrics);
    sides.push(on);
    const off = await openSide(
      { ...lab0.addresses, databaseUrl: offDatabase, redisUrl: lab0.addresses.redisUrl, namespace },
      join(lab0.folder, 'off'),
      undefined,
    );
    sides.push(off);
    // The first sweep of a process compiles.
    await on.sweep(0);
    await off.sweep(0);
    const measured = { on: [] as number[], off: [] as number[] };
    for (let pair = 1; pair <= pairs; pair += 1) {
      const order = pair % 2 === 1 ? (['on', 'off'] as const) : (['off', 'on'] as const);
      for (const which of order) measured[which].push(await { on, off }[which].sweep(pair));
    }
    const ratios = measured.on.map((cpu, i) => cpu / measured.off[i]!);
    return { ratio: median(ratios), ratios, on: median(measured.on), off: median(measured.off) };
  } finally {
    for (const side of sides) await side.close();
    await lab0.close();
  }
}

/** @param metricsPort undefined: nothing is counted, logged or traced */
async function openSide(addresses: LabAddresses, logs: string, metricsPort: number | undefined): Promise<Side> {
  const lab = await openLab(addresses, { logs, workerLogLevel: metricsPort === undefined ? 'fatal' : 'info' });
  try {
    const [mainPort, pc2Port, apiPort, apiMetrics] = await freePorts(4);
    const models = ['heavy_q4', 'light_q4'];
    const [mainpc, pc2] = await Promise.all([
      startBenchModelServer(lab, 'mainpc', { speed, models, port: mainPort! }),
      startBenchModelServer(lab, 'pc2', { speed, models, port: pc2Port! }),
    ]);
    const plain = pairFleet({ mainpc: mainpc.url, pc2: pc2.url }, agentsOf);
    const fleet = fleetSchema.parse({
      ...plain,
      machines: plain.machines.map((machine, i) => ({
        ...machine,
        ...(metricsPort !== undefined && { metricsPort: metricsPort + 2 * i }),
      })),
      metrics: metricsPort === undefined ? { enabled: false } : { port: apiMetrics },
    });
    await lab.apply(fleet);
    const processes: LabProcess[] = machines.map((machine) => lab.startWorker(machine));
    const api = await lab.startApi(apiPort!);
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
    return {
      async sweep(round) {
        await lab.remember(benchMemories(agents, round));
        await scraper.now();
        const before = cpuSeconds(processes);
        await (await lab.sweep(`cost-${round}`)).result();
        await scraper.now();
        const spent = cpuSeconds(processes) - before;
        await allDone(lab, `cost-${round}`, agents.length);
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

/** User and system time of the processes, in seconds. Linux only. */
function cpuSeconds(processes: readonly LabProcess[]): number {
  const ticks = processes.map(({ pid }) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, each) => sum + each, 0) / 100;
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
