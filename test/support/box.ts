import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { Check, Summary } from '../../domain/doctor.ts';
import { openHome } from '../../deploy/embedded/home.ts';
import { openOperatorToken } from '../../deploy/embedded/secrets.ts';
import { prepareNamespace } from '../../deploy/embedded/temporal.ts';
import { migrate } from '../../stores/migrate.ts';
import { type Ended, runSoulfra } from './command.ts';
import { type Lab, type LabProcess, openLab, until } from './lab.ts';
import { type ModelServer, startModelServer } from './model-server.ts';
import { ensureDatabase, startServers, type TestServers, withDatabase } from './servers.ts';

/** Its machine, and the host that it runs on. */
export const boxMachine = 'box';
const hostName = 'soulfra-box';
export const boxModel = 'steady:12b';

const fleetFile = (url: string) => `version: 1
name: Box
machines:
  - id: ${boxMachine}
    host: ${hostName}
    gpus: [{ name: RTX 4090, class: 24g, vramGiB: 24 }]
    modelServer: { kind: ollama, sequences: 2, url: '${url}' }
    roles: { coordination: { pollers: 2, workflowSlots: 4, activitySlots: 2 } }
models:
  - id: steady
    family: test
    layers: 32
    queryHeads: 32
    kvHeads: 8
    headSize: 128
    context: { reflect: 2048, talk: 2048 }
    quantisations:
      q4: { fileGiB: 12, rates: { 24g: { tokensPerSecond: 60, slowdown: 0.05 } }, servedAs: { ollama: '${boxModel}' } }
archetypes:
  - { id: vesper, count: 2, summary: keeps the evening watch, traits: [calm], maskSeed: 1, cadence: 6h, model: steady_q4, leastClass: 8g, mayDegrade: false, tokensPerDay: 5000 }
`;

export interface GpuFigures {
  totalMiB: number;
  usedMiB: number;
}
export const usualGpu: GpuFigures = { totalMiB: 24_564, usedMiB: 1_400 };

export type Box = Awaited<ReturnType<typeof openBox>>;

/**
 * A small installation of its own, as `npm start` leaves one: data folder, Postgres, Redis, Temporal, API, the worker of one machine, a
 * model server, and a card that `nvidia-smi` shows.
 */
export async function openBox() {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-box-'));
  chmodSync(folder, 0o755);
  const home = join(folder, 'home');
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const servers = await startServers(home, { namespaces: [], redisDatabases: 16 });
  const temporal = { address: servers.temporalAddress, namespace: 'default' };
  const addresses = {
    databaseUrl: withDatabase(servers.postgresUrl, 'soulfra'),
    redisUrl: servers.redisUrl(0),
    temporalAddress: temporal.address,
    namespace: temporal.namespace,
  };
  let lab: Lab | undefined;
  let modelServer: ModelServer | undefined;
  try {
    await ensureDatabase(servers.postgresUrl, 'soulfra');
    await migrate(addresses.databaseUrl);
    await prepareNamespace(temporal.address, temporal.namespace);
    for (const name of ['temporal.db', 'temporal.db-wal', 'temporal.db-shm'])
      if (existsSync(join(home, name))) chmodSync(join(home, name), 0o600);
    modelServer = await startModelServer({ slots: 2, tokensPerSecond: 200, models: [boxModel] });
    writeFileSync(join(folder, 'fleet.yaml'), fleetFile(modelServer.url));
    lab = await openLab(addresses, { logs: join(folder, 'logs') });
    return await settle({ folder, home, bin, servers, addresses, lab, modelServer });
  } catch (err) {
    await lab?.close();
    await modelServer?.close();
    await servers.stop();
    throw err;
  }
}

async function settle(parts: {
  folder: string;
  home: string;
  bin: string;
  servers: TestServers;
  addresses: Parameters<typeof openLab>[0];
  lab: Lab;
  modelServer: ModelServer;
}) {
  const { folder, home, bin, servers, addresses, lab } = parts;
  let { modelServer } = parts;
  const operator = openOperatorToken(openHome({ SOULFRA_HOME: home }, folder));
  const path = `${bin}:${process.env['PATH']}`;
  const partEnv = {
    DATABASE_URL: addresses.databaseUrl,
    REDIS_URL: addresses.redisUrl,
    TEMPORAL_ADDRESS: addresses.temporalAddress,
    SOULFRA_HOST_NAME: hostName,
    SOULFRA_LOG_LEVEL: 'warn',
    PATH: path,
  };
  let api: LabProcess;
  let worker: LabProcess;

  const box = {
    folder,
    home,
    servers,
    addresses,
    /** Port that the API of this box has. */
    apiPort: servers.ports.api,

    /** `soulfra doctor --json` as its owner runs it on this box. */
    async doctor(env: Record<string, string> = {}): Promise<{ ended: Ended; checks: Check[]; summary: Summary }> {
      const ended = await runSoulfra(['doctor', '--json'], {
        cwd: folder,
        env: { PATH: path, SOULFRA_HOME: home, SOULFRA_HOST_NAME: hostName, ...env },
      });
      if (ended.out === '') throw new Error(`doctor said nothing: ${ended.err}`);
      return { ended, ...(JSON.parse(ended.out) as { checks: Check[]; summary: Summary }) };
    },

    async sql(text: string): Promise<Array<Record<string, unknown>>> {
      const client = new pg.Client({ connectionString: addresses.databaseUrl });
      await client.connect();
      try {
        return (await client.query<Record<string, unknown>>(text)).rows;
      } finally {
        await client.end();
      }
    },

    async redis(...command: [string, ...string[]]): Promise<void> {
      const redis = new Redis(addresses.redisUrl);
      try {
        await redis.call(...command);
      } finally {
        redis.disconnect();
      }
    },

    /** What `nvidia-smi` says from now on; a text: that it fails with it. */
    setGpu(says: GpuFigures | string): void {
      const row =
        typeof says === 'string'
          ? `echo '${says}' >&2; exit 9`
          : `echo '0, GPU-box, NVIDIA GeForce RTX 4090, 570.86, ${says.totalMiB}, ${says.usedMiB}, ${says.totalMiB - says.usedMiB}, 3, 41, 62.1'`;
      const file = join(bin, 'nvidia-smi');
      writeFileSync(file, `#!/bin/sh\ncase "$1" in --query-gpu*) ${row};; esac\n`);
      chmodSync(file, 0o755);
    },

    async startApi(): Promise<void> {
      const started = await lab.startApi(box.apiPort, { ...partEnv, SOULFRA_BOOTSTRAP_TOKEN_FILE: operator.file });
      api = started.process;
    },
    endApi: () => api.end(),

    async startWorker(): Promise<void> {
      worker = lab.startProcess('worker-box', ['workers/main.ts', '--machine', boxMachine], partEnv);
      await until('the machine works and has reported', async () => {
        const rows = await box.sql(
          `select 1 from machines m join machine_reports r on r.machine_id = m.id
           where m.id = '${boxMachine}' and m.state = 'ready' and m.lease_until > clock_timestamp() and cardinality(m.polls) > 0
             and not exists (select 1 from plans where state in ('planned', 'applying'))`,
        );
        return rows.length > 0;
      });
    },
    endWorker: () => worker.end(),

    modelServer: () => modelServer,
    /** The same address, with other models. */
    async serveModels(models: string[]): Promise<void> {
      const { port } = modelServer;
      await modelServer.close();
      modelServer = await startModelServer({ slots: 2, tokensPerSecond: 200, models, port });
    },

    readFleetFile: () => readFileSync(join(folder, 'fleet.yaml'), 'utf8'),
    writeFleetFile: (text: string) => writeFileSync(join(folder, 'fleet.yaml'), text),

    /** Everything of it but its files. */
    async stop(): Promise<void> {
      await lab.close();
      await modelServer.close();
      await servers.stop();
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };

  box.setGpu(usualGpu);
  await box.startApi();
  const applied = await fetch(`http://127.0.0.1:${box.apiPort}/v1/fleet/apply`, {
    method: 'POST',
    headers: { authorization: `Bearer ${operator.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ source: box.readFleetFile() }),
  });
  if (!applied.ok) throw new Error(`not applied: ${await applied.text()}`);
  await box.startWorker();
  return box;
}
