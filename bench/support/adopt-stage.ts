import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Fleet } from '../../domain/fleet.ts';
import { serviceSchema } from '../../domain/services.ts';
import { createServiceRunStore } from '../../stores/service-runs.ts';
import { makeFaultyMonorepo } from '../../test/support/faulty-monorepo.ts';
import { testFleet } from '../../test/support/fleets.ts';
import { type Lab, labOwner, type LabProcess, openLab, openLabServers, until } from '../../test/support/lab.ts';
import { writeMonorepo } from '../../test/support/monorepo.ts';
import { lacksSystemd, startSystemdHost, type SystemdHost } from '../../test/support/systemd.ts';
import { freePorts } from './fleet-bench.ts';

export const adoptMachines = ['mainpc', 'pc2'] as const;
export type AdoptMachine = (typeof adoptMachines)[number];
/** Tokens a second of each sequence: an answer of the bench takes seconds, so that a kill meets many. */
const speed = 25;

/** What a deployment starts anew on a machine: real units that say so. */
const unitsOf = (machine: AdoptMachine) => [`${machine}-front`, `${machine}-back`];
const unitCommand = (id: string) => ['/bin/sh', 'unit.sh', id];
const unitProgram = `
echo "$1" >> said
trap 'exit 0' TERM
while true; do sleep 1000 & wait $!; done
`;

/** Looks four times a second, since each look is a request to the API beside what is measured. */
export async function eventually(what: string, condition: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`did not come true within ${timeoutMs / 1000} s: ${what}`);
    await pause(250);
  }
}

export interface Answered {
  status: number;
  body: Record<string, unknown>;
}

export type AdoptStage = Awaited<ReturnType<typeof openAdoptStage>>;

/**
 * The made-up repository under git, its two machines as real workers and model servers, and the API, each a process of its own.
 * What machines may read and run is in their own environment and trust files.
 */
export async function openAdoptStage() {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-adopt-'));
  // Below it machines may read; `outside` is where no link and no path may lead.
  const allowed = join(folder, 'srv');
  const repository = join(allowed, 'fleet');
  const outside = join(folder, 'outside');
  for (const each of [repository, outside]) mkdirSync(each, { recursive: true });
  const monorepo = makeFaultyMonorepo();
  writeMonorepo(repository, monorepo);
  const git = (...args: string[]) => execFileSync('git', ['-C', repository, ...args], { encoding: 'utf8' }).trim();
  git('init', '-q', '-b', 'main');
  git('add', '.');
  git('-c', 'user.name=x', '-c', 'user.email=x@localhost', 'commit', '-qm', 'as it runs');

  const base = await openLabServers();
  const lab = await openLab(base.addresses, { logs: join(folder, 'logs'), workerLogLevel: 'warn' });
  const others: Lab[] = [];
  const [mainpcPort = 0, pc2Port = 0, apiPort = 0] = await freePorts(3);
  const ports: Record<AdoptMachine, number> = { mainpc: mainpcPort, pc2: pc2Port };
  const modelServers = new Map<AdoptMachine, LabProcess>();
  const workers = new Map<AdoptMachine, LabProcess>();
  const hosts = new Map<AdoptMachine, SystemdHost>();
  const urlOf = (machine: AdoptMachine) => `http://127.0.0.1:${ports[machine]}/v1`;
  const fleet: Fleet = testFleet({
    heavy: 0,
    light: 4,
    urls: { mainpc: urlOf('mainpc'), pc2: urlOf('pc2') },
    limits: { requestsPerMinute: 100_000 },
  });

  async function close(): Promise<void> {
    for (const each of [...others, lab]) await each.close();
    for (const host of hosts.values()) await host.close();
    await base.close();
    rmSync(folder, { recursive: true, force: true });
  }

  /** A systemd of its own beside each worker, and what it is to run. @returns undefined where this box has none to give */
  async function startUnits() {
    if (lacksSystemd('bench adopt: a deployment of units')) {
      process.stderr.write('no systemd, or no root for a namespace of its own: nothing is deployed here\n');
      return undefined;
    }
    for (const machine of adoptMachines) {
      const host = await startSystemdHost();
      hosts.set(machine, host);
      writeFileSync(join(host.folder, 'unit.sh'), unitProgram);
    }
    return {
      ids: adoptMachines.flatMap(unitsOf),
      /** As an apply and a plan leave them; then asked for as by a person. */
      async start(): Promise<void> {
        for (const machine of adoptMachines)
          for (const id of unitsOf(machine)) {
            const spec = serviceSchema.parse({
              id,
              kind: 'process',
              machine,
              command: unitCommand(id),
              source: 'startup.yaml:1',
            });
            await sql`insert into services (id, owner_id, spec, machine_id)
              values (${id}, ${labOwner}, ${JSON.stringify(spec)}::jsonb, ${machine})`.execute(lab.db);
          }
        const store = createServiceRunStore(lab.db);
        await store.request({ ownerId: labOwner, action: 'start', serviceIds: adoptMachines.flatMap(unitsOf) });
        await eventually('the units are up', () => allAre('up'), 120_000);
      },
      async stop(): Promise<void> {
        const store = createServiceRunStore(lab.db);
        await store.request({ ownerId: labOwner, action: 'stop', serviceIds: adoptMachines.flatMap(unitsOf) });
        await eventually('the units are stopped', () => allAre('stopped'), 120_000);
        const ids = adoptMachines.flatMap(unitsOf);
        await lab.db.deleteFrom('serviceRuns').where('serviceId', 'in', ids).execute();
        await lab.db.deleteFrom('services').where('id', 'in', ids).execute();
      },
      /** How often each was started, by what it has written itself. */
      starts(): Map<string, number> {
        const lines = [...hosts.values()].flatMap(({ folder: place }) => {
          const said = join(place, 'said');
          return existsSync(said) ? readFileSync(said, 'utf8').split('\n').filter(Boolean) : [];
        });
        const counts = new Map<string, number>();
        for (const id of lines) counts.set(id, (counts.get(id) ?? 0) + 1);
        return counts;
      },
    };
  }
  async function allAre(state: string): Promise<boolean> {
    const { rows } = await sql<{ left: number }>`select count(*)::int as left from services
      where id = any(${adoptMachines.flatMap(unitsOf)}) and state <> ${state}`.execute(lab.db);
    return rows[0]!.left === 0;
  }

  async function startModelServer(machine: AdoptMachine): Promise<void> {
    const args = ['--port', String(ports[machine]), '--slots', '16', '--speed', String(speed)];
    const program = ['test/support/model-server.ts', ...args, '--models', 'heavy_q4,light_q4'];
    modelServers.set(machine, lab.startProcess(`models-${machine}`, program, {}));
    await until(`the model server of ${machine} answers`, () =>
      fetch(`${urlOf(machine)}/models`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
  }

  /** @param from the lab whose sources it runs; default: the checkout's */
  function startWorker(machine: AdoptMachine, from = lab): void {
    workers.set(
      machine,
      from.startWorker(machine, {
        SOULFRA_HOME: join(folder, `home.${machine}`),
        ...hosts.get(machine)?.environment,
        SOULFRA_TRUST_FILE: trustFileOf(machine),
        SOULFRA_SOURCE_FOLDERS: allowed,
      }),
    );
  }
  const trustFileOf = (machine: AdoptMachine) => join(folder, `trust.${machine}.yaml`);

  /** What a machine agrees to run; without `repositories` it lets nobody write a branch. */
  function trust(commands: ReadonlyArray<readonly string[]>, repositories: readonly string[]): void {
    for (const machine of adoptMachines) {
      const host = hosts.get(machine);
      const services =
        host === undefined ? [] : unitsOf(machine).map((id) => ({ id, command: unitCommand(id), folder: host.folder }));
      const agreed = { version: 1, services, commands: commands.map((command) => ({ command })), repositories };
      writeFileSync(trustFileOf(machine), JSON.stringify(agreed), { mode: 0o600 });
    }
  }

  try {
    const units = await startUnits();
    trust([], []);
    await Promise.all(adoptMachines.map(startModelServer));
    await lab.apply(fleet);
    for (const machine of adoptMachines) startWorker(machine);
    await lab.settled(adoptMachines, 120_000);
    let api = await lab.startApi(apiPort);

    const ask = async (method: string, path: string, body?: object, as = api.token): Promise<Answered> => {
      const response = await fetch(`${api.url}/v1${path}`, {
        method,
        headers: {
          authorization: `Bearer ${as}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Answered['body']) };
    };

    return {
      folder,
      allowed,
      repository,
      outside,
      monorepo,
      git,
      lab,
      fleet,
      units,
      get api() {
        return api;
      },
      ask,
      trust,
      workers,
      modelServers,
      modelUrlOf: urlOf,
      startModelServer,
      startWorker,
      close,
      /** As the command is told where the fleet is. */
      get environment() {
        return { SOULFRA_URL: api.url, SOULFRA_TOKEN: api.token };
      },

      async killApi(): Promise<void> {
        await api.process.end('SIGKILL');
        api = await lab.startApi(apiPort);
      },

      async killWorker(machine: AdoptMachine, from = lab): Promise<void> {
        await workers.get(machine)!.end('SIGKILL');
        startWorker(machine, from);
      },

      /** Both workers anew, from a copy of the sources; without one from the checkout. */
      async restartFrom(sources: string | undefined): Promise<Lab> {
        await Promise.all([...workers.values()].map((worker) => worker.end()));
        const logs = join(folder, 'logs');
        const from =
          sources === undefined ? lab : await openLab(base.addresses, { logs, workerLogLevel: 'warn', sources });
        if (from !== lab) others.push(from);
        for (const machine of adoptMachines) startWorker(machine, from);
        await lab.settled(adoptMachines, 120_000);
        return from;
      },

      /** A token of a service's own, as an import has described it. */
      async serviceToken(service: { id: string; [field: string]: unknown }): Promise<string> {
        const { id } = service;
        const spec = JSON.stringify(service);
        await lab.db.insertInto('services').values({ id, ownerId: labOwner, spec }).execute();
        const { body } = await ask('POST', '/tokens', { service: id });
        return body['token'] as string;
      },

      /** A file that may be run, where only its owner writes. */
      program(name: string, text: string): string {
        const path = join(folder, name);
        writeFileSync(path, text);
        chmodSync(path, 0o755);
        return path;
      },
    };
  } catch (err) {
    await close();
    throw err;
  }
}
