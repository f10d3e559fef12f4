import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Env } from './home.ts';
import { isExecutable, output } from './resolve.ts';
import type { Step } from './screen.ts';

const packages = ['redis-server', 'redis-tools'];
const limitMs = 180_000;

export interface UnpackedRedis {
  binary: string;
  libraries: string;
}

export function installedDebianRedis(folder: string): UnpackedRedis | undefined {
  const binary = join(folder, 'root', 'usr', 'bin', 'redis-server');
  return isExecutable(binary) ? { binary, libraries: libraryFolders(join(folder, 'root')) } : undefined;
}

/** Debian's and Ubuntu's own package, unpacked beside the data: no root, nothing installed. */
export async function unpackDebianRedis(folder: string, env: Env, step: Step): Promise<UnpackedRedis> {
  const work = `${folder}.new`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, 'debs'), { recursive: true });
  const apt = await packageLists(work, env, step);
  const why = 'downloading the Debian package, since none is on PATH';
  const total = packages.length + 1;
  for (const [i, name] of packages.entries()) {
    step.progress(`${why}: ${name}`, i / total);
    await fetchAndUnpack(work, [name], apt, env);
  }
  const missing = await missingLibraries(work, env);
  if (missing.length > 0) {
    const names = await libraryPackages(apt, env);
    step.progress(`${why}: ${names.length} libraries for ${missing.join(', ')}`, packages.length / total);
    await fetchAndUnpack(work, names, apt, env);
    const still = await missingLibraries(work, env);
    if (still.length > 0) throw new Error(`no package brought ${still.join(', ')}`);
  }
  rmSync(join(work, 'debs'), { recursive: true });
  rmSync(join(work, 'apt'), { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
  renameSync(work, folder);
  const found = installedDebianRedis(folder);
  if (found === undefined) throw new Error('the package holds no redis-server');
  return found;
}

/** The host's package lists if it has them, else lists of our own, which need no root. */
async function packageLists(work: string, env: Env, step: Step): Promise<string[]> {
  const sandbox = process.getuid?.() === 0 ? ['-o', 'APT::Sandbox::User=root'] : [];
  const policy = await output('apt-cache', ['policy', 'redis-tools'], {
    env: { ...env, LC_ALL: 'C' },
    timeoutMs: limitMs,
  });
  if (/Candidate: (?!\(none\))/.test(policy)) {
    const works = await output('apt-get', [...sandbox, 'download', '--print-uris', 'redis-tools'], {
      cwd: work,
      env,
      timeoutMs: limitMs,
    }).then(
      () => true,
      () => false,
    );
    if (works && !(await isStale(work, sandbox, env))) return sandbox;
  }
  step.progress("fetching Debian's package lists");
  const own = join(work, 'apt');
  for (const part of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(own, part), { recursive: true });
  const apt = [
    ...sandbox,
    '-o',
    `Dir::State::Lists=${join(own, 'lists')}`,
    '-o',
    `Dir::Cache=${join(own, 'cache')}`,
    '-o',
    'Debug::NoLocking=1',
  ];
  await output('apt-get', [...apt, 'update'], { env, timeoutMs: limitMs });
  return apt;
}

/** Lists older than the archive name versions that are no longer there: one small download tells. */
async function isStale(work: string, apt: string[], env: Env): Promise<boolean> {
  return output('apt-get', [...apt, 'download', 'redis-server'], {
    cwd: join(work, 'debs'),
    env,
    timeoutMs: limitMs,
  }).then(
    () => false,
    () => true,
  );
}

async function fetchAndUnpack(work: string, names: readonly string[], apt: readonly string[], env: Env): Promise<void> {
  const debs = join(work, 'debs');
  await output('apt-get', [...apt, 'download', ...names], { cwd: debs, env, timeoutMs: limitMs });
  for (const file of readdirSync(debs)) {
    await output('dpkg-deb', ['-x', join(debs, file), join(work, 'root')], { env, timeoutMs: limitMs });
    rmSync(join(debs, file));
  }
}

async function missingLibraries(work: string, env: Env): Promise<string[]> {
  const root = join(work, 'root');
  const listed = await output('ldd', [join(root, 'usr', 'bin', 'redis-server')], {
    env: { ...env, LC_ALL: 'C', LD_LIBRARY_PATH: libraryFolders(root) },
    timeoutMs: limitMs,
  });
  return [...listed.matchAll(/^\s*(\S+) => not found/gm)].map((match) => match[1] ?? '');
}

/** Every library that redis-tools depends on, however far, and that this host lacks. */
async function libraryPackages(apt: readonly string[], env: Env): Promise<string[]> {
  const only = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map((kind) => `--no-${kind}`);
  const listed = await output('apt-cache', [...apt, 'depends', '--recurse', ...only, 'redis-tools'], {
    env: { ...env, LC_ALL: 'C' },
    timeoutMs: limitMs,
  });
  const names = [...new Set(listed.split('\n').filter((line) => /^lib[a-z0-9.+-]+$/.test(line)))];
  const missing: string[] = [];
  for (const name of names) {
    const state = await output('dpkg-query', ['-W', '-f', '${Status}', name], { env, timeoutMs: limitMs }).catch(
      () => 'not installed',
    );
    if (!state.startsWith('install ok')) missing.push(name);
  }
  return missing;
}

function libraryFolders(root: string): string {
  const folders = ['usr/lib', 'lib'].flatMap((folder) => {
    const base = join(root, folder);
    if (!existsSync(base)) return [];
    return [
      base,
      ...readdirSync(base)
        .filter((name) => name.includes('-linux-gnu'))
        .map((name) => join(base, name)),
    ];
  });
  return folders.join(':');
}
