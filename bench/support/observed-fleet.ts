import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { prometheusConfig } from '../../deploy/embedded/prometheus.ts';
import { type Fleet, fleetAgents, fleetSchema } from '../../domain/fleet.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { openLab, openLabServers } from '../../test/support/lab.ts';
import { type RunningServer, startPrometheusServer } from '../../test/support/prometheus.ts';
import { benchMemories, freePorts, pairFleet, startBenchModelServer } from './fleet-bench.ts';

const machines = ['mainpc', 'pc2'] as const;
const speed = 40;

/**
 * A small fleet of real processes under load, scraped by the real Prometheus: sweeps, talk, requests of which some fail, a
 * workflow that fails, a card that an exporter tells of, a mail. Ends when `stop` is called.
 */
export async function openObservedFleet() {
  const lab0 = await openLabServers();
  const lab = await openLab(lab0.addresses, { logs: join(lab0.folder, 'logs'), workerLogLevel: 'warn' });
  const ends: Array<() => Promise<unknown>> = [() => lab0.close(), () => lab.close()];
  const stop = async () => {
    for (const end of ends.toReversed()) await end();
  };
  try {
    const [mainPort, pc2Port, apiPort] = await freePorts(3);
    const models = ['heavy_q4', 'light_q4'];
    const [mainpc, pc2] = await Promise.all([
      startBenchModelServer(lab, 'mainpc', { speed, models, port: mainPort! }),
      startBenchModelServer(lab, 'pc2', { speed, models, port: pc2Port! }),
    ]);
    const exporter = await serveCard();
    ends.push(exporter.close);
    const stamp = join(lab0.folder, 'stamp');
    writeFileSync(stamp, '');
    const { ports } = lab0.servers;
    const fleet = observed(pairFleet({ mainpc: mainpc.url, pc2: pc2.url }, { heavy: 4, light: 8 }), {
      port: ports.apiMetrics,
      firstWorker: ports.workerMetrics,
      exporter: exporter.url,
      stamp,
    });
    await lab.apply(fleet);
    const agents = fleetAgents(fleet).map(({ id }) => id);
    const mailbox = join(lab0.folder, 'mail');
    for (const machine of machines) lab.startWorker(machine, { SOULFRA_MAILBOX: mailbox });
    const api = await lab.startApi(apiPort!);
    await lab.settled([...machines]);

    const files = { workers: join(lab0.folder, 'workers.json'), core: join(lab0.folder, 'core.json') };
    const own = machines.map((_, i) => ports.workerMetrics + 2 * i);
    writeTargets(files.workers, own);
    writeTargets(
      files.core,
      own.map((port) => port + 1),
    );
    const prometheus = await startPrometheusServer(lab0.folder, (self) =>
      prometheusConfig({ api: ports.apiMetrics, temporal: ports.temporalMetrics, self, ...files, interval: '1s' }),
    );
    ends.push(prometheus.stop);

    let ended = false;
    const loads = [sweeps(), requests({ url: api.url, token: api.token, agents }), failures()];
    // A load that fails must not go unseen until the end.
    const failed = Promise.all(loads);
    ends.push(async () => {
      ended = true;
      await failed;
    });
    failed.catch(() => undefined);

    async function sweeps(): Promise<void> {
      for (let round = 0; !ended; round += 1) {
        await lab.remember(benchMemories(agents, round));
        const handle = await lab.sweep(`observed-${round}`);
        await handle.result();
      }
    }

    /** Faults that a fleet has on any day: a workflow that fails, and a call that its model server refuses. */
    async function failures(): Promise<void> {
      for (let n = 0; !ended; n += 1) {
        const args = [{ agentId: 'nobody', trigger: 'call', period: `call-nobody-${n}` }];
        const workflowId = `reflect:nobody:call-${n}`;
        const handle = await lab.client.workflow.start('reflectAgent', {
          workflowId,
          taskQueue: coordinationQueue,
          args,
        });
        await handle.result().catch(() => undefined);
        await mainpc.control({ fault: { kind: 'status', status: 500, times: 1 } });
        await pause(500);
      }
    }

    async function requests(to: { url: string; token: string; agents: string[] }): Promise<void> {
      const call = (method: string, path: string, body?: unknown) =>
        fetch(`${to.url}${path}`, {
          method,
          headers: { authorization: `Bearer ${to.token}`, 'content-type': 'application/json' },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        });
      await call('POST', '/v1/users', { name: 'Ada', role: 'reader', address: 'ada@example.org' });
      for (let n = 0; !ended; n += 1) {
        const agent = to.agents[n % to.agents.length]!;
        await call('POST', `/v1/agents/${agent}/messages`, { text: `What did you count at the pier on day ${n}?` });
        for (const path of ['/v1/agents', '/v1/reflections', '/v1/runs', '/v1/fleet', '/v1/nothing'])
          await call('GET', path);
        await pause(500);
      }
    }

    return { prometheus, failed, stop } satisfies {
      prometheus: RunningServer;
      failed: Promise<unknown>;
      stop: () => Promise<void>;
    };
  } catch (err) {
    await stop();
    throw err;
  }
}

function writeTargets(file: string, ports: readonly number[]): void {
  writeFileSync(file, JSON.stringify([{ targets: ports.map((port) => `127.0.0.1:${port}`) }]));
}

function observed(fleet: Fleet, with_: { port: number; firstWorker: number; exporter: string; stamp: string }): Fleet {
  return fleetSchema.parse({
    ...fleet,
    machines: fleet.machines.map((machine, i) => ({
      ...machine,
      metricsPort: with_.firstWorker + 2 * i,
      gpuExporter: with_.exporter,
    })),
    metrics: { port: with_.port, backupStamp: with_.stamp, restoreDrillStamp: with_.stamp },
  });
}

/** One card, in the text of nvidia_gpu_exporter. */
async function serveCard(): Promise<{ url: string; close: () => Promise<void> }> {
  const text = [
    'nvidia_smi_last_collect_success 1',
    'nvidia_smi_gpu_info{uuid="a",index="0",name="NVIDIA GeForce RTX 4090",driver_version="570.86"} 1',
    'nvidia_smi_memory_total_bytes{uuid="a"} 2.5757220864e+10',
    'nvidia_smi_memory_used_bytes{uuid="a"} 1.2e+10',
    'nvidia_smi_utilization_gpu_ratio{uuid="a"} 0.7',
    'nvidia_smi_temperature_gpu{uuid="a"} 61',
    'nvidia_smi_power_draw_watts{uuid="a"} 280',
  ].join('\n');
  const server = createServer((_request, response) => void response.end(`${text}\n`));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
