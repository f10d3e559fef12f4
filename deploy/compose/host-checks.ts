import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { DomainError } from '../../domain/errors.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { onPath, output } from '../embedded/resolve.ts';
import { freeBytes } from './folder.ts';
import type { PortRow } from './kit.ts';

/** What is looked at before anything is changed: each fault by its name, with what mends it. */

const leastFreeBytes = 5e9;

/** The machine of fleet.yaml that this host is. */
export function machineHere(site: DeploySite, wanted: string | undefined): FleetMachine {
  const { machines } = site.fleet;
  const named = (id: string) => machines.find((machine) => machine.id === id || machine.host === id);
  const found = wanted === undefined ? (named(hostname()) ?? (site.alone ? machines[0] : undefined)) : named(wanted);
  if (found !== undefined) return found;
  const known = machines.map(({ id }) => id).join(', ');
  throw new DomainError(
    'INVALID_INPUT',
    wanted === undefined
      ? `this host is called ${hostname()}, which is no machine of fleet.yaml (${known}): say which one it is by --machine ID`
      : `--machine ${wanted} is no machine of fleet.yaml: ${known}`,
  );
}

/** Two parts of one host must not want one port. */
export function portClashes(rows: readonly PortRow[]): string[] {
  return rows.flatMap((row, i) => {
    const other = rows
      .slice(0, i)
      .find(
        (before) =>
          before.machineId === row.machineId &&
          before.port === row.port &&
          before.service !== row.service &&
          (before.address === row.address || [before.address, row.address].includes('0.0.0.0')),
      );
    return other === undefined
      ? []
      : [
          `${row.machineId}: ${row.service} (${row.file}) and ${other.service} (${other.file}) both want port ${row.port} at ${row.address}: change one in fleet.yaml (deploy.ports, metrics.port or machines[].metricsPort)`,
        ];
  });
}

/** @param ours ports that running parts of this kit hold already */
export async function portsTaken(rows: readonly PortRow[], ours: ReadonlySet<number>): Promise<string[]> {
  const told = await Promise.all(
    rows.map(async (row) => {
      if (ours.has(row.port)) return [];
      const code = await tryListening(row.port, row.address);
      if (code === undefined) return [];
      if (code === 'EADDRNOTAVAIL')
        return [
          `${row.address} is no address of this host, ${row.service} cannot listen at it: bring that network up (ip addr), or correct deploy.addresses.${row.machineId} in fleet.yaml`,
        ];
      if (code !== 'EADDRINUSE')
        return [
          `port ${row.port} at ${row.address} cannot be opened for ${row.service} (${code}): choose another one in fleet.yaml`,
        ];
      return [
        `port ${row.port} at ${row.address} is taken, ${row.service} needs it (${row.reason}): stop what listens there (ss -ltnp 'sport = :${row.port}'), or choose another one in fleet.yaml`,
      ];
    }),
  );
  return [...new Set(told.flat())];
}

async function tryListening(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (err: NodeJS.ErrnoException) => resolve(err.code ?? 'unknown'));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

export function diskFaults(folder: string, least = leastFreeBytes): string[] {
  const free = freeBytes(folder);
  if (free >= least) return [];
  return [
    `the disk of ${folder} has ${(free / 1e9).toFixed(1)} GB left, ${(least / 1e9).toFixed(1)} GB are needed: make room, or choose another disk by --out`,
  ];
}

/** Docker starts nothing beside a folder that it cannot mount. */
export function secondFaults({ fleet, coordination }: DeploySite, machine: FleetMachine): string[] {
  const { to } = fleet.backup;
  if (to === undefined || machine.id !== coordination.id || existsSync(to)) return [];
  return [`${to} (backup.to of fleet.yaml) is not there: mount its disk, or name another folder`];
}

/** Cards that fleet.yaml gives this machine, and that its worker is to be handed. */
export async function gpuFaults(
  machine: FleetMachine,
  env: Readonly<Record<string, string | undefined>>,
  docker: boolean,
): Promise<string[]> {
  if (machine.gpus.length === 0 || machine.modelServer?.url === undefined) return [];
  const mend = `install its driver, or take the card out of machines.${machine.id}.gpus in fleet.yaml`;
  const smi = onPath('nvidia-smi', env);
  if (smi === undefined)
    return [`${machine.id} has ${machine.gpus.length} GPU in fleet.yaml, but nvidia-smi is not on this host: ${mend}`];
  const seen = await output(smi, ['-L'], { env, timeoutMs: 20_000 }).then(
    (text) => text.split('\n').filter((line) => line.startsWith('GPU ')).length,
    (err: Error) => err.message,
  );
  if (typeof seen === 'string') return [`nvidia-smi does not answer (${seen}): ${mend}`];
  if (seen < machine.gpus.length)
    return [`${machine.id} has ${machine.gpus.length} GPU in fleet.yaml, this host shows ${seen}: ${mend}`];
  if (!docker) return [];
  const info = await output('docker', ['info', '--format', '{{json .Runtimes}}{{json .CDISpecDirs}}'], {
    env,
    timeoutMs: 20_000,
  });
  return info.includes('nvidia')
    ? []
    : [
        'Docker cannot hand out cards here: install nvidia-container-toolkit, then `nvidia-ctk runtime configure --runtime=docker` and restart Docker',
      ];
}

/** @throws CONFLICT with every fault in a line of its own */
export function refuseFaults(faults: readonly string[]): void {
  if (faults.length > 0)
    throw new DomainError('CONFLICT', `nothing was changed:\n${faults.map((line) => `  - ${line}`).join('\n')}`);
}
