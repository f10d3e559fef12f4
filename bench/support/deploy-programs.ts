import { spawn } from 'node:child_process';
import {
  chmodSync,
  constants,
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { homeEnvironment } from '../../config/environment.ts';
import { programMends } from '../../deploy/compose/host-parts.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { endWithUs, isExecutable, onPath } from '../../deploy/embedded/resolve.ts';

/** Programs that a host of a deployment has on its PATH, brought here where that is possible. */

/** As the Go module of `npm start` pins it. */
const serverVersion = '1.31.2';
export const temporalPrograms = {
  'temporal-server': 'go.temporal.io/server/cmd/server',
  'temporal-sql-tool': 'go.temporal.io/server/cmd/tools/sql',
} as const;

type Env = Readonly<Record<string, string | undefined>>;

/**
 * PATH with what lies beside it: Debian keeps the server of Postgres in a folder of its version, and Temporal's is built from its Go
 * module, once.
 * @param work a folder that everybody may pass through: parts run as another user, and root's cache is closed to that one
 */
export async function pathOfHost(env: Env, work: string, say: (text: string) => void): Promise<string> {
  const path = [env['PATH'] ?? '', ...debianPostgres()].join(delimiter);
  const lacks = Object.entries(temporalPrograms).filter(([name]) => onPath(name, { PATH: path }) === undefined);
  if (lacks.length === 0) return path;
  const folder = builtFolder(env);
  for (const [name, source] of lacks) {
    const file = join(folder, name);
    if (isExecutable(file)) continue;
    const go = onPath('go', env);
    if (go === undefined) return path;
    say(`building ${name} ${serverVersion} from its Go module, once`);
    await build(go, source, file, env);
  }
  if (isOpen(folder)) return [path, folder].join(delimiter);
  for (const name of Object.keys(temporalPrograms))
    copyFileSync(join(folder, name), join(work, name), constants.COPYFILE_FICLONE);
  return [path, work].join(delimiter);
}

const builtFolder = (env: Env) => join(homeEnvironment(env).cache, 'temporal-server', serverVersion);

/** One of Temporal's programs that was built before, or can be. */
export function canBring(name: string, env: Env): boolean {
  return isExecutable(join(builtFolder(env), name)) || onPath('go', env) !== undefined;
}

function isOpen(folder: string): boolean {
  return (statSync(folder).mode & 0o005) === 0o005 && (folder === dirname(folder) || isOpen(dirname(folder)));
}

/** The newest first. */
function debianPostgres(): string[] {
  const folder = '/usr/lib/postgresql';
  const majors = existsSync(folder) ? readdirSync(folder).toSorted((a, b) => Number(b) - Number(a)) : [];
  return majors.map((major) => join(folder, major, 'bin'));
}

async function build(go: string, source: string, file: string, env: Env): Promise<void> {
  const work = `${file}.build-${process.pid}`;
  cpSync(join(repositoryRoot, 'deploy/embedded/temporal-module'), work, { recursive: true });
  const fresh = join(work, 'built');
  const child = spawn(go, ['build', '-mod=mod', '-trimpath', '-o', fresh, source], {
    cwd: work,
    env: { ...env, GOTOOLCHAIN: 'auto', GOFLAGS: '-buildvcs=false', GOWORK: 'off' } as NodeJS.ProcessEnv,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  endWithUs(child);
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  if (code === 0) {
    chmodSync(fresh, 0o755);
    renameSync(fresh, file);
  }
  rmSync(work, { recursive: true, force: true });
  if (code !== 0) throw new Error(`go build ${source} ended with ${code ?? 'a signal'}`);
}

/** What a run of the parts needs and this host has not, each with what brings it. */
export function lackingForBoxes(env: Env): string[] {
  const own = {
    ip: 'apt-get install iproute2',
    nsenter: 'apt-get install util-linux',
    setpriv: 'apt-get install util-linux',
  };
  const lacks = Object.entries({ ...programMends, ...own }).filter(([name]) => onPath(name, env) === undefined);
  return [
    ...(process.getuid?.() === 0 ? [] : ['root (networks of their own are made)']),
    ...lacks.map(([name, mend]) => `${name} (${mend})`),
  ];
}
