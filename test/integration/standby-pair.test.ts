import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { killTrees } from '../../bench/support/deploy-box.ts';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { socketUrl } from '../../deploy/cluster/scratch.ts';
import { writeFolder } from '../../deploy/compose/folder.ts';
import { dataFoldersOf, programMends, type Programs } from '../../deploy/compose/host-parts.ts';
import { hostKit, readShipped } from '../../deploy/compose/kit.ts';
import { ownerOfParts } from '../../deploy/compose/made-once.ts';
import { refuseBesidePromoted } from '../../deploy/compose/other-first-one.ts';
import { fencedName } from '../../deploy/compose/standby.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { freePort } from '../../deploy/embedded/ports.ts';
import { onPath } from '../../deploy/embedded/resolve.ts';
import { launchLine, postgresUser } from '../../deploy/embedded/run-as.ts';
import { deploySite } from '../../domain/deploy-site.ts';
import { standbyName } from '../../domain/server-names.ts';
import { clusterPath, lacksForCluster } from '../support/cluster-stage.ts';
import { lacks } from '../support/not-run.ts';

/** The pair of Postgres by the scripts of the kit for hosts, each at an address of its own of this one. */

const missing = lacksForCluster();
const notHere = lacks(
  {
    test: 'a standby that follows, is lost, promoted and made anew',
    needs: missing.join(', '),
    command: 'apt-get install postgresql pgbackrest util-linux',
  },
  missing.length === 0,
);
const addresses = { pc2: '127.0.0.2', mainpc: '127.0.0.3' } as const;
type Name = keyof typeof addresses;
const aMinute = 60_000;

describe.skipIf(notHere)('the pair of Postgres', () => {
  let work: string;
  let pair: Awaited<ReturnType<typeof openPair>>;
  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), 'soulfra-pair-'));
    // The parts run as another user under root, who has to pass through.
    chmodSync(work, 0o755);
    pair = await openPair(work);
  }, aMinute);
  afterEach(() => pair.stopAll());
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  test(
    'a copy whose place is gone is made anew by itself, off or running, and is waited for as it was',
    async () => {
      await pair.start('pc2', 'config/postgres-start.sh');
      await pair.query('pc2', 'create table written (id int primary key)');
      // Somebody began a first one there, and ended it at once: what is copied now is not half made.
      pair.beginFirst('mainpc');
      await pair.start('mainpc', 'promoted/standby-postgres.sh');
      expect(pair.data('mainpc')).toContain('main');
      expect(pair.data('mainpc')).not.toContain('making');
      pair.begin('mainpc', 'promoted/synchronous.sh');
      await pair.until('pc2', `select current_setting('synchronous_standby_names') = 'FIRST 1 (${standbyName})'`);
      await pair.query('pc2', 'insert into written values (1)');
      await pair.until('mainpc', 'select array_agg(id) = array[1] from written');

      // Off, until the first one may keep no more for it.
      await pair.stop('mainpc', 'promoted/standby-postgres.sh');
      await pair.query('pc2', "alter system set max_slot_wal_keep_size = '16MB'", 'alter system set max_wal_size = 32');
      await pair.query('pc2', 'alter system set min_wal_size = 32', 'select pg_reload_conf()');
      for (let i = 0; (await pair.place()) !== 'lost'; i += 1) {
        if (i > 50) throw new Error('the slot is kept for ever');
        // Nobody answers for it now, so nothing here may wait.
        await pair.query(
          'pc2',
          `select pg_logical_emit_message(false, 'x', '${i}')`,
          'select pg_switch_wal()',
          'checkpoint',
        );
      }
      await pair.query('pc2', 'alter system reset max_slot_wal_keep_size', 'select pg_reload_conf()');
      const { child, said } = await pair.start('mainpc', 'promoted/standby-postgres.sh');
      expect(said()).toContain('the copy is made anew');
      await pair.until('pc2', `select bool_or(active) from pg_replication_slots where slot_name = '${standbyName}'`);
      await pair.query('pc2', 'insert into written values (2)');
      await pair.until('mainpc', 'select array_agg(id order by id) = array[1, 2] from written');

      // While it runs: what no longer finds its next file ends, for whoever starts it again.
      await pair.dropSlot();
      await pair.gone(child);
      expect(said()).toMatch(/pc2 no longer has [0-9A-F]{24}/);
      await pair.start('mainpc', 'promoted/standby-postgres.sh');
      await pair.query('pc2', 'insert into written values (3)');
      await pair.until('mainpc', 'select count(*) = 3 from written');
      expect(await pair.place()).toBe('reserved');
      // The old one made way for the new one.
      expect(pair.data('mainpc')).not.toEqual(expect.arrayContaining([expect.stringMatching(/before|new|old/)]));

      // Its power goes between the two, or while the old one is deleted: the new one is whole.
      for (const cutOff of ['between', 'after']) {
        await pair.stop('mainpc', 'promoted/standby-postgres.sh');
        const at = (name: string) => join(work, 'mainpc/data/postgres', name);
        if (cutOff === 'between') renameSync(at('main'), at('main.new'));
        const { uid, gid } = statSync(at(cutOff === 'between' ? 'main.new' : 'main'));
        mkdirSync(at('main.old'));
        chownSync(at('main.old'), uid, gid);
        writeFileSync(at('main.old/PG_VERSION'), '');
        const again = await pair.start('mainpc', 'promoted/standby-postgres.sh');
        expect(again.said()).not.toContain('base backup');
        expect(await pair.query('mainpc', 'select count(*)::int as n from written')).toEqual([{ n: 3 }]);
        expect(pair.data('mainpc')).not.toEqual(expect.arrayContaining([expect.stringMatching(/new|old/)]));
      }
    },
    2.5 * aMinute,
  );

  test(
    'a commit that a slow disk holds up is no sign of a fence, one that waits for nobody is',
    async () => {
      await pair.start('pc2', 'config/postgres-start.sh');
      await pair.start('mainpc', 'promoted/standby-postgres.sh');
      expect(await pair.sql('mainpc', 'fenced')).toBe('f');
      pair.commitSlowly(true);
      expect(await pair.sql('mainpc', 'fenced')).toBe('f');
      pair.commitSlowly(false);
      const fence = `alter system set synchronous_standby_names = 'FIRST 1 (${fencedName})'`;
      await pair.sql('mainpc', 'primary', fence);
      await pair.sql('mainpc', 'primary', 'select pg_reload_conf()');
      await pair.until('pc2', `select current_setting('synchronous_standby_names') like '%${fencedName}%'`);
      expect(await pair.sql('mainpc', 'fenced')).toBe('t');
    },
    2 * aMinute,
  );

  test(
    'a commit that waits for the standby is not answered by a copy that is being made',
    async () => {
      await pair.start('pc2', 'config/postgres-start.sh');
      await pair.query('pc2', 'create table written (id int primary key)');
      await pair.start('mainpc', 'promoted/standby-postgres.sh');
      pair.begin('mainpc', 'promoted/synchronous.sh');
      await pair.until('pc2', `select current_setting('synchronous_standby_names') = 'FIRST 1 (${standbyName})'`);
      // A new disk there, while pc2 goes on and what asks it to wait does, too.
      await pair.stop('mainpc', 'promoted/standby-postgres.sh');
      for (const at of pair.data('mainpc').filter((name) => name.startsWith('main')))
        rmSync(join(work, 'mainpc/data/postgres', at), { recursive: true });
      pair.copySlowly(true);
      pair.begin('mainpc', 'promoted/standby-postgres.sh');
      const receiver = "from pg_stat_replication where state = 'streaming'";
      await pair.until('pc2', `select count(*) = 1 ${receiver}`);
      let answered = false;
      const waits = pair.query('pc2', 'insert into written values (1)').then(() => (answered = true));
      const isWaiting = "select count(*) = 1 from pg_stat_activity where wait_event = 'SyncRep'";
      await pair.until('pc2', isWaiting);
      const [at] = (await pair.query('pc2', 'select pg_current_wal_insert_lsn() as lsn')) as [{ lsn: string }];
      // It tells what it has on its disk once a file of changes is full: the commit, and all the same a copy that nobody could start.
      await pair.query('pc2', 'select pg_switch_wal()');
      await pair.until('pc2', `select flush_lsn >= '${at.lsn}' ${receiver}`);
      expect(pair.data('mainpc')).not.toContain('main');
      await pair.until('pc2', isWaiting);
      expect(answered).toBe(false);

      // Its power goes; the next one is whole, and answers for it.
      await pair.kill('mainpc', 'promoted/standby-postgres.sh');
      pair.copySlowly(false);
      expect(pair.data('mainpc')).toContain('main.new');
      await pair.until('pc2', isWaiting);
      await pair.until(
        'pc2',
        `select not bool_or(active) from pg_replication_slots where slot_name = '${standbyName}'`,
      );
      await pair.start('mainpc', 'promoted/standby-postgres.sh');
      await waits;
      // On its disk first, and read there a moment later.
      await pair.until('mainpc', 'select count(*) = 1 from written');
    },
    2 * aMinute,
  );

  test(
    'of two first ones one alone begins, also where both took the same timeline',
    async () => {
      await pair.start('pc2', 'config/postgres-start.sh');
      await pair.start('mainpc', 'promoted/standby-postgres.sh');
      await pair.until('pc2', `select bool_or(active) from pg_replication_slots where slot_name = '${standbyName}'`);
      await pair.stop('pc2', 'config/postgres-start.sh');
      // As somebody restores it beside the one that is promoted meanwhile: each takes the next number by itself.
      writeFileSync(join(work, 'pc2/data/postgres/main/standby.signal'), '');
      await pair.promoteAlone('pc2');
      await pair.query('pc2', "select pg_logical_emit_message(true, 'x', 'another history')");
      await pair.stop('pc2', 'alone');
      const said: string[] = [];
      await pair.refuseRestore(said);
      await pair.sql('mainpc', 'mark');
      await pair.sql('mainpc', 'promote');
      expect(said).toEqual([]);
      await expect(pair.refuseRestore(said)).rejects.toThrow(/mainpc was promoted and is the first one/);
      expect([await pair.timeline('mainpc'), await pair.timeline('pc2')]).toEqual(['2', '2']);
      await expect(pair.start('pc2', 'config/postgres-start.sh')).rejects.toThrow(
        /mainpc was promoted while this machine was away/,
      );

      // As the coordinating machine it is no promoted one any more.
      await pair.stop('mainpc', 'promoted/standby-postgres.sh');
      await pair.refuseRestore(said);
      expect(said).toEqual([expect.stringMatching(/^whether mainpc was promoted is not known/)]);
      await pair.exchange();
      await pair.start('mainpc', 'config/postgres-start.sh');
      expect(pair.data('mainpc')).not.toContain('main.promoted');
      // What cannot follow is put aside, whatever its number.
      await pair.start('pc2', 'promoted/standby-postgres.sh');
      expect(pair.data('pc2')).toEqual(expect.arrayContaining([expect.stringMatching(/^main\.before-/)]));
      await pair.until('mainpc', `select bool_or(active) from pg_replication_slots where slot_name = '${standbyName}'`);

      // Back again: what was a first one and becomes a standby does not begin as one where nobody answers it.
      await pair.sql('pc2', 'mark');
      await pair.sql('pc2', 'promote');
      await pair.stop('mainpc', 'config/postgres-start.sh');
      await pair.stop('pc2', 'promoted/standby-postgres.sh');
      await pair.exchange();
      await expect(pair.start('mainpc', 'promoted/standby-postgres.sh')).rejects.toThrow(/bring pc2 up first/);
      // And were it one all the same, by a mark of before: it fences none that came after it.
      await pair.start('pc2', 'config/postgres-start.sh');
      writeFileSync(join(work, 'mainpc/data/postgres/main.promoted'), '');
      await pair.startAlone('mainpc');
      const fencing = pair.begin('mainpc', 'promoted/synchronous.sh');
      await pause(7_000);
      expect(fencing.said()).not.toContain('fenced');
      expect(await pair.query('pc2', 'show synchronous_standby_names')).toEqual([{ synchronous_standby_names: '' }]);
      await pair.stop('mainpc', 'alone');
      await pair.start('mainpc', 'promoted/standby-postgres.sh');
      expect(pair.data('mainpc')).toEqual(expect.arrayContaining([expect.stringMatching(/^main\.before-/)]));
      await pair.until('pc2', `select bool_or(active) from pg_replication_slots where slot_name = '${standbyName}'`);
    },
    2 * aMinute,
  );
});

interface Running {
  child: ChildProcess;
  said: () => string;
}

async function openPair(work: string) {
  const runAs = postgresUser(process.env, [repositoryRoot]);
  const owner = runAs ?? ownerOfParts();
  const fleet = structuredClone(loadFleetFile(join(repositoryRoot, 'fleet.yaml')));
  fleet.deploy.addresses = addresses;
  fleet.deploy.ports.postgres = await freePort();
  const path = clusterPath();
  const programs = Object.fromEntries(
    Object.keys(programMends).map((name) => [name, onPath(name, { PATH: path }) ?? '/bin/false']),
  ) as Programs;
  const bin = join(programs.postgres, '..');
  // On mainpc the copy can be made so slowly that something else happens meanwhile.
  const slowly = join(work, 'slowly');
  const ownBin = join(work, 'bin');
  mkdirSync(ownBin, { mode: 0o755 });
  const program = (name: string, lines: string) =>
    writeFileSync(join(ownBin, name), `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
  // As on a disk that takes its time.
  const slowDisk = join(work, 'slow-disk');
  program(
    'psql',
    `case "$*" in *pg_logical_emit_message*) if [ -e ${slowDisk} ]; then sleep 5; fi ;; esac\nexec ${join(bin, 'psql')} "$@"`,
  );
  for (const tool of ['pg_controldata', 'pg_ctl']) program(tool, `exec ${join(bin, tool)} "$@"`);
  program('postgres', `exec ${programs.postgres} "$@"`);
  program(
    'pg_basebackup',
    `if [ -e ${slowly} ]; then set -- "$@" --max-rate 512k; fi\nexec ${join(bin, 'pg_basebackup')} "$@"`,
  );
  const shipped = readShipped(join(repositoryRoot, 'deploy'));
  const running = new Map<string, Running>();
  let [first, second]: Name[] = ['pc2', 'mainpc'];
  const postgresOf = (name: Name) => join(work, name, 'data/postgres');

  /** The same folder on both; each of the two listens to its own address alone, since they share a host. */
  const siteNow = () => deploySite({ ...fleet, deploy: { ...fleet.deploy, coordination: first, standby: second } });
  async function write(): Promise<void> {
    const site = siteNow();
    for (const name of [first!, second!]) {
      const folder = join(work, name);
      const own = (text: string) =>
        text
          .replace(/^listen_addresses = .*$/m, `listen_addresses = '${addresses[name]}'`)
          .replace(/^archive_mode = on$/m, 'archive_mode = off')
          .replace('hostaddr=127.0.0.1 ', `hostaddr=${addresses[name]} `)
          .replaceAll(programs.postgres, name === 'mainpc' ? join(ownBin, 'postgres') : programs.postgres);
      const kit = new Map([...hostKit(site, shipped, folder, programs)].map(([file, text]) => [file, own(text)]));
      if (name === 'mainpc' && !existsSync(folder)) mkdirSync(folder, { mode: 0o755 });
      // Of one making: what a standby was brought.
      for (const made of ['secrets', 'tls', 'authority'])
        if (name !== 'pc2' && !existsSync(join(folder, made))) copy(join(work, 'pc2', made), join(folder, made));
      await writeFolder(folder, site, kit, new Map(), 'none', owner);
      const machine = site.fleet.machines.find(({ id }) => id === name)!;
      for (const data of ['', ...dataFoldersOf(site, machine)]) {
        const at = join(folder, 'data', data);
        mkdirSync(at, { recursive: true, mode: 0o700 });
        if (runAs !== undefined) chownSync(at, owner.uid, owner.gid);
      }
    }
  }

  function copy(from: string, to: string): void {
    mkdirSync(to, { mode: 0o755 });
    for (const file of readdirSync(from))
      writeFileSync(join(to, file), readFileSync(join(from, file)), { mode: 0o600 });
    if (runAs !== undefined) for (const file of readdirSync(to)) chownSync(join(to, file), owner.uid, owner.gid);
  }

  function run(words: readonly string[]): Running {
    const line = launchLine(words[0]!, words.slice(1), { env: process.env, runAs, signal: undefined });
    const { command, args, ...as } = line;
    const child = spawn(command, args, {
      ...as,
      env: { PATH: path },
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    return { child, said: () => said };
  }
  const hasEnded = ({ exitCode, signalCode }: ChildProcess) => exitCode !== null || signalCode !== null;
  const gone = (child: ChildProcess) =>
    hasEnded(child) ? Promise.resolve() : new Promise<void>((resolve) => child.once('close', () => resolve()));

  const server = (name: Name) => [
    programs.postgres,
    '-D',
    join(postgresOf(name), 'main'),
    '-c',
    `config_file=${join(work, name, 'config/postgresql.conf')}`,
    '-c',
    `unix_socket_directories=${join(work, name, 'data/run')}`,
  ];

  function begin(name: Name, script: string, ...words: string[]): Running {
    const at = run(['/bin/bash', join(work, name, script), ...words]);
    running.set(`${name} ${script}`, at);
    return at;
  }

  async function start(name: Name, script: string): Promise<Running> {
    const at = begin(name, script, ...(script.endsWith('postgres-start.sh') ? server(name) : []));
    await up(name, at);
    return at;
  }

  /** Without the scripts, whatever they would say. */
  async function startAlone(name: Name, ...settings: string[]): Promise<void> {
    const at = run([...server(name), ...settings.flatMap((setting) => ['-c', setting])]);
    running.set(`${name} alone`, at);
    await up(name, at);
  }

  async function up(name: Name, { child, said }: Running): Promise<void> {
    // A script may wait a minute for the other one.
    const until = Date.now() + 1.5 * aMinute;
    while (
      !(await query(name, 'select 1').then(
        () => true,
        () => false,
      ))
    ) {
      if (hasEnded(child) || Date.now() > until) throw new Error(`Postgres of ${name} does not come up:\n${said()}`);
      await pause(100);
    }
  }

  async function stop(name: Name, script: string, signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    const at = running.get(`${name} ${script}`)!;
    at.child.kill(signal);
    await gone(at.child);
    running.delete(`${name} ${script}`);
  }

  async function query(name: Name, ...texts: string[]): Promise<object[]> {
    const secret = readFileSync(join(work, name, 'secrets/postgres_password'), 'utf8').trim();
    const socket = { socket: join(work, name, 'data/run'), port: fleet.deploy.ports.postgres };
    const client = new pg.Client({ connectionString: socketUrl({ ...socket, password: secret }, 'postgres') });
    await client.connect();
    try {
      let rows: object[] = [];
      for (const text of texts) ({ rows } = await client.query<object>(text));
      return rows;
    } finally {
      await client.end();
    }
  }

  async function until(name: Name, condition: string): Promise<void> {
    const end = Date.now() + aMinute;
    for (;;) {
      const [row] = await query(name, condition);
      if (Object.values(row ?? {})[0] === true) return;
      if (Date.now() > end)
        throw new Error(
          `never: ${condition}\n${[...running].map(([who, { said }]) => `${who}:\n${said()}`).join('\n')}`,
        );
      await pause(200);
    }
  }

  async function output(words: readonly string[]): Promise<string> {
    const { child, said } = run(words);
    await gone(child);
    if (child.exitCode !== 0) throw new Error(said());
    return said().trim();
  }

  await write();
  return {
    start,
    startAlone,
    refuseRestore: (said: string[]) =>
      refuseBesidePromoted(join(work, first!), siteNow(), (text) => void said.push(text)),
    commitSlowly: (is: boolean) => (is ? writeFileSync(slowDisk, '') : rmSync(slowDisk)),
    /** Leaves what a kill of a first one leaves that is being made. */
    beginFirst: (name: Name) => writeFileSync(join(work, name, 'data/postgres/making'), ''),
    copySlowly: (is: boolean) => (is ? writeFileSync(slowly, '') : rmSync(slowly, { force: true })),
    /** With all that it has begun. */
    async kill(name: Name, script: string): Promise<void> {
      const { child } = running.get(`${name} ${script}`)!;
      await killTrees([child.pid!]);
      await gone(child);
      running.delete(`${name} ${script}`);
    },
    begin,
    stop,
    gone,
    query,
    until,
    data: (name: Name) => readdirSync(postgresOf(name)),
    /** By the script that whoever promotes asks by. */
    sql: (name: Name, ...words: string[]) =>
      output(['/bin/bash', join(work, name, 'promoted/standby-sql.sh'), ...words]),
    async timeline(name: Name): Promise<string> {
      await query(name, 'checkpoint').catch(() => undefined);
      const told = await output([join(bin, 'pg_controldata'), '-D', join(postgresOf(name), 'main')]);
      return /Latest checkpoint's TimeLineID: +(\d+)/.exec(told)![1]!;
    },
    async place(): Promise<unknown> {
      const [row] = await query(
        first!,
        `select wal_status from pg_replication_slots where slot_name = '${standbyName}'`,
      );
      return (row as { wal_status?: string } | undefined)?.wal_status;
    },
    async dropSlot(): Promise<void> {
      const end = Date.now() + aMinute;
      const slot = `from pg_replication_slots where slot_name = '${standbyName}'`;
      const drop = async () => {
        await query(first!, `select pg_terminate_backend(active_pid) ${slot} and active`);
        await query(first!, `select pg_drop_replication_slot(slot_name) ${slot}`);
      };
      while (
        !(await drop().then(
          () => true,
          () => false,
        ))
      ) {
        if (Date.now() > end) throw new Error('the slot is never free');
        await pause(20);
      }
    },
    async promoteAlone(name: Name): Promise<void> {
      // Heard by nobody: a copy that runs would take up its new timeline, and be promoted to the next.
      await startAlone(name, 'listen_addresses=');
      await query(name, 'select pg_promote(true, 60)');
      await query(name, 'checkpoint');
    },
    /** The other one is the coordinating machine from here on. */
    async exchange(): Promise<void> {
      [first, second] = [second!, first!];
      await write();
    },
    async stopAll(): Promise<void> {
      const children = [...running.values()].map(({ child }) => child).filter((child) => !hasEnded(child));
      await killTrees(children.map(({ pid }) => pid!));
      await Promise.all(children.map(gone));
      running.clear();
      for (const name of [first!, second!])
        for (const at of readdirSync(postgresOf(name))) rmSync(join(postgresOf(name), at), { recursive: true });
    },
  };
}
