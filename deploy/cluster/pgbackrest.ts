import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { ClusterPlace } from '../../config/cluster-place.ts';
import {
  damagedBackups,
  noteDamaged,
  readHistory,
  readRepository,
  type Repository,
  stanza,
  type TimelineHistory,
} from '../../domain/cluster-backups.ts';
import { DomainError, isDomainError } from '../../domain/errors.ts';
import { fullDisk } from '../backup/folders.ts';
import { readJson, writeDurably } from '../embedded/home.ts';
import { endWithUs } from '../embedded/resolve.ts';

/** Its numbers of errors, which it also ends with, that mean something to us. */
const lockTaken = 50;
const wrongKey = 95;
const otherCluster: readonly number[] = [28, 44, 51];
/** A checksum, a form or JSON that is wrong, a file that is missing: of what is stored, and not of the way to it. */
const wrongContent: readonly number[] = [26, 29, 55, 99];

export interface Pgbackrest {
  /** @throws in the words of our table, with what it has said */
  run(command: string, args?: readonly string[], of?: string): Promise<string>;
  /** @param repository another one than that of the settings */
  info(repository?: string): Promise<Repository>;
  /** Names of all files of changes that an archive has, each with when it came, in seconds. @param archiveId its folder */
  changes(archiveId: string): Promise<ReadonlyMap<string, number>>;
  /** Reads every backup and every file of changes to its last byte, and notes which backups are not whole. @throws BACKUP_DAMAGED with what is wrong of them, UNAVAILABLE where they could not be read */
  verify(): Promise<void>;
  /** Words by which Postgres fetches changes while it restores a folder. */
  restoreCommand(folder: string): string;
}

/** @param password of Postgres's superuser; absent: nothing is asked of a server */
export function openPgbackrest(place: ClusterPlace, { password }: { password?: string } = {}): Pgbackrest {
  const [program, ...words] = place.pgbackrest;
  const general = [`--stanza=${stanza}`];
  const run = (command: string, args: readonly string[] = [], of?: string) =>
    ended(program!, [...words, ...general, ...args, command, ...(of === undefined ? [] : [of])], command, {
      PATH: process.env['PATH'],
      // Never in arguments, which every process of the host may read.
      ...(password === undefined ? {} : { PGPASSWORD: password }),
    });
  /** A restore that goes on leaves a file behind that says where it parted. */
  async function newestHistory(archiveId: string | undefined, from: string[]): Promise<TimelineHistory | undefined> {
    if (archiveId === undefined) return undefined;
    const folder = `archive/${stanza}/${archiveId}`;
    const names = (await run('repo-ls', ['--filter=[.]history$', ...from], folder)).split('\n');
    const newest = names
      .filter((name) => /^[0-9A-F]{8}\.history$/.test(name))
      .toSorted()
      .at(-1);
    if (newest === undefined) return undefined;
    return readHistory(newest, await run('repo-get', from, `${folder}/${newest}`));
  }
  return {
    run,
    async info(repository) {
      const from = repository === undefined ? [] : [`--repo1-path=${repository}`];
      const read = readRepository(await run('info', ['--output=json', ...from]));
      // Notes are of the files here, and do not go with a copy of them.
      const backups = repository === undefined ? noteDamaged(read.backups, readDamaged(place)) : read.backups;
      return { ...read, backups, history: await newestHistory(read.archiveId, from) };
    },
    async changes(archiveId) {
      const filter = ['--recurse', '--filter=[0-9A-F]{24}-[0-9a-f]{40}', '--output=json'];
      const said = await run('repo-ls', filter, `archive/${stanza}/${archiveId}`);
      const files = z.record(z.string(), z.object({ time: z.number() })).parse(JSON.parse(said));
      return new Map(Object.entries(files).map(([path, { time }]) => [path.split('/').at(-1)!.slice(0, 24), time]));
    },
    async verify() {
      const said = await run('verify', ['--output=text']).catch(async (err: unknown) => {
        if (!isDomainError(err, 'BACKUP_KEY_WRONG')) throw err;
        // Where the passphrase opens the list of backups, it is the file that does not open which is wrong.
        readRepository(await run('info', ['--output=json']));
        throw new DomainError('BACKUP_DAMAGED', err.message, { cause: err });
      });
      const isWhole = !/^status: error/m.test(said);
      const damaged = damagedBackups(said);
      // Where changes alone are wrong, or nothing could be opened, it says nothing of backups.
      if (isWhole || damaged.length > 0) writeDamaged(place, damaged);
      if (!isWhole)
        throw new DomainError(
          'BACKUP_DAMAGED',
          `the repository is not whole: ${said
            .trim()
            .split(/\s*\n\s*/)
            .join('; ')}`,
        );
    },
    restoreCommand(folder) {
      const line = [...place.pgbackrest, ...general, `--pg1-path=${folder}`, 'archive-get', '%f'];
      // A shell reads it: the kit refuses folders with other characters.
      const odd = line.find((word) => !/^[\w./=%:@+-]+$/.test(word));
      if (odd !== undefined)
        throw new DomainError('CONFLICT', `${odd} has characters that a shell would read: choose another folder`);
      return `${line.join(' ')} "%p"`;
    },
  };
}

function ended(
  program: string,
  args: readonly string[],
  command: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: env as NodeJS.ProcessEnv, stdio: ['ignore', 'pipe', 'pipe'] });
    endWithUs(child);
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err = (err + text).slice(-8_000)));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(out);
      reject(faultOf(command, code ?? signal ?? 'nothing', err));
    });
  });
}

function faultOf(command: string, code: number | string, said: string): unknown {
  // Each line has its level before it; the rest of a message follows indented.
  const at = said.lastIndexOf('ERROR:');
  const words = (at < 0 ? said : said.slice(at)).trim().split(/\s+/).join(' ').slice(0, 1_000);
  const message = `pgbackrest ${command}: ${words === '' ? `ended by ${code}` : words}`;
  const full = fullDisk(new Error(message));
  if (full instanceof DomainError) return full;
  if (code === lockTaken)
    return new DomainError('UNAVAILABLE', `another backup of this cluster is being made (${message})`);
  if (typeof code === 'number' && otherCluster.includes(code))
    return new DomainError('CONFLICT', `the repository is of another cluster: ${message}`);
  // What cannot be unpacked ends it with an error of its own.
  if (command === 'verify' && typeof code === 'number' && wrongContent.includes(code))
    return new DomainError('BACKUP_DAMAGED', message);
  if (code === wrongKey || /CryptoError/.test(words)) return new DomainError('BACKUP_KEY_WRONG', message);
  return new DomainError('UNAVAILABLE', message);
}

export const repositoryOf = (place: ClusterPlace) => join(place.backup, 'repo');

/** Labels of the backups that were not whole when they were last read: pgBackRest itself keeps nothing of that. */
const damagedIn = (place: ClusterPlace) => join(repositoryOf(place), 'damaged.json');
const readDamaged = (place: ClusterPlace) => readJson<string[]>(damagedIn(place)) ?? [];

function writeDamaged(place: ClusterPlace, labels: readonly string[]): void {
  if (labels.length === 0) rmSync(damagedIn(place), { force: true });
  else writeDurably(damagedIn(place), `${JSON.stringify(labels)}\n`, 0o600);
}
