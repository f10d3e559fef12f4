import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { asDomainError } from '../../api/errors.ts';
import { openHome } from '../../deploy/embedded/home.ts';
import { createParts, type Parts } from '../../deploy/embedded/parts.ts';
import { freePort } from '../../deploy/embedded/ports.ts';
import { postgresUrl, preparePostgres, resolvePostgres } from '../../deploy/embedded/postgres.ts';
import { openSecrets } from '../../deploy/embedded/secrets.ts';
import { createDatabase, type Database, preparedStatement } from '../../stores/database.ts';
import { isPassing } from '../../stores/passing-errors.ts';

/** A Postgres of its own: what it waits for holds for all of its databases. */

let folder: string;
let parts: Parts;
let admin: pg.Client;
let watch: pg.Client;
let db: Database;
let url: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-standby-'));
  // Postgres may run as a user of its own and has to pass through.
  chmodSync(folder, 0o755);
  const { DATABASE_URL: _, ...env } = process.env;
  const home = openHome({ ...env, SOULFRA_HOME: join(folder, 'home') }, process.cwd());
  parts = createParts({
    home,
    onEvent: () => undefined,
    onFailed: (_part, why) => void process.stderr.write(`${why}\n`),
  });
  const { found } = await resolvePostgres(env);
  if ('url' in found) throw new Error('this test starts a server of its own');
  const at = { port: await freePort(), password: openSecrets(home).postgresPassword };
  const settings = { wal_level: 'replica', max_wal_senders: '2', synchronous_commit: 'on' };
  await parts.start(await preparePostgres({ binaries: found, folder: home.path('postgres'), env, settings, ...at }));
  url = postgresUrl({ ...at, database: 'postgres' });
  admin = new pg.Client({ connectionString: url });
  await admin.connect();
  watch = new pg.Client({ connectionString: url });
  await watch.connect();
  await admin.query('create table written (id text primary key)');
  db = createDatabase({ url, name: 'test', connections: 1, onIdleError: () => undefined });
});
afterAll(async () => {
  await db?.destroy();
  await admin?.end();
  await watch?.end();
  await parts?.stopAll();
  rmSync(folder, { recursive: true, force: true });
});

/** Breaks off what waits for a standby, as an operator does who sees it hang. */
async function breakOff(): Promise<void> {
  await expect
    .poll(
      async () =>
        (
          await watch.query(
            "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep' and pid <> pg_backend_pid()",
          )
        ).rowCount,
      { timeout: 8_000 },
    )
    .toBe(1);
}
const waitFor = async (names: string) => {
  await admin.query(`alter system set synchronous_standby_names = '${names}'`);
  await admin.query('select pg_reload_conf()');
  await expect
    .poll(
      async () =>
        (await admin.query<{ names: string }>("select current_setting('synchronous_standby_names') as names")).rows[0]!
          .names,
    )
    .toBe(names);
};

test('a commit that no standby confirmed is no success', async () => {
  await waitFor('nobody');
  const alone = expect(sql`insert into written values ('alone')`.execute(db)).rejects.toMatchObject({ code: '57014' });
  await breakOff();
  await alone;
  const given = expect(sql`insert into written values (${'given'})`.execute(db)).rejects.toMatchObject({
    code: '57014',
  });
  await breakOff();
  await given;
  const together = expect(
    db.transaction().execute((trx) => sql`insert into written values ('together')`.execute(trx)),
  ).rejects.toMatchObject({ code: '57014' });
  await breakOff();
  await together;

  // What the driver alone makes of it: it is answered as done, with a warning that nobody reads.
  const bare = expect(admin.query("insert into written values ('as the driver has it')")).resolves.toMatchObject({
    rowCount: 1,
  });
  await breakOff();
  await bare;
  await waitFor('');
  await sql`insert into written values ('later')`.execute(db);
  expect((await sql<{ id: string }>`select id from written where id = 'later'`.execute(db)).rows).toHaveLength(1);
});

test('who waits for a standby longer than a query may last has failed, and nobody waits behind it', async () => {
  await waitFor('nobody');
  const two = createDatabase({ url, name: 'two', connections: 2, onIdleError: () => undefined });
  const beat = preparedStatement<{ one: number }>('beat', 'select 1 as one');
  const reads = () => sql`select 1`.execute(two);
  try {
    await Promise.all([reads(), reads()]);
    const begun = Date.now();
    const gaveUp = two.transaction().execute((trx) => sql`insert into written values ('waits')`.execute(trx));
    await expect(gaveUp).rejects.toThrow('timeout');
    const oneWait = Date.now() - begun;
    // Its undo does not wait as long once more.
    expect(oneWait).toBeLessThan(20_000);
    for (let n = 0; n < 5; n += 1) await reads();
    await expect(sql`insert into written values ('waits too')`.execute(two)).rejects.toThrow('timeout');
    // Both wait now; what renews leases has a connection of its own, and what reads one of the reserve.
    expect(await beat(two, [])).toEqual([{ one: 1 }]);
    await Promise.all([reads(), reads(), reads()]);
    const refused = await sql`insert into written values ('refused')`.execute(two).catch((err: unknown) => err);
    expect(refused).toMatchObject({ code: '25006' });
    expect([isPassing(refused), asDomainError(refused).code]).toEqual([true, 'UNAVAILABLE']);
    await expect(
      two.transaction().execute((trx) => sql`insert into written values ('refused')`.execute(trx)),
    ).rejects.toMatchObject({ code: '25006' });

    await waitFor('');
    const write = () => sql`insert into written values ('is written')`.execute(two);
    await expect.poll(() => write().then(() => 'written'), { timeout: 20_000 }).toBe('written');
    const { rows } = await sql<{ id: string }>`select id from written where id ~ 'waits|refused' order by id`.execute(
      two,
    );
    expect(rows.map(({ id }) => id)).toEqual(['waits', 'waits too']);
  } finally {
    await two.destroy();
  }
}, 90_000);

test('a connection whose undo was refused is lent to nobody: whoever got it would write into that transaction', async () => {
  const one = createDatabase({ url, name: 'one', connections: 1, onIdleError: () => undefined });
  const backend = async (of: Database) =>
    (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(of)).rows[0]!.pid;
  const driver = pg.Client.prototype as unknown as { query: (this: void, ...words: unknown[]) => unknown };
  const { query } = driver;
  // As where it is broken off by hand. The server hears nothing of it, so the transaction stays open.
  const refusing = vi.spyOn(driver, 'query').mockImplementation(function (this: unknown, ...words: unknown[]) {
    if (words[0] === 'rollback') return Promise.reject(new Error('canceling statement due to user request'));
    return Reflect.apply(query, this, words);
  });
  try {
    let inside = 0;
    const undone = one.transaction().execute(async (trx) => {
      inside = await backend(trx);
      await sql`insert into written values ('undone')`.execute(trx);
      throw new Error('it was not to be');
    });
    await expect(undone).rejects.toThrow();
    refusing.mockRestore();
    expect(await backend(one)).not.toBe(inside);
    await sql`insert into written values ('by the next one')`.execute(one);
    const { rows } = await watch.query<{ id: string }>("select id from written where id ~ 'undone|by the next one'");
    expect(rows).toEqual([{ id: 'by the next one' }]);
  } finally {
    refusing.mockRestore();
    await one.destroy();
  }
}, 30_000);
