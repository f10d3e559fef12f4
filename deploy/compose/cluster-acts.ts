import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { DomainError, isErrorCode } from '../../domain/errors.ts';
import { endWithUs, output } from '../embedded/resolve.ts';
import { composeArguments, composeCommand, containersOf } from './containers.ts';
import { type promotedFile, standbyFile } from './kit.ts';
import type { Owner } from './made-once.ts';

/** Backups and restores of a deployment, asked for on its coordinating machine. What makes them runs beside the data. */

export const clusterActs = ['backup', 'backups', 'verify', 'drill', 'restore'] as const;
export type ClusterAct = (typeof clusterActs)[number];

type Env = Readonly<Record<string, string | undefined>>;
type Say = (text: string) => void;
const program = 'deploy/cluster/main.ts';
/** What the program calls them. */
const words: Readonly<Record<ClusterAct, string>> = {
  backup: 'create',
  backups: 'list',
  verify: 'verify',
  drill: 'drill',
  restore: 'restore',
};

export interface ActOnCluster {
  act: ClusterAct;
  /** With the servers of this machine: that of the coordinating one, or of a standby that was promoted. */
  file: 'coordination.yaml' | typeof promotedFile;
  args: readonly string[];
  folder: string;
  env: Env;
  say: Say;
}

/** By the container that makes backups; while all stands still, by one for this alone. */
export async function actInContainers({ act, file, args, folder, env, say }: ActOnCluster): Promise<unknown> {
  const command = await composeCommand(env);
  if (act === 'restore') {
    const files = ['coordination.yaml', standbyFile];
    const found = (await Promise.all(files.map((each) => containersOf(each, env)))).flat();
    const up = found.filter(({ state }) => state === 'running').map(({ service }) => service);
    const down = `${command.join(' ')} --project-directory ${folder} -f ${folder}/${file} down`;
    if (up.length > 0) throw fleetRuns(up, down);
    // On a new box they are made by this, and are root's until then.
    const own = composeArguments(command, folder, file, ['run', '--rm', '--no-deps', '-T', 'volumes']);
    await output(command[0]!, own, { env, timeoutMs: 5 * 60_000 });
  }
  const inside = ['node', program, words[act], ...args];
  const how = act === 'restore' ? ['run', '--rm', '--no-deps', '-T', 'restore'] : ['exec', '-T', 'backup'];
  const line = composeArguments(command, folder, file, [...how, ...inside]);
  return told(command[0]!, line, { env }, say);
}

/** @param as whose the data is @param running units of this machine that are not at rest */
export async function actOnHost(
  { act, args, say }: ActOnCluster,
  as: { owner: Owner; environment: Env; root: string; node: string; running: readonly string[] },
): Promise<unknown> {
  if (act === 'restore' && as.running.length > 0) throw fleetRuns(as.running, `systemctl stop ${as.running.join(' ')}`);
  const asOwner = process.getuid?.() === 0 ? { uid: as.owner.uid, gid: as.owner.gid } : {};
  const line = [`${as.root}/${program}`, words[act], ...args];
  return told(as.node, line, { env: as.environment, cwd: as.root, ...asOwner }, say);
}

function fleetRuns(parts: readonly string[], mend: string): DomainError {
  return new DomainError(
    'CONFLICT',
    `nothing was restored: ${parts.join(', ')} still ${parts.length === 1 ? 'runs' : 'run'} here. Stop the workers of the other machines too, then: ${mend}`,
  );
}

type Line = { progress: string } | { result: unknown } | { failed: { code: string; message: string } };

/** Says on what the program says, and ends as it does. */
async function told(
  command: string,
  args: readonly string[],
  options: { env: Env; cwd?: string; uid?: number; gid?: number },
  say: Say,
): Promise<unknown> {
  const child = spawn(command, args, {
    ...options,
    env: options.env as NodeJS.ProcessEnv,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endWithUs(child);
  let trouble = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (trouble = (trouble + text).slice(-4_000)));
  const gone = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal ?? `code ${code}`));
  });
  gone.catch(() => undefined);
  let last: Line | undefined;
  for await (const text of createInterface({ input: child.stdout })) {
    // Compose may say things of its own.
    if (!text.startsWith('{')) continue;
    last = JSON.parse(text) as Line;
    if ('progress' in last) say(last.progress);
  }
  const how = await gone;
  if (last !== undefined && 'result' in last) return last.result;
  if (last !== undefined && 'failed' in last) {
    const { code, message } = last.failed;
    throw new DomainError(isErrorCode(code) ? code : 'INTERNAL', message, { cause: trouble || undefined });
  }
  throw new DomainError('UNAVAILABLE', `it ended by ${how}${trouble === '' ? '' : `: ${trouble.trim()}`}`);
}
