import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../deploy/embedded/ports.ts';
import { ensureDatabase, postgresUrl, resolvePostgres } from '../../deploy/embedded/postgres.ts';
import { launchLine, postgresUser } from '../../deploy/embedded/run-as.ts';
import { creditsGranted } from '../../domain/postings.ts';
import { restoredFigures } from '../../stores/cluster-backups.ts';
import { createDatabase } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { postTransfers } from '../../stores/ledger.ts';
import { migrate } from '../../stores/migrate.ts';
import { type BackupStage, openBackupStage } from '../support/backup-stage.ts';
import { lacksClusterPrograms, openClusterFleet } from '../support/cluster-fleet.ts';
import { lacks } from '../support/not-run.ts';

/** A data folder of an older major of Postgres, Debian's, goes on with the one of our package by a backup and a restore. */

const folder = '/usr/lib/postgresql';
const ours = 18;
const older = (existsSync(folder) ? readdirSync(folder) : [])
  .map(Number)
  .filter((major) => major < ours && existsSync(join(folder, String(major), 'bin/initdb')))
  .toSorted((a, b) => b - a)
  .at(0);
const notHere = lacks(
  {
    test: 'a new major of Postgres',
    needs: `a Postgres older than ${ours}`,
    command: 'apt-get install postgresql (Debian 12 or 13)',
  },
  older !== undefined,
);
const owner = 'usr_owner';
const program = (name: string) => join(folder, String(older), 'bin', name);

test.skipIf(notHere || lacksClusterPrograms('a new major of Postgres in a deployment'))(
  'a deployment takes its rows to a new major by a dump, as docs/backup.md says',
  async () => {
    const stage = await openClusterFleet();
    try {
      const before = await restoredFigures(stage.url('soulfra'));
      const socket = ['-h', stage.data('run'), '-p', String(stage.site.ports.postgres), '-U', 'postgres'];
      const dump = (name: string) => stage.data('backup', `${name}.dump`);
      const databases = ['soulfra', 'temporal', 'temporal_visibility'];
      for (const name of databases) await stage.runAs(program('pg_dump'), ...socket, '-Fc', '-f', dump(name), name);
      await stage.stop();
      renameSync(stage.data('postgres/main'), stage.data('postgres', `main.before-${ours}`));
      const { found } = await resolvePostgres({});
      if (!('postgres' in found)) throw new Error('there is no Postgres of our package');
      await stage.initWith(dirname(found.postgres));
      await stage.start();
      for (const name of databases)
        await stage.runAs(
          program('pg_restore'),
          ...socket,
          '-d',
          name,
          '--clean',
          '--if-exists',
          '--exit-on-error',
          dump(name),
        );
      expect(await restoredFigures(stage.url('soulfra'))).toEqual(before);
      expect(await stage.executions()).toEqual(['first']);
      // Its role may write as it did.
      await stage.grant('second');
      expect(await stage.reasons()).toEqual(['first', 'second']);
      expect(await stage.query(`select current_setting('server_version_num')::int / 10000 as major`)).toEqual([
        { major: ours },
      ]);
    } finally {
      await stage.close();
    }
  },
  180_000,
);

describe.skipIf(notHere)('a new major of Postgres', () => {
  let stage: BackupStage;
  beforeAll(async () => {
    stage = await openBackupStage();
  });
  afterAll(() => stage?.close());

  const words = (name: string, args: string[]) => {
    const runAs = postgresUser(process.env, [stage.folder]);
    const {
      command,
      args: all,
      ...as
    } = launchLine(program(name), args, { env: process.env, runAs, signal: 'SIGINT' });
    return { command, all, as: { ...as, cwd: '/', env: { ...process.env, LC_ALL: 'C' } } };
  };

  test('is refused with what mends it, and a backup of the older one is restored into it', async () => {
    const { servers } = await stage.start();
    const password = decodeURIComponent(new URL(servers.postgresUrl).password);
    // The same folder as the older version left it: its cluster in the place of ours, on a port of its own.
    const own = join(stage.home, 'older');
    mkdirSync(own, { mode: 0o700 });
    const passwordFile = join(own, 'password');
    writeFileSync(passwordFile, `${password}\n`);
    const runAs = postgresUser(process.env, [stage.folder]);
    if (runAs !== undefined) for (const path of [own, passwordFile]) chownSync(path, runAs.uid, runAs.gid);
    const data = join(own, 'data');
    const made = words('initdb', [
      '-D',
      data,
      '-U',
      'soulfra',
      `--pwfile=${passwordFile}`,
      '-A',
      'scram-sha-256',
      '-E',
      'UTF8',
      '--locale=C.UTF-8',
    ]);
    execFileSync(made.command, made.all, { ...made.as, stdio: 'ignore' });
    const port = await freePort();
    const started = words('postgres', [
      '-D',
      data,
      '-c',
      `port=${port}`,
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      'unix_socket_directories=',
    ]);
    const server = spawn(started.command, started.all, { ...started.as, stdio: 'ignore' });
    const gone = once(server, 'exit');
    const portsFile = join(stage.home, 'ports.json');
    const ports = JSON.parse(readFileSync(portsFile, 'utf8')) as { postgres: number };
    try {
      const at = { port, password };
      for (const until = Date.now() + 30_000; ; ) {
        const isUp = await ensureDatabase(postgresUrl({ ...at, database: 'postgres' }), 'soulfra').then(
          () => true,
          (err: unknown) => {
            if (Date.now() > until) throw err;
            return false;
          },
        );
        if (isUp) break;
      }
      const url = postgresUrl({ ...at, database: 'soulfra' });
      await migrate(url);
      const db = createDatabase({ url, name: 'test', onIdleError: () => undefined });
      await db.insertInto('users').values({ id: owner, name: 'owner', role: 'operator' }).execute();
      const money = { amount: 100, currency: 'EUR' };
      const posting = creditsGranted({ grantId: newId('grant'), userId: owner, money, reason: 'of the older one' });
      await db.transaction().execute((tx) => postTransfers(tx, { ownerId: owner, madeBy: 'test' }, [posting]));
      await db.destroy();
      writeFileSync(portsFile, JSON.stringify({ ...ports, postgres: port }));
      const { failed, result } = await stage.run(['create']);
      expect(failed).toBeUndefined();
      expect(result).toMatchObject({ record: { postgresMajor: older, ledger: { transfers: 1 } } });
    } finally {
      server.kill('SIGINT');
      await gone;
      await stage.stop();
    }
    writeFileSync(portsFile, JSON.stringify(ports));
    rmSync(join(stage.home, 'postgres/data'), { recursive: true });
    renameSync(data, join(stage.home, 'postgres/data'));
    rmSync(own, { recursive: true });
    await expect(stage.start()).rejects.toThrow(
      new RegExp(
        `written by Postgres ${older} and this Soulfra brings ${ours}.*soulfra backup.*soulfra restore newest`,
      ),
    );
    await stage.stop();

    const restored = await stage.run(['restore', 'newest']);
    expect(restored.failed).toBeUndefined();
    const { databaseUrl } = await stage.start();
    expect(await stage.query(databaseUrl, 'select reason from ledger_transfers')).toEqual([
      { reason: 'of the older one' },
    ]);
    const [version] = await stage.query<{ major: number }>(
      databaseUrl,
      `select current_setting('server_version_num')::int / 10000 as major`,
    );
    expect(version).toEqual({ major: ours });
  }, 180_000);
});
