import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CreatedCluster } from '../../deploy/cluster/create.ts';
import type { DrilledCluster } from '../../deploy/cluster/drill.ts';
import type { RestoredCluster } from '../../deploy/cluster/restore.ts';
import { creditsGranted } from '../../domain/postings.ts';
import { createDatabase } from '../../stores/database.ts';
import { archiveUntil, restoredFigures } from '../../stores/cluster-backups.ts';
import { newId } from '../../stores/ids.ts';
import { postTransfers } from '../../stores/ledger.ts';
import { migrate } from '../../stores/migrate.ts';
import { type ClusterStage, lacksForCluster, openClusterStage } from '../support/cluster-stage.ts';
import { lacks } from '../support/not-run.ts';

/** Backups of a deployment's cluster, by the scripts and settings of the kit, with a real Postgres and pgBackRest. */

const missing = lacksForCluster();
const notHere = lacks(
  {
    test: 'backups of a deployment by pgBackRest',
    needs: missing.join(', '),
    command: 'apt-get install postgresql pgbackrest util-linux',
  },
  missing.length === 0,
);
const owner = 'usr_owner';

describe.skipIf(notHere)('the cluster of a deployment', () => {
  let stage: ClusterStage;

  beforeAll(async () => {
    stage = await openClusterStage();
    await stage.start();
    await migrate(stage.appUrl());
    await stage.query('create table current_executions (run_id bytea)', 'temporal');
    await withDatabase(async (db) => {
      await db.insertInto('users').values({ id: owner, name: 'owner', role: 'operator' }).execute();
      await db.insertInto('dropStops').values({ ownerId: owner }).execute();
    });
    await grant('first');
  }, 120_000);
  afterAll(() => stage?.close());

  async function withDatabase<Result>(
    act: (db: ReturnType<typeof createDatabase>) => Promise<Result>,
  ): Promise<Result> {
    const db = createDatabase({ url: stage.appUrl(), name: 'test', onIdleError: () => undefined });
    try {
      return await act(db);
    } finally {
      await db.destroy();
    }
  }

  /** A transfer of the ledger, and a workflow of Temporal, at about one moment. */
  async function grant(reason: string): Promise<void> {
    const posting = creditsGranted({
      grantId: newId('grant'),
      userId: owner,
      money: { amount: 100, currency: 'EUR' },
      reason,
    });
    await withDatabase((db) =>
      db.transaction().execute((tx) => postTransfers(tx, { ownerId: owner, madeBy: 'test' }, [posting])),
    );
    await stage.query(`insert into current_executions values ('${reason}'::bytea)`, 'temporal');
  }
  const reasons = async () =>
    (await stage.query<{ reason: string }>('select reason from ledger_transfers order by seq')).map(
      (row) => row.reason,
    );
  const executions = async () =>
    (await stage.query<{ id: string }>("select convert_from(run_id, 'UTF8') as id from current_executions", 'temporal'))
      .map(({ id }) => id)
      .toSorted();
  const now = async () => (await stage.query<{ now: Date }>('select clock_timestamp() as now'))[0]!.now.toISOString();
  /** Hands everything so far to the archive. */
  async function handOn(): Promise<void> {
    const [at] = await stage.query<{ segment: string }>(
      'select pg_walfile_name(pg_current_wal_insert_lsn()) as segment',
    );
    await archiveUntil(stage.url('soulfra'), at!.segment, 60_000);
  }
  async function done<Result>(...args: string[]): Promise<Result> {
    const part = await stage.run(args);
    expect(part.failed, part.err).toBeUndefined();
    return part.result as Result;
  }
  const refused = async (...args: string[]) => (await stage.run(args)).failed;
  const before = () => readdirSync(stage.data('postgres')).filter((name) => name.startsWith('main.before-'));

  test('is backed up whole, then by what changed, encrypted, and copied to the second folder', async () => {
    const first = await done<CreatedCluster>('create', '--id', '20260101T013000Z');
    expect(first).toMatchObject({ type: 'full', copy: { folder: stage.second, reason: '' } });
    // The same once more, as an execution that was cut off after it: found, and not made twice.
    const again = await done<CreatedCluster>('create', '--id', '20260101T013000Z');
    expect(again.label).toBe(first.label);
    const next = await done<CreatedCluster>('create');
    expect(next.type).toBe('diff');
    const { items } = await done<{ items: { label: string }[] }>('list');
    expect(items.map(({ label }) => label)).toEqual([next.label, first.label]);
    expect(await stage.query('select state, copy_reason from backups order by id')).toEqual([
      { state: 'done', copy_reason: '' },
      { state: 'done', copy_reason: '' },
    ]);
    // Nothing of it is readable without the passphrase, which only its user reads.
    expect(statSync(join(stage.folder, 'secrets/backup_passphrase')).mode & 0o777).toBe(0o600);
    const info = join(stage.second, 'backup/soulfra/backup.info');
    expect(existsSync(info)).toBe(true);
    const said = await stage.query<{ text: string }>(
      `select encode(pg_read_binary_file('${info}', 0, 8), 'escape') as text`,
    );
    expect(said[0]!.text).toBe('Salted__');
  }, 120_000);

  test('is restored by a drill up to the last row while others write, and leaves nothing behind', async () => {
    await grant('second');
    let writes = true;
    const writing = (async () => {
      while (writes)
        await stage.query(`update users set name = 'owner ' || (random() * 1000)::int where id = '${owner}'`);
    })();
    const drilled = await done<DrilledCluster>('drill', 'newest', '--id', '20260102T013000Z').finally(() => {
      writes = false;
    });
    await writing;
    expect(drilled.ledger).toMatchObject({ transfers: 2, sums: { EUR: '0' } });
    expect(drilled.workflows).toBe(2);
    expect(await stage.query('select state, rpo_seconds, rto_seconds > 0 as took from restore_drills')).toEqual([
      { state: 'done', rpo_seconds: drilled.rpoSeconds, took: true },
    ]);
    expect(readdirSync(stage.data('backup')).toSorted()).toEqual(['lock', 'repo', 'second-copy.json']);
  }, 120_000);

  test('is not restored while it runs, to another time than one that was, or to one before its first backup', async () => {
    expect(await refused('restore', '--to', 'latest')).toMatchObject({
      code: 'CONFLICT',
      message: expect.stringMatching(/Postgres of this deployment runs/),
    });
    await stage.stop();
    expect(await refused('restore', '--to', 'yesterday')).toMatchObject({ code: 'INVALID_INPUT' });
    expect(await refused('restore', '--to', '2126-01-01T00:00:00Z')).toMatchObject({ code: 'INVALID_INPUT' });
    expect(await refused('restore', '--to', '2020-01-01T00:00:00Z')).toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringMatching(/is younger than that moment/),
    });
    expect(before()).toEqual([]);
    await stage.start();
  }, 60_000);

  test('goes back to a moment with Temporal, holds what could leave twice, and goes on from there', async () => {
    const ledger = (await restoredFigures(stage.url('soulfra'))).ledger.hash;
    const moment = await now();
    await grant('regretted');
    await handOn();
    // It has what is regretted, and is left behind with it.
    const behind = await done<CreatedCluster>('create');
    await stage.stop();
    const restored = await done<RestoredCluster>('restore', '--to', moment);
    expect(restored.ledger.hash).toBe(ledger);
    expect(Date.parse(restored.madeAt)).toBeLessThanOrEqual(Date.parse(moment));
    expect(before()).toEqual([restored.aside!.split('/').at(-1)]);
    await stage.start();
    expect(await reasons()).toEqual(['first', 'second']);
    expect(await executions()).toEqual(['first', 'second']);
    expect(await stage.query('select stopped_at is not null as stopped from drop_stops')).toEqual([{ stopped: true }]);
    expect(await stage.query('select count(*)::int as count from restores')).toEqual([{ count: 1 }]);
    await handOn();
    const { items } = await done<{ items: { label: string; fault: string }[] }>('list');
    expect(items.filter(({ fault }) => fault !== '').map(({ label }) => label)).toEqual([behind.label]);
    // From now on the changes of this one are the archive's, and no longer those that were left.
    await grant('third');
    await handOn();
    await stage.stop('SIGKILL');
    rmSync(stage.data('postgres/main'), { recursive: true });
    const latest = await done<RestoredCluster>('restore', '--to', 'latest');
    expect(latest.aside).toBeNull();
    await stage.start();
    expect(await reasons()).toEqual(['first', 'second', 'third']);
    expect(await executions()).toEqual(['first', 'second', 'third'].toSorted());
  }, 180_000);

  test('killed at any step, a restore leaves the old cluster or the new one', async () => {
    await grant('fourth');
    const all = ['first', 'second', 'third', 'fourth'];
    const generations = async () =>
      (await stage.query<{ count: number }>('select count(*)::int as count from restores'))[0]!.count;
    const old = await generations();
    // In order, so that all of it has left.
    await stage.stop();
    for (const killAt of [/restoring /, /replaying/, /adding the books up/, /exchanging/]) {
      const cut = await stage.run(['restore', '--to', 'latest'], { killAt });
      // The last step may be over before the kill comes.
      if (killAt.source !== 'exchanging') expect([cut.result, cut.failed]).toEqual([undefined, undefined]);
      await stage.start();
      expect(await reasons()).toEqual(all);
      expect(await executions()).toEqual(all.toSorted());
      // Until it is whole nothing is exchanged.
      expect([old, ...(killAt.source === 'exchanging' ? [old + 1] : [])]).toContain(await generations());
      await stage.stop();
    }
    // What was begun is cleared away by the next one.
    await done('restore', '--to', 'latest');
    expect(readdirSync(stage.data('postgres')).filter((name) => name.startsWith('restore'))).toEqual([]);
    await stage.start();
    expect(await reasons()).toEqual(all);
  }, 240_000);

  test('refuses the repository of another cluster, and a lost one comes back from its second copy', async () => {
    await done('create');
    const ledger = (await restoredFigures(stage.url('soulfra'))).ledger.hash;
    await stage.stop();
    // A cluster that was made anew in its place.
    renameSync(stage.data('postgres/main'), stage.data('postgres/gone'));
    await stage.start();
    await stage.stop();
    expect(await refused('restore', '--to', 'latest')).toMatchObject({
      code: 'CONFLICT',
      message: expect.stringMatching(/of another cluster/),
    });
    // Box and disk are lost: only the second folder and the secrets are left.
    for (const name of ['postgres', 'backup'])
      for (const file of readdirSync(stage.data(name))) rmSync(stage.data(name, file), { recursive: true });
    expect(await refused('restore', '--to', 'latest')).toMatchObject({ code: 'NOT_FOUND' });
    const restored = await done<RestoredCluster>('restore', '--to', 'latest', '--second');
    expect(restored.ledger.hash).toBe(ledger);
    await stage.start();
    expect(await done('copy')).toEqual({ copy: { folder: stage.second, reason: '' } });
    // A disk that is not mounted is not filled in its place.
    const kept = `${stage.second}.kept`;
    renameSync(stage.second, kept);
    mkdirSync(stage.second);
    expect(await done('copy')).toMatchObject({ copy: { reason: expect.stringMatching(/mount its disk/) } });
    expect(readdirSync(stage.second)).toEqual([]);
    rmSync(stage.second, { recursive: true });
    renameSync(kept, stage.second);
  }, 180_000);
});
