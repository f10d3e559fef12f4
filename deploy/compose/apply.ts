import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DomainError } from '../../domain/errors.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
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
import { readIfThere } from './folder.ts';
import { diskFaults, gpuFaults, portsTaken, refuseFaults } from './host-checks.ts';
import { portRows } from './kit.ts';

/** What runs on this machine, brought to what the folder says. */

type Env = Readonly<Record<string, string | undefined>>;
type Say = (text: string) => void;

const upWithinMs = 15 * 60_000;

/** Compose files that this machine runs; a standby besides its own work. */
export function filesOf(site: DeploySite, machine: FleetMachine): string[] {
  if (machine.id === site.coordination.id) return ['coordination.yaml'];
  return [`inference-${machine.id}.yaml`, ...(machine.id === site.standby?.id ? ['standby.yaml'] : [])];
}

export interface Standing {
  wanted: Wanted[];
  found: Found[];
  changes: ContainerChange[];
}

/** Reads the folder and asks Docker. */
export async function standing(folder: string, files: readonly string[], env: Env): Promise<Standing> {
  const profiles = (/^COMPOSE_PROFILES=(.*)$/m.exec(readIfThere(join(folder, '.env')) ?? '')?.[1] ?? '').split(',');
  const wanted = files.flatMap((file) => {
    const text = readIfThere(join(folder, file));
    if (text === undefined)
      throw new DomainError('NOT_FOUND', `there is no ${join(folder, file)}: make it by \`soulfra deploy init\`, or copy it here from where that was run`);
    return wantedOf(file, text, profiles);
  });
  const found = (await Promise.all(files.map((file) => containersOf(file, env)))).flat();
  return { wanted, found, changes: containerChanges(wanted, found) };
}

export async function applyContainers(options: {
  folder: string;
  site: DeploySite;
  machine: FleetMachine;
  env: Env;
  say: Say;
}): Promise<ContainerChange[]> {
  const { folder, site, machine, env, say } = options;
  const command = await composeCommand(env);
  const files = filesOf(site, machine);
  const before = await standing(folder, files, env);
  const ours = new Set(before.found.filter(({ state }) => state === 'running').flatMap(({ ports }) => ports));
  const names = new Set(before.found.filter(({ state }) => state === 'running').map(({ service }) => service));
  const rows = portRows(site).filter(
    ({ file, service }) =>
      files.includes(file) &&
      before.wanted.some((want) => want.file === file && want.service === service) &&
      // On the host's network Docker knows no ports: a part that runs holds its own.
      !names.has(service),
  );
  refuseFaults([...(await portsTaken(rows, ours)), ...diskFaults(folder), ...(await gpuFaults(machine, env, true))]);
  for (const file of files) {
    const changes = before.changes.filter((change) => change.file === file);
    if (changes.length === 0) continue;
    for (const { action, service } of changes) say(`${file} ${service}: ${action}`);
    const gone = await runCompose(command, composeArguments(command, folder, file, ['up', '-d', '--remove-orphans']), env);
    if (gone !== '') throw await upFailed(folder, file, command, env, gone);
  }
  await untilUp(folder, files, env, say, command);
  return before.changes;
}

async function untilUp(folder: string, files: readonly string[], env: Env, say: Say, command: readonly string[]): Promise<void> {
  const until = Date.now() + upWithinMs;
  const told = new Set<string>();
  for (;;) {
    const { wanted, found } = await standing(folder, files, env);
    for (const want of wanted.filter((each) => isUp(each, found))) {
      const name = `${want.file} ${want.service}`;
      if (told.has(name)) continue;
      told.add(name);
      say(`${name}: ${want.once ? 'done' : 'ready'} (${told.size} of ${wanted.length})`);
    }
    if (told.size === wanted.length) return;
    if (Date.now() > until) {
      const waiting = wanted.filter(({ file, service }) => !told.has(`${file} ${service}`));
      throw await upFailed(folder, waiting[0]!.file, command, env, `not ready after ${upWithinMs / 60_000} min: ${waiting.map(({ service }) => service).join(', ')}`);
    }
    await pause(2_000);
  }
}

/** With the last lines of what is not up, so that a wrong secret or a full disk stands in the message. */
async function upFailed(folder: string, file: string, command: readonly string[], env: Env, why: string): Promise<DomainError> {
  const { wanted, found } = await standing(folder, [file], env);
  const down = wanted.filter((want) => !isUp(want, found)).map(({ service }) => service);
  const lines: string[] = [];
  for (const service of down.slice(0, 3)) {
    const args = composeArguments(command, folder, file, ['logs', '--no-color', '--tail', '5', service]);
    lines.push(`${service}:\n${await outputOf(command, args, env)}`);
  }
  return new DomainError(
    'UNAVAILABLE',
    `${file}: ${why.trim()}\n${lines.join('\n')}\nMend it and apply again: what is up stays as it is.`,
  );
}

/** @returns what went wrong; empty where nothing did */
async function runCompose(command: readonly string[], args: readonly string[], env: Env): Promise<string> {
  const { code, text } = await ended(command, args, env);
  return code === 0 ? '' : text.split('\n').filter((line) => line !== '').slice(-5).join('\n') || `ended by ${code}`;
}

async function outputOf(command: readonly string[], args: readonly string[], env: Env): Promise<string> {
  return (await ended(command, args, env)).text.trim();
}

async function ended(command: readonly string[], args: readonly string[], env: Env): Promise<{ code: number | string; text: string }> {
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
