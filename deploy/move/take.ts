import { chownSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { type BackupHead, backupFormat, backupIdOf, type BackupManifest } from '../../domain/backups.ts';
import { DomainError } from '../../domain/errors.ts';
import { reflectScheduleId } from '../../domain/ids.ts';
import type { WayToGoOn } from '../../domain/fleet-move.ts';
import { openBackupLog } from '../../stores/backup-log.ts';
import { openSnapshot } from '../../stores/database-copy.ts';
import { compareFile, readArchive, writeArchive } from '../backup/archive.ts';
import { addRows, type Progress } from '../backup/create.ts';
import { fullDisk, mustOwn, needRoom, sizeOf, syncFolder } from '../backup/folders.ts';
import { equalWords } from '../backup/scratch.ts';
import type { Seal } from '../backup/seal.ts';
import { type Env, type Home, openHome, readJson } from '../embedded/home.ts';
import { endLeftovers, recordParts } from '../embedded/leftovers.ts';
import { recordMoved, refuseMoved } from '../embedded/moved.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';
import { createParts, type Parts } from '../embedded/parts.ts';
import { freePort } from '../embedded/ports.ts';
import { postgresUrl, preparePostgres, resolvePostgres } from '../embedded/postgres.ts';
import type { Secrets } from '../embedded/secrets.ts';
import { appStamp, readStamp, refuseNewerData } from '../embedded/version.ts';
import { readOpenWorkflows } from './open-workflows.ts';

/** A fleet that `npm start` ran, taken along as one archive: its rows, and what its Temporal was at. What it was taken from stays. */

export interface TakeOptions {
  /** Data folder of a fleet that does not run. */
  from: string;
  /** File that is to be; one that is there gives way once the new one is whole. */
  archive: string;
  /** Folder of the deployment where the fleet goes, for who starts the old one again. */
  to: string;
  /** Whose the archive is to be; left out: of who asks. */
  owner?: { uid: number; gid: number };
  seal: Seal;
  env: Env;
  /** Schedules that a person has paused would run again, since a new Temporal knows nothing of it. */
  resumeSchedules: boolean;
  /** `schedules.paused` of fleet.yaml: reflections begin paused where the fleet goes, too. */
  pausedByFile: boolean;
  progress: Progress;
}

export interface Taken {
  id: string;
  madeAt: string;
  tables: number;
  rows: number;
  ledger: BackupManifest['ledger'];
  /** Of what was under way, how many go on in which way. */
  underWay: Record<WayToGoOn, number>;
  /** Schedules that will run, and were paused. */
  resumed: string[];
}

/** @throws CONFLICT where it runs, has servers of others, is of another version, or holds what cannot go on */
export async function takeHome(options: TakeOptions): Promise<Taken> {
  const { from, archive, to, env, progress } = options;
  refuseMoved(from, { endedIn: to });
  const home = openedHome(from, env);
  await endLeftovers(home);
  // From here on a start finds that somebody is at it.
  recordParts(home, []);
  const spool = home.path('run', 'move');
  rmSync(spool, { recursive: true, force: true });
  const parts = createParts({ home, onEvent: () => undefined, onFailed: () => undefined });
  try {
    const open = await readOpenWorkflows({ home, parts, spool, env, progress });
    const paused = open.paused.filter((id) => !(options.pausedByFile && id.startsWith(reflectScheduleId(''))));
    if (paused.length > 0 && !options.resumeSchedules)
      throw new DomainError(
        'CONFLICT',
        `Schedules are paused, and would run in the new Temporal, which does not know it: ${paused.join(', ')}. If they may, say --resume-schedules`,
      );
    const url = await startPostgres(home, parts, env);
    mkdirSync(dirname(archive), { recursive: true });
    const part = `${archive}.part`;
    rmSync(part, { force: true });
    const manifest = await write({ ...options, archive: part }, url, open.asked);
    if (options.owner !== undefined) chownSync(part, options.owner.uid, options.owner.gid);
    const { id, madeAt } = manifest;
    // Before the archive has its place: at no moment may both be started, since two of a fleet would post and pay twice.
    recordMoved(from, { id, to, at: madeAt, whole: false });
    renameSync(part, archive);
    syncFolder(dirname(archive));
    recordMoved(from, { id, to, at: madeAt, whole: true });
    return { id, madeAt, ...equalWords(manifest), underWay: open.counts, resumed: paused };
  } catch (err) {
    throw fullDisk(err);
  } finally {
    await parts.stopAll();
    rmSync(spool, { recursive: true, force: true });
    rmSync(home.path('run', 'parts.json'), { force: true });
  }
}

function openedHome(from: string, env: Env): Home {
  if (!existsSync(`${from}/secrets.json`))
    throw new DomainError('NOT_FOUND', `${from} is no data folder of \`npm start\`: it has no secrets.json`);
  mustOwn(from);
  const home = openHome({ ...env, SOULFRA_HOME: from }, '/');
  const stamp = readStamp(home);
  if (stamp === undefined)
    throw new DomainError('CONFLICT', `${from} holds no fleet: its first start did not come to its end`);
  if (stamp.postgresMajor === null || stamp.temporal === null)
    throw new DomainError(
      'CONFLICT',
      'Postgres or Temporal of this fleet are servers of your own (DATABASE_URL, TEMPORAL_ADDRESS): they need no move',
    );
  const ours = appStamp(repositoryRoot);
  refuseNewerData(stamp, ours);
  if (stamp.schema < ours.schema)
    throw new DomainError(
      'CONFLICT',
      `${from} was last run by Soulfra ${stamp.app}, with an older schema: \`npm start\` once with this version, stop it, and move it then`,
    );
  return home;
}

async function startPostgres(home: Home, parts: Parts, env: Env): Promise<string> {
  const { found } = await resolvePostgres({ ...env, DATABASE_URL: undefined });
  if ('url' in found) throw new Error('a stopped fleet has a Postgres of its own');
  const { postgresPassword: password } = readJson<Secrets>(home.path('secrets.json'))!;
  const at = { port: await freePort(), password };
  await parts.start(await preparePostgres({ binaries: found, folder: home.path('postgres'), env, ...at }));
  return postgresUrl({ ...at, database: 'soulfra' });
}

async function write(
  { archive, seal, progress }: TakeOptions,
  url: string,
  workflows: unknown[],
): Promise<BackupManifest> {
  const log = await openBackupLog(url);
  const snapshot = await openSnapshot(url);
  try {
    const [origin, now] = [await log.origin(), await log.now()];
    await snapshot.take();
    const { migrations, major, bytes } = await snapshot.head();
    needRoom(dirname(archive), bytes, 'the fleet that moves');
    const { app } = appStamp(repositoryRoot);
    const head: BackupHead = {
      format: backupFormat,
      id: backupIdOf(now),
      madeAt: now,
      origin,
      app,
      migrations,
      postgresMajor: major,
      temporal: '',
    };
    const written = await writeArchive(archive, seal, head, async (add) => {
      await add('workflows.json', Buffer.from(JSON.stringify(workflows)));
      return addRows(add, { snapshot, bytes, progress });
    });
    progress('reading it back');
    await compareFile(archive, { bytes: sizeOf(archive), sha256: written.sha256 });
    return await readArchive(archive, seal);
  } finally {
    await snapshot.end();
    await log.end();
  }
}
