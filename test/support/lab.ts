import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream, mkdirSync, mkdtempSync, rmSync, chmodSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { sql } from 'kysely';
import { createPayloads, dataConverterOf, type PayloadSettings } from '../../config/payload-codec.ts';
import { leaveWithParent } from '../../deploy/embedded/own-parts.ts';
import type { Fleet } from '../../domain/fleet.ts';
import { keyRingText } from '../../domain/key-ring.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createDatabase } from '../../stores/database.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { createMemoryStore, type NewMemory } from '../../stores/memories.ts';
import { migrate } from '../../stores/migrate.ts';
import { workflowBundle } from '../../workers/bundle.ts';
import type { ReflectFleetInput } from '../../workflows/reflect-fleet.ts';
import { bornAgents } from './born-agents.ts';
import { ensureDatabase, startServers, type TestServers, withDatabase } from './servers.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Where a lab's processes find their servers. */
export interface LabAddresses {
  databaseUrl: string;
  redisUrl: string;
  temporalAddress: string;
  namespace: string;
}

export interface LabProcess {
  readonly pid: number;
  /** Sends a real signal to the real process. */
  signal(signal: NodeJS.Signals): void;
  /** Ends it and waits until it is gone; SIGCONT first, since a stopped process takes nothing but SIGKILL. */
  end(signal?: NodeJS.Signals): Promise<void>;
  readonly alive: boolean;
}

export type Lab = Awaited<ReturnType<typeof openLab>>;

export const labOwner = 'usr_lab';

/** Postgres, Redis and Temporal of its own in a temporary folder, for benches and chaos. */
export async function openLabServers(): Promise<{
  servers: TestServers;
  addresses: LabAddresses;
  folder: string;
  close(): Promise<void>;
}> {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-lab-'));
  chmodSync(folder, 0o755);
  const servers = await startServers(join(folder, 'home'), { namespaces: ['default'], redisDatabases: 1 });
  await ensureDatabase(servers.postgresUrl, 'lab');
  const addresses = {
    databaseUrl: withDatabase(servers.postgresUrl, 'lab'),
    redisUrl: servers.redisUrl(0),
    temporalAddress: servers.temporalAddress,
    namespace: 'default',
  };
  await migrate(addresses.databaseUrl);
  return {
    servers,
    addresses,
    folder,
    async close() {
      await servers.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A fleet with the shipped worker processes on given servers. */
export async function openLab(
  addresses: LabAddresses,
  options: {
    logs: string;
    workerLogLevel?: string;
    sources?: string;
    /** By what its processes and its own client encode and read payloads; whoever announces the keys is a process. */
    payloads?: PayloadSettings;
  },
) {
  /** Where the workers' code lies: the checkout, or a copy of it with one protection taken away. */
  const sources = options.sources ?? root;
  mkdirSync(options.logs, { recursive: true });
  const db = createDatabase({ url: addresses.databaseUrl, name: 'lab', onIdleError: () => undefined });
  const connection = await Connection.connect({ address: addresses.temporalAddress });
  const payloads = createPayloads(options.payloads);
  const client = new Client({
    connection,
    namespace: addresses.namespace,
    dataConverter: dataConverterOf(payloads),
  });
  const fleets = createFleetStore(db);
  const memories = createMemoryStore(db);
  const processes: LabProcess[] = [];
  await workflowBundle();
  await db
    .insertInto('users')
    .values({ id: labOwner, name: 'lab', role: 'operator' })
    .onConflict((c) => c.doNothing())
    .execute();

  function startProcess(name: string, args: readonly string[], env: Record<string, string>, cwd = root): LabProcess {
    const child = spawn(process.execPath, [...leaveWithParent, ...args], {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const log = createWriteStream(join(options.logs, `${name}.log`), { flags: 'a' });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    const entry = labProcess(child);
    processes.push(entry);
    return entry;
  }

  function serversEnv(): Record<string, string> {
    return {
      DATABASE_URL: addresses.databaseUrl,
      REDIS_URL: addresses.redisUrl,
      TEMPORAL_ADDRESS: addresses.temporalAddress,
      TEMPORAL_NAMESPACE: addresses.namespace,
      SOULFRA_LOG_LEVEL: options.workerLogLevel ?? 'info',
      // Empty is unset, also where the shell has one.
      SOULFRA_PAYLOAD_CODEC: payloads.encodes ? 'on' : 'off',
      SOULFRA_PAYLOAD_KEYS: keyRingText(payloads.keys),
    };
  }

  return {
    db,
    client,
    addresses,

    async apply(fleet: Fleet): Promise<void> {
      await fleets.apply({ ownerId: labOwner, source: '', fleet, agents: bornAgents(fleet), changes: [] });
    },

    async remember(items: readonly NewMemory[]): Promise<void> {
      for (let from = 0; from < items.length; from += 1000)
        await memories.add(labOwner, items.slice(from, from + 1000));
    },

    startWorker(machineId: string, env: Record<string, string> = {}): LabProcess {
      const args = ['workers/main.ts', '--machine', machineId];
      return startProcess(`worker-${machineId}`, args, { ...serversEnv(), ...env }, sources);
    },

    /** The API in a process of its own, with an operator's token; resolves once it answers. */
    async startApi(
      port: number,
      env: Record<string, string> = {},
    ): Promise<{ url: string; token: string; process: LabProcess }> {
      const token = `sfr_lab_${randomBytes(24).toString('base64url')}`;
      const file = join(options.logs, 'operator.token');
      writeFileSync(file, token, { mode: 0o600 });
      const api = startProcess('api', ['api/main.ts'], {
        ...serversEnv(),
        SOULFRA_API_PORT: String(port),
        SOULFRA_BOOTSTRAP_TOKEN_FILE: file,
        ...env,
      });
      const url = `http://127.0.0.1:${port}`;
      await until(
        'the API answers',
        () =>
          fetch(`${url}/v1/health/ready`).then(
            ({ ok }) => ok,
            () => false,
          ),
        120_000,
      );
      return { url, token, process: api };
    },

    startProcess,

    /** Starts a sweep over all agents and returns its handle. */
    sweep(requestId: string) {
      const input: ReflectFleetInput = { cadence: null, trigger: 'call', period: `call-${requestId}` };
      return client.workflow.start('reflectFleet', {
        workflowId: `reflect-fleet:call-${requestId}`,
        taskQueue: coordinationQueue,
        args: [input],
        workflowTaskTimeout: '2 seconds',
      });
    },

    /** Waits until the newest plan is applied, covers these machines, and each polls what it should. */
    async settled(machineIds: readonly string[], timeoutMs = 60_000): Promise<void> {
      await until(
        `plan applied on ${machineIds.join(', ')}`,
        async () => {
          const { rows } = await sql<{ settled: boolean }>`
            select not exists (select 1 from plans where state in ('planned', 'applying'))
              and exists (select 1 from plans where state = 'applied')
              and (select bool_and(m.state = 'ready' and m.plan_version = (select max(version) from plans where state = 'applied'))
                   from machines m where m.id = any(${machineIds})) as settled`.execute(db);
          return rows[0]?.settled === true;
        },
        timeoutMs,
      );
    },

    async close(): Promise<void> {
      await Promise.all(processes.map((entry) => entry.end()));
      await connection.close();
      await db.destroy();
    },
  };
}

/** Polls a condition; its name is in the error when it does not come true in time. */
export async function until(what: string, condition: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (await condition()) return;
    if (performance.now() > deadline) throw new Error(`did not come true within ${timeoutMs / 1000} s: ${what}`);
    await pause(50);
  }
}

function labProcess(child: ChildProcess): LabProcess {
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  const alive = () => child.exitCode === null && child.signalCode === null;
  return {
    pid: child.pid!,
    get alive() {
      return alive();
    },
    signal(signal) {
      if (alive()) child.kill(signal);
    },
    async end(signal = 'SIGTERM') {
      if (!alive()) return;
      child.kill('SIGCONT');
      child.kill(signal);
      const forced = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await exited;
      clearTimeout(forced);
    },
  };
}
