import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import { writeText } from '../embedded/home.ts';
import { backupImageOf } from './images.ts';
import type { KitFiles } from './kit.ts';
import { type GivenSecrets, makeOnce, type Owner, ownerOfParts } from './made-once.ts';

/** The folder on disk: what a new one would have, and how the old one becomes it, whole or not at all. */

const manifestName = '.kit.json';
/** Says which files are the kit's, so that one that is no longer of it goes, and one of the owner's stays. */
interface Manifest {
  files: Record<string, string>;
}

export interface FileChange {
  path: string;
  action: 'create' | 'change' | 'remove';
  /** What is there is not what the kit wrote. */
  byHand?: true;
}

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);

function readManifest(folder: string): Manifest {
  const text = readIfThere(join(folder, manifestName));
  return text === undefined ? { files: {} } : (JSON.parse(text) as Manifest);
}

/** What `writeFolder` would change of files that are made of fleet.yaml. */
export function fileChanges(folder: string, files: KitFiles): FileChange[] {
  const before = readManifest(folder).files;
  const changes = [...files].flatMap(([path, text]): FileChange[] => {
    const there = readIfThere(join(folder, path));
    if (there === text) return [];
    if (there === undefined) return [{ path, action: 'create' }];
    return [{ path, action: 'change', ...(hashOf(there) === before[path] ? {} : { byHand: true as const }) }];
  });
  const gone = Object.keys(before).filter((path) => !files.has(path) && existsSync(join(folder, path)));
  return [...changes, ...gone.map((path): FileChange => ({ path, action: 'remove' }))];
}

/** What Postgres, a worker or a model server takes at most, unless `.env` says otherwise. */
const mostCpus = 8;

const cpusLine = /^SOULFRA_CPUS=(.*)$/m;
const cpusOfLine = /^SOULFRA_CPUS_OF=(.*)$/m;

/**
 * `.env` of a host that has so many CPUs, where it allows more: Docker refuses that. One that was brought from another machine says how
 * many that one has.
 */
export function fittedCpus(text: string, there: number, machine: string): string {
  const allowed = Number(cpusLine.exec(text)?.[1] ?? Number.NaN);
  const of = cpusOfLine.exec(text)?.[1] ?? machine;
  if (of === machine && allowed <= there) return text;
  const cpus = withLine(text, cpusLine, `SOULFRA_CPUS=${Math.min(mostCpus, there)}`);
  return withLine(cpus, cpusOfLine, `SOULFRA_CPUS_OF=${machine}`);
}

function withLine(text: string, is: RegExp, line: string): string {
  return is.test(text) ? text.replace(is, line) : `${text}${line}\n`;
}

/**
 * Whether what is mounted below a folder later on can be seen in a container that has it, by /proc/self/mountinfo: Docker starts none
 * that is promised so where the host keeps its mounts to itself.
 */
export function handsMountsOn(folder: string, mounts: string): boolean {
  const holds = (at: string) => at === '/' || folder === at || folder.startsWith(`${at}/`);
  // Of two at one place the later one is on top.
  const at = mounts
    .split('\n')
    .map((line) => line.split(' - ')[0]!.split(' '))
    .filter(([, , , , place]) => place !== undefined && holds(place.replaceAll('\\040', ' ')))
    .reduce<string[]>((top, each) => (each[4]!.length >= (top[4] ?? '').length ? each : top), []);
  return at.slice(6).some((word) => /^(shared|master):/.test(word));
}

/**
 * Lines of `.env` that its owner may change; what is missing is added, the image is ours.
 * @param here the machine, and the folder of its second copy
 */
export function environmentText(
  before: string | undefined,
  image: string,
  { machine = '', second = '/' }: { machine?: string; second?: string | undefined } = {},
): string {
  const { uid, gid } = ownerOfParts();
  const wanted: Record<string, string> = {
    SOULFRA_IMAGE: image,
    SOULFRA_BACKUP_IMAGE: backupImageOf(image),
    SOULFRA_UID: String(uid),
    SOULFRA_GID: String(gid),
    SOULFRA_CPUS: String(Math.min(mostCpus, availableParallelism())),
    SOULFRA_CPUS_OF: machine,
    SOULFRA_MOUNTS: handsMountsOn(second, readIfThere('/proc/self/mountinfo') ?? '') ? 'rslave' : 'rprivate',
    SOULFRA_REGISTRY: '',
    COMPOSE_PROFILES: 'observability',
    DOCKER_ROOT: '/var/lib/docker',
  };
  const there = new Map(
    (before ?? '').split('\n').flatMap((line) => {
      const found = /^([A-Z_]+)=(.*)$/.exec(line);
      return found === null ? [] : [[found[1]!, found[2]!] as const];
    }),
  );
  const head =
    '# Made by `soulfra deploy init`. What you change here stays; SOULFRA_IMAGE and SOULFRA_BACKUP_IMAGE follow the version. No secrets.';
  const ours = ['SOULFRA_IMAGE', 'SOULFRA_BACKUP_IMAGE'];
  const own = [...there].filter(([name]) => wanted[name] === undefined);
  const lines = [
    ...Object.entries(wanted).map(
      ([name, usual]) => `${name}=${ours.includes(name) ? usual : (there.get(name) ?? usual)}`,
    ),
    ...own.map(([name, value]) => `${name}=${value}`),
  ];
  return `${head}\n${lines.join('\n')}\n`;
}

export interface Written {
  changes: FileChange[];
  /** Secrets and certificates that were not there, or were due. */
  made: string[];
}

/**
 * Everything is written beside the folder first and only then renamed into it: a full disk, or a kill, leaves what was there.
 * @param own files that are their owner's once they are there
 */
export async function writeFolder(
  folder: string,
  site: DeploySite,
  files: KitFiles,
  own: KitFiles,
  image: string,
  owner: Owner = ownerOfParts(),
  given: GivenSecrets = {},
): Promise<Written> {
  const beside = `${folder}.new-${process.pid}`;
  try {
    mkdirSync(dirname(folder), { recursive: true });
    // Of a run that was killed.
    for (const stale of readdirSync(dirname(folder)))
      if (stale.startsWith(`${basename(folder)}.new-`) && /^\d+$/.test(stale.slice(basename(folder).length + 5)))
        rmSync(join(dirname(folder), stale), { recursive: true, force: true });
    const changes = fileChanges(folder, files);
    const made = await makeOnce(site, beside, folder, owner, given);
    const kept = [...own].filter(([path]) => !existsSync(join(folder, path)));
    const all = new Map([
      ...files,
      ...kept,
      [
        '.env',
        environmentText(readIfThere(join(folder, '.env')), image, {
          machine: site.coordination.id,
          second: site.fleet.backup.to,
        }),
      ],
      ['.gitignore', '*\n'],
      [
        manifestName,
        `${JSON.stringify({ files: Object.fromEntries([...files].map(([path, text]) => [path, hashOf(text)])) }, null, 2)}\n`,
      ],
    ]);
    for (const [path, text] of all) {
      mkdirSync(dirname(join(beside, path)), { recursive: true });
      writeText(join(beside, path), text, path.endsWith('.sh') ? 0o755 : 0o644);
    }
    if (existsSync(folder)) {
      for (const path of pathsIn(beside)) {
        mkdirSync(dirname(join(folder, path)), { recursive: true });
        // What is the same stays the very file: who watches a certificate takes another file for a renewal. The manifest comes
        // last: cut off before it, the next run does the same again.
        if (path !== manifestName && !isSame(join(beside, path), join(folder, path)))
          renameSync(join(beside, path), join(folder, path));
      }
      for (const { path, action } of changes) if (action === 'remove') rmSync(join(folder, path), { force: true });
      renameSync(join(beside, manifestName), join(folder, manifestName));
    } else renameSync(beside, folder);
    chmodSync(join(folder, 'authority'), 0o700);
    chmodSync(join(folder, 'secrets'), 0o711);
    return { changes, made };
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOSPC')
      throw new DomainError(
        'UNAVAILABLE',
        `the disk of ${folder} is full, nothing was changed: make room (df -h ${dirname(folder)}), then run it again`,
        { cause: err },
      );
    throw err;
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
}

function isSame(made: string, there: string): boolean {
  if (!existsSync(there) || !readFileSync(made).equals(readFileSync(there))) return false;
  const [a, b] = [statSync(made), statSync(there)];
  return a.mode === b.mode && a.uid === b.uid;
}

/** Free bytes where a folder lies, or will lie. */
export function freeBytes(folder: string): number {
  let at = folder;
  while (!existsSync(at)) at = dirname(at);
  const { bavail, bsize } = statfsSync(at);
  return bavail * bsize;
}

function pathsIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

export function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw err;
  }
}
