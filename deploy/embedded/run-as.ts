import { execFileSync } from 'node:child_process';
import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Env } from './home.ts';
import { onPath } from './resolve.ts';

/** Postgres refuses to run as root, so under root it runs as a user of its own. */
export interface RunAs {
  uid: number;
  gid: number;
  /** The user cannot walk to the checkout (often /root): it keeps the one capability that lets it pass. */
  mayPass: boolean;
}

const userName = 'postgres';

/** undefined: not root, nothing to change. Creates the user where there is none. */
export function postgresUser(env: Env, folders: readonly string[]): RunAs | undefined {
  if (process.getuid?.() !== 0) return undefined;
  let ids = idsOf(userName);
  if (ids === undefined) {
    execFileSync(
      'useradd',
      ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', userName],
      { stdio: 'pipe' },
    );
    ids = idsOf(userName);
  }
  if (ids === undefined)
    throw new Error(`running as root, and a user ${userName} could not be created; run as another user`);
  const { uid, gid } = ids;
  const closed = folders.find((folder) => !canReach(folder, uid, gid));
  if (closed !== undefined && !hasSetpriv(env)) {
    throw new Error(
      `the user ${userName} cannot reach ${closed}; clone somewhere else than under a closed home, or run as another user`,
    );
  }
  return { uid, gid, mayPass: closed !== undefined };
}

function idsOf(name: string): { uid: number; gid: number } | undefined {
  try {
    const id = (flag: string) =>
      Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
    return { uid: id('-u'), gid: id('-g') };
  } catch (err) {
    if (typeof (err as { status?: unknown }).status === 'number') return undefined;
    throw err;
  }
}

function canReach(folder: string, uid: number, gid: number): boolean {
  for (let at = realpathSync(folder); ; at = dirname(at)) {
    const { mode, uid: owner, gid: group } = statSync(at);
    const bit = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

let setpriv: { path: string; deathSignal: boolean } | null | undefined;

function findSetpriv(env: Env): { path: string; deathSignal: boolean } | null {
  if (setpriv === undefined) {
    const path = process.platform === 'linux' ? onPath('setpriv', env) : undefined;
    const help = path === undefined ? '' : execFileSync(path, ['--help'], { encoding: 'utf8' });
    setpriv =
      path !== undefined && help.includes('--ambient-caps')
        ? { path, deathSignal: help.includes('--pdeathsig') }
        : null;
  }
  return setpriv;
}

function hasSetpriv(env: Env): boolean {
  return findSetpriv(env) !== null;
}

/**
 * The command line that runs `command` as that user and, where Linux can do it, gets `signal` when we die by SIGKILL:
 * nothing is left behind even then. Elsewhere the next start ends what it finds recorded.
 */
export function launchLine(
  command: string,
  args: readonly string[],
  options: { env: Env; runAs: RunAs | undefined; signal: NodeJS.Signals | undefined },
): { command: string; args: string[]; uid?: number; gid?: number } {
  const { runAs } = options;
  const wrap = findSetpriv(options.env);
  const flags: string[] = [];
  if (wrap?.deathSignal && options.signal !== undefined) flags.push('--pdeathsig', options.signal.replace(/^SIG/, ''));
  if (wrap && runAs) {
    flags.push('--reuid', String(runAs.uid), '--regid', String(runAs.gid), '--clear-groups');
    if (runAs.mayPass) flags.push('--inh-caps', '+dac_override', '--ambient-caps', '+dac_override');
  }
  if (wrap && flags.length > 0) return { command: wrap.path, args: [...flags, '--', command, ...args] };
  return { command, args: [...args], ...(runAs ? { uid: runAs.uid, gid: runAs.gid } : {}) };
}
