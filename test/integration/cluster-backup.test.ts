import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CreatedCluster, VerifiedCluster } from '../../deploy/cluster/create.ts';
import type { DrilledCluster } from '../../deploy/cluster/drill.ts';
import type { RestoredCluster } from '../../deploy/cluster/restore.ts';
import { mendsFor } from '../../deploy/compose/start-faults.ts';
import { lockNumbers } from '../../stores/locks.ts';
import { restoredFigures } from '../../stores/cluster-backups.ts';
import { type ClusterFleet, lacksClusterPrograms, openClusterFleet } from '../support/cluster-fleet.ts';

/** Backups of a deployment's cluster, by the scripts and settings of the kit, with a real Postgres and pgBackRest. */

describe.skipIf(lacksClusterPrograms('backups of a deployment by pgBackRest'))('the cluster of a deployment', () => {
  let stage: ClusterFleet;

  beforeAll(async () => {
    stage = await openClusterFleet();
  }, 120_000);
  afterAll(() => stage?.close());

  const before = () => readdirSync(stage.data('postgres')).filter((name) => name.startsWith('main.before-'));

  test('is backed up whole, then by what changed, encrypted, and copied to the second folder', async () => {
    const first = await stage.done<CreatedCluster>('create', '--id', '20260101T013000Z');
    expect(first).toMatchObject({ type: 'full', copy: { folder: stage.second, reason: '' } });
    // The same once more, as an execution that was cut off after it: found, and not made twice.
    const again = await stage.done<CreatedCluster>('create', '--id', '20260101T013000Z');
    expect(again.label).toBe(first.label);
    const next = await stage.done<CreatedCluster>('create');
    expect(next.type).toBe('diff');
    const { items } = await stage.done<{ items: { label: string }[] }>('list');
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

  test('is read to the last byte in both copies: what rots in the second is made anew, what the first loses stays in the second', async () => {
    const verify = () => stage.done<VerifiedCluster>('verify');
    const repository = stage.data('backup/repo');
    // The last one: the first backup needs none of those before it.
    const change = readdirSync(repository, { recursive: true, encoding: 'utf8' })
      .filter((name) => /\/[0-9A-F]{24}-[0-9a-f]{40}/.test(name))
      .toSorted()
      .at(-1)!;
    const [first, second] = [join(repository, change), join(stage.second, change)];
    const whole = readFileSync(first);
    const rotten = Buffer.from(whole);
    rotten.writeUInt8(rotten.readUInt8(100) ^ 1, 100);
    writeFileSync(second, rotten);
    expect(await verify()).toMatchObject({ backups: 2, copy: { reason: '' } });
    expect(readFileSync(second).equals(whole)).toBe(true);
    writeFileSync(first, rotten);
    expect(await stage.refused('verify')).toMatchObject({ code: 'BACKUP_DAMAGED' });
    expect(readFileSync(second).equals(whole)).toBe(true);
    rmSync(first);
    expect(await stage.done('copy')).toMatchObject({
      copy: { reason: expect.stringMatching(/has lost 1 files.*cp -an/) },
    });
    renameSync(join(repository, 'backup'), join(repository, 'gone'));
    expect(await stage.done('copy')).toMatchObject({ copy: { reason: expect.stringMatching(/has lost .*cp -an/) } });
    expect(existsSync(join(stage.second, 'backup/soulfra/backup.info'))).toBe(true);
    expect(readFileSync(second).equals(whole)).toBe(true);
    // As the message says.
    execFileSync('cp', ['-an', `${stage.second}/.`, `${repository}/`]);
    rmSync(join(repository, 'gone'), { recursive: true });
    expect(await verify()).toMatchObject({ backups: 2, copy: { reason: '' } });
  }, 120_000);

  test('is read whole beside backups: one reads at a time, and nobody waits for it', async () => {
    const holding = async <Result>(lock: keyof typeof lockNumbers, act: () => Promise<Result>): Promise<Result> => {
      const client = new pg.Client({ connectionString: stage.url('soulfra') });
      await client.connect();
      try {
        await client.query('select pg_advisory_lock($1::bigint)', [lockNumbers[lock]]);
        return await act();
      } finally {
        await client.end();
      }
    };
    const told = async () =>
      (await stage.query<{ reason: string }>('select copy_reason as reason from backups order by id desc limit 1'))[0]!
        .reason;
    await holding('repositoryReading', async () => {
      expect(await stage.refused('verify')).toMatchObject({ code: 'UNAVAILABLE' });
      expect(await stage.done('copy')).toMatchObject({ copy: { reason: '' }, isBusy: false });
    });
    await holding('backup', async () => {
      expect(await stage.done('copy')).toEqual({ copy: null, isBusy: true });
      // Compared as far as it goes; who has the lock brings it up to date.
      expect(await stage.done<VerifiedCluster>('verify')).toMatchObject({ copy: null, isBusy: true });
      renameSync(stage.second, `${stage.second}.kept`);
      const away = { reason: expect.stringMatching(/mount its disk/) };
      expect(await stage.done<VerifiedCluster>('verify')).toMatchObject({ copy: away, isBusy: false });
      expect(await told()).toMatch(/mount its disk/);
      renameSync(`${stage.second}.kept`, stage.second);
      // Nobody has looked what it lacks.
      await stage.done('verify');
      expect(await told()).toMatch(/mount its disk/);
    });
    expect(await stage.done<VerifiedCluster>('verify')).toMatchObject({ copy: { reason: '' }, isBusy: false });
    expect(await told()).toBe('');
  }, 120_000);

  test('does not count on a backup that was read and is damaged, until it was read and is whole', async () => {
    const listed = async () =>
      (await stage.done<{ items: { label: string; type: string; fault: string }[] }>('list')).items;
    const full = (await listed()).find(({ type }) => type === 'full')!;
    const folder = join('backup/soulfra', full.label);
    const repository = stage.data('backup/repo');
    const [largest] = readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
      .map((name) => join(folder, name))
      .filter((name) => !/backup\.manifest/.test(name) && statSync(join(repository, name)).isFile())
      .toSorted((a, b) => statSync(join(repository, b)).size - statSync(join(repository, a)).size);
    const rotten = readFileSync(join(repository, largest!));
    rotten.writeUInt8(rotten.readUInt8(100) ^ 1, 100);
    writeFileSync(join(repository, largest!), rotten);
    expect(await stage.refused('verify')).toMatchObject({
      code: 'BACKUP_DAMAGED',
      message: expect.stringContaining(`${full.label}, status: invalid`),
    });
    const builtOn = (label: string) => label.startsWith(full.label);
    expect((await listed()).map(({ label, fault }) => [builtOn(label), fault !== ''])).toEqual([
      [true, true],
      [true, true],
    ]);
    // Made, and told of: the older one is still there.
    expect(await stage.refused('create')).toMatchObject({
      code: 'BACKUP_DAMAGED',
      message: expect.stringContaining('status: invalid'),
    });
    expect(
      await stage.query(
        "select state, reason like '%status: invalid%' as damaged from backups order by started_at desc limit 1",
      ),
    ).toEqual([{ state: 'failed', damaged: true }]);
    const [next, ...older] = await listed();
    expect(next).toMatchObject({ type: 'full', fault: '' });
    expect(older.map(({ fault }) => fault)).not.toContain('');
    expect((await stage.done<CreatedCluster>('create')).type).toBe('diff');
    // The second copy has it as it was.
    copyFileSync(join(stage.second, largest!), join(repository, largest!));
    expect(await stage.done<VerifiedCluster>('verify')).toMatchObject({ backups: 4, copy: { reason: '' } });
    expect((await listed()).map(({ fault }) => fault)).toEqual(['', '', '', '']);
  }, 180_000);

  test('is restored by a drill up to the last row while others write, and leaves nothing behind', async () => {
    await stage.grant('second');
    let writes = true;
    const writing = (async () => {
      while (writes)
        await stage.query(`update users set name = 'owner ' || (random() * 1000)::int where id = '${stage.owner}'`);
    })();
    const drilled = await stage.done<DrilledCluster>('drill', 'newest', '--id', '20260102T013000Z').finally(() => {
      writes = false;
    });
    await writing;
    expect(drilled.ledger).toMatchObject({ transfers: 2, sums: { EUR: '0' } });
    expect(drilled.workflows).toBe(2);
    expect(await stage.query('select state, rpo_seconds, rto_seconds > 0 as took from restore_drills')).toEqual([
      { state: 'done', rpo_seconds: drilled.rpoSeconds, took: true },
    ]);
    expect(readdirSync(stage.data('backup')).toSorted()).toEqual(['lock', 'repo']);
    // Two at once have one folder: the second is turned away, and the first ends well.
    const both = await Promise.all([stage.run(['drill']), stage.run(['drill'])]);
    const turnedAway = both.filter(({ failed }) => failed !== undefined).map(({ failed }) => failed!.code);
    expect([turnedAway, both.filter(({ result }) => result !== undefined).length]).toEqual([['UNAVAILABLE'], 1]);
  }, 180_000);

  test('refuses a wrong secret in words of which the kit names the mend', async () => {
    const client = new pg.Client({ connectionString: stage.appUrl().replace(/:[^:@]+@/, ':wrong@') });
    const said = await client.connect().then(
      () => 'let in',
      (err: Error) => err.message,
    );
    expect(mendsFor(said, stage.folder)).toEqual([expect.stringContaining('secrets/soulfra_password is not the one')]);
  });

  test('is not restored while it runs, to another time than one that was, or to one before its first backup', async () => {
    expect(await stage.refused('restore', '--to', 'latest')).toMatchObject({
      code: 'CONFLICT',
      message: expect.stringMatching(/Postgres of this deployment runs/),
    });
    await stage.stop();
    expect(await stage.refused('restore', '--to', 'yesterday')).toMatchObject({ code: 'INVALID_INPUT' });
    expect(await stage.refused('restore', '--to', '2126-01-01T00:00:00Z')).toMatchObject({ code: 'INVALID_INPUT' });
    expect(await stage.refused('restore', '--to', '2020-01-01T00:00:00Z')).toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringMatching(/is younger than that moment/),
    });
    expect(before()).toEqual([]);
    await stage.start();
  }, 60_000);

  test('goes back to a moment with Temporal, holds what could leave twice, and goes on from there', async () => {
    const ledger = (await restoredFigures(stage.url('soulfra'))).ledger.hash;
    const moment = await stage.now();
    await stage.grant('regretted');
    await stage.handOn();
    // It has what is regretted, and is left behind with it.
    const behind = await stage.done<CreatedCluster>('create');
    await stage.stop();
    const restored = await stage.done<RestoredCluster>('restore', '--to', moment);
    expect(restored.ledger.hash).toBe(ledger);
    expect(Date.parse(restored.madeAt)).toBeLessThanOrEqual(Date.parse(moment));
    expect(before()).toEqual([restored.aside!.split('/').at(-1)]);
    await stage.start();
    expect(await stage.reasons()).toEqual(['first', 'second']);
    expect(await stage.executions()).toEqual(['first', 'second']);
    expect(await stage.query('select stopped_at is not null as stopped from drop_stops')).toEqual([{ stopped: true }]);
    expect(await stage.query('select count(*)::int as count from restores')).toEqual([{ count: 1 }]);
    await stage.handOn();
    const { items } = await stage.done<{ items: { label: string; fault: string }[] }>('list');
    expect(items.filter(({ fault }) => fault !== '').map(({ label }) => label)).toEqual([behind.label]);
    // From now on the changes of this one are the archive's, and no longer those that were left.
    await stage.grant('third');
    await stage.handOn();
    await stage.stop('SIGKILL');
    rmSync(stage.data('postgres/main'), { recursive: true });
    // Where changes on the way are not there, it is not the latest that it would find.
    const repository = stage.data('backup/repo');
    const [lost, ...rest] = readdirSync(repository, { recursive: true, encoding: 'utf8' })
      .filter((name) => /\/00000002[0-9A-F]{16}-[0-9a-f]{40}/.test(name))
      .toSorted();
    expect(rest).not.toEqual([]);
    renameSync(join(repository, lost!), stage.data('backup/lost'));
    expect(await stage.refused('restore', '--to', 'latest')).toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining(`${lost!.split('/').at(-1)!.slice(0, 24)} is not there`),
    });
    renameSync(stage.data('backup/lost'), join(repository, lost!));
    const latest = await stage.done<RestoredCluster>('restore', '--to', 'latest');
    expect(latest.aside).toBeNull();
    await stage.start();
    expect(await stage.reasons()).toEqual(['first', 'second', 'third']);
    expect(await stage.executions()).toEqual(['first', 'second', 'third'].toSorted());
  }, 180_000);

  test('refuses the repository of another cluster, and a lost one comes back from its second copy', async () => {
    await stage.done('create');
    const ledger = (await restoredFigures(stage.url('soulfra'))).ledger.hash;
    await stage.stop();
    // A cluster that was made anew in its place.
    renameSync(stage.data('postgres/main'), stage.data('postgres/gone'));
    await stage.start();
    await stage.stop();
    expect(await stage.refused('restore', '--to', 'latest')).toMatchObject({
      code: 'CONFLICT',
      message: expect.stringMatching(/of another cluster/),
    });
    // Box and disk are lost: only the second folder and the secrets are left.
    for (const name of ['postgres', 'backup'])
      for (const file of readdirSync(stage.data(name))) rmSync(stage.data(name, file), { recursive: true });
    expect(await stage.refused('restore', '--to', 'latest')).toMatchObject({ code: 'NOT_FOUND' });
    const restored = await stage.done<RestoredCluster>('restore', '--to', 'latest', '--second');
    expect(restored.ledger.hash).toBe(ledger);
    await stage.start();
    expect(await stage.done('copy')).toEqual({ copy: { folder: stage.second, reason: '' }, isBusy: false });
    // A disk that is not mounted is not filled in its place.
    const kept = `${stage.second}.kept`;
    renameSync(stage.second, kept);
    mkdirSync(stage.second);
    expect(await stage.done('copy')).toMatchObject({ copy: { reason: expect.stringMatching(/mount its disk/) } });
    expect(readdirSync(stage.second)).toEqual([]);
    rmSync(stage.second, { recursive: true });
    renameSync(kept, stage.second);
    // A repository that was made anew, its disk being lost, does not take the place of the one before.
    rmSync(stage.data('backup/repo'), { recursive: true });
    await stage.done('prepare');
    expect(await stage.done('copy')).toMatchObject({ copy: { reason: expect.stringMatching(/did not put there/) } });
    expect(existsSync(join(stage.second, 'backup/soulfra/backup.info'))).toBe(true);
  }, 180_000);
});
