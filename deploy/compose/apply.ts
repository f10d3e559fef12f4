import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DomainError } from '../../domain/errors.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { writeText } from '../embedded/home.ts';
import { output } from '../embedded/resolve.ts';
import {
  composeArguments,
  composeCommand,
  containerChanges,
  type ContainerChange,
  containersOf,
  type Found,
  isUp,
  type Wanted,
  wantedOf,
} from './containers.ts';
import { environmentText, fittedCpus, readIfThere } from './folder.ts';
import { diskFaults, gpuFaults, portsTaken, refuseFaults, secondFaults } from './host-checks.ts';
import { type KitFiles, portRows, projectOf, standbyFile } from './kit.ts';
import { mendsFor } from './start-faults.ts';

/** What runs on this machine, brought to what the folder says. */

type Env = Readonly<Record<string, string | undefined>>;
type Say = (text: string) => void;

const upWithinMs = 15 * 60_000;

/** Compose files that this machine runs; a standby besides its own work. */
export function filesOf(site: DeploySite, machine: FleetMachine): string[] {
  if (machine.id === site.coordination.id) return ['coordination.yaml'];
  return [`inference-${machine.id}.yaml`, ...(machine.id === site.standby?.id ? [standbyFile] : [])];
}

export interface Standing {
  wanted: Wanted[];
  found: Found[];
  changes: ContainerChange[];
}

/**
 * Asks Docker what runs.
 * @param kit what the files say, or will say once they are written
 */
export async function standing(folder: string, kit: KitFiles, files: readonly string[], env: Env): Promise<Standing> {
  const environment = environmentText(readIfThere(join(folder, '.env')), '');
  const profiles = /^COMPOSE_PROFILES=(.*)$/m.exec(environment)![1]!.split(',');
  const wanted = files.flatMap((file) => wantedOf(file, kit.get(file)!, profiles));
  const found = (await Promise.all(files.map((file) => containersOf(file, env)))).flat();
  return { wanted, found, changes: containerChanges(wanted, found) };
}

export async function applyContainers(options: {
  folder: string;
  kit: KitFiles;
  site: DeploySite;
  machine: FleetMachine;
  /** @default those of the machine while the coordinating one does its work */
  files?: readonly string[];
  env: Env;
  say: Say;
}): Promise<ContainerChange[]> {
  const { folder, kit, site, machine, env, say, files = filesOf(site, machine) } = options;
  const command = await composeCommand(env);
  const before = await standing(folder, kit, files, env);
  const ours = new Set(before.found.filter(({ state }) => state === 'running').flatMap(({ ports }) => ports));
  const names = new Set(before.found.filter(({ state }) => state === 'running').map(({ service }) => service));
  const rows = portRows(site).filter(
    ({ file, service }) =>
      before.wanted.some((want) => projectOf(want.file) === projectOf(file) && want.service === service) &&
      // On the host's network Docker knows no ports: a part that runs holds its own.
      !names.has(service),
  );
  refuseFaults([
    ...(await portsTaken(rows, ours)),
    ...diskFaults(folder),
    ...secondFaults(site, machine),
    ...(await gpuFaults(machine, env, true)),
  ]);
  await fitCpus(folder, machine, env, say);
  for (const file of files) {
    const changes = before.changes.filter((change) => change.file === file);
    if (changes.length === 0) continue;
    for (const { action, service } of changes) say(`${file} ${service}: ${action}`);
    const gone = await runCompose(
      command,
      composeArguments(command, folder, file, ['up', '-d', '--remove-orphans']),
      env,
    );
    if (gone !== '') throw await upFailed({ folder, kit, command, env }, file, gone);
  }
  await untilUp({ folder, kit, command, env }, files, say);
  return before.changes;
}

/** By the CPUs that Docker sees, which may be a machine of its own. */
async function fitCpus(folder: string, { id }: FleetMachine, env: Env, say: Say): Promise<void> {
  const file = join(folder, '.env');
  const text = readIfThere(file) ?? '';
  const there = Number(await output('docker', ['info', '--format', '{{.NCPU}}'], { env, timeoutMs: 20_000 }));
  const fitted = fittedCpus(text, there, id);
  if (fitted === text) return;
  writeText(file, fitted, 0o644);
  say(`.env: ${/^SOULFRA_CPUS=.*$/m.exec(fitted)![0]}, by the ${there} CPUs here`);
}

interface Running {
  folder: string;
  kit: KitFiles;
  command: readonly string[];
  env: Env;
}

async function untilUp(running: Running, files: readonly string[], say: Say): Promise<void> {
  const until = Date.now() + upWithinMs;
  const told = new Set<string>();
  for (;;) {
    const { wanted, found } = await standing(running.folder, running.kit, files, running.env);
    for (const want of wanted.filter((each) => isUp(each, found))) {
      const name = `${want.file} ${want.service}`;
      if (told.has(name)) continue;
      told.add(name);
      say(`${name}: ${want.once ? 'done' : 'ready'} (${told.size} of ${wanted.length})`);
    }
    if (told.size === wanted.length) return;
    if (Date.now() > until) {
      const waiting = wanted.filter(({ file, service }) => !told.has(`${file} ${service}`));
      const why = `not ready after ${upWithinMs / 60_000} min: ${waiting.map(({ service }) => service).join(', ')}`;
      throw await upFailed(running, waiting[0]!.file, why);
    }
    await pause(2_000);
  }
}

/** With the last lines of what is not up, so that a wrong secret or a full disk stands in the message. */
async function upFailed({ folder, kit, command, env }: Running, file: string, why: string): Promise<DomainError> {
  const { wanted, found } = await standing(folder, kit, [file], env);
  const down = wanted.filter((want) => !isUp(want, found)).map(({ service }) => service);
  const lines: string[] = [];
  for (const service of down.slice(0, 3)) {
    const args = composeArguments(command, folder, file, ['logs', '--no-color', '--tail', '5', service]);
    lines.push(`${service}:\n${(await ended(command, args, env)).text.trim()}`);
  }
  const mends = mendsFor([why, ...lines].join('\n'), folder).map((mend) => `${mend}\n`);
  return new DomainError(
    'UNAVAILABLE',
    `${file}: ${why.trim()}\n${lines.join('\n')}\n${mends.join('')}Mend it and apply again: what is up stays as it is.`,
  );
}

/** @returns what went wrong; empty where nothing did */
async function runCompose(command: readonly string[], args: readonly string[], env: Env): Promise<string> {
  const { code, text } = await ended(command, args, env);
  return code === 0
    ? ''
    : text
        .split('\n')
        .filter((line) => line !== '')
        .slice(-5)
        .join('\n') || `ended by ${code}`;
}

async function ended(
  command: readonly string[],
  args: readonly string[],
  env: Env,
): Promise<{ code: number | string; text: string }> {
  const child = spawn(command[0]!, args, { env: env as NodeJS.ProcessEnv, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text = `${text}${chunk}`.slice(-20_000);
    });
  const code = await new Promise<number | string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit, signal) => resolve(exit ?? signal ?? 'nothing'));
  });
  return { code, text };
}
