import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { placeOf } from '../../deploy/backup/data-files.ts';
import { fullDisk, mustOwn } from '../../deploy/backup/folders.ts';
import { openSeal } from '../../deploy/backup/seal.ts';
import { finishSwap, isSwapping, seatOf, swapHome } from '../../deploy/embedded/home-swap.ts';
import { processRef } from '../../deploy/embedded/processes.ts';
import {
  archiveName,
  backupIdOf,
  differences,
  expendable,
  manifestName,
  nameOf,
  readName,
} from '../../domain/backups.ts';
import { judgeBackup } from '../../domain/health-rules.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-backups-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Four of a day. */
const idOf = (n: number) =>
  `202611${String(10 + Math.floor(n / 4)).padStart(2, '0')}T${String((n % 4) * 6).padStart(2, '0')}0000Z`;
const day = (id: string) => id.slice(0, 8);

test('retention keeps so many days: the last whole one of each, all of the newest, and never the fewer for what is damaged', () => {
  const shelf = fc.uniqueArray(
    fc.record({
      id: fc.integer({ min: 0, max: 60 }).map(idOf),
      tag: fc.constantFrom('a', 'b'),
      whole: fc.boolean(),
    }),
    { maxLength: 24, selector: ({ id, tag }) => id + tag },
  );
  fc.assert(
    fc.property(shelf, fc.integer({ min: 1, max: 8 }), (backups, days) => {
      const gone = new Set(expendable(backups, 'a', days));
      const left = backups.filter(({ id, tag }) => tag !== 'a' || !gone.has(id));
      // Another fleet's are nobody's to delete.
      expect(left.filter(({ tag }) => tag === 'b')).toEqual(backups.filter(({ tag }) => tag === 'b'));
      const whole = (some: typeof backups) =>
        some
          .filter((each) => each.tag === 'a' && each.whole)
          .map(({ id }) => id)
          .sort()
          .reverse();
      const had = whole(backups);
      const lastOfDays = [...new Map(had.toReversed().map((id) => [day(id), id])).values()].toReversed();
      const newest = had.filter((id) => day(id) === day(had[0]!));
      expect(whole(left)).toEqual([...new Set([...newest, ...lastOfDays.slice(0, days)])]);
      // What is not whole goes with its time.
      const oldest = whole(left).at(-1);
      const damaged = left.filter(({ tag, whole }) => tag === 'a' && !whole);
      if (lastOfDays.length >= days) expect(damaged.filter(({ id }) => id < oldest!)).toEqual([]);
      else expect(damaged).toEqual(backups.filter(({ tag, whole }) => tag === 'a' && !whole));
    }),
  );
  const nightly = Array.from({ length: 9 }, (_, n) => ({ id: idOf(n * 4), tag: 'a', whole: n !== 4 }));
  expect(expendable(nightly, 'a', 7)).toEqual([idOf(0)]);
  expect(expendable(nightly.slice(0, 3), 'a', 7)).toEqual([]);
  // A clock was ahead: the one that was made now is not the one to go.
  expect(expendable(nightly, 'a', 7, idOf(0))).toEqual([]);
});

test('names are fleets and times, and nothing else is taken for a backup', () => {
  expect(backupIdOf('2026-11-22T01:30:00.123Z')).toBe('20261122T013000Z');
  const of = { id: '20261122T013000Z', origin: 'usr_0199f3a2-7c1d-7abc-8def-0123456789ab' };
  const name = { id: of.id, tag: '0123456789ab' };
  expect(nameOf(of)).toEqual(name);
  expect(readName(archiveName(name))).toEqual({ ...name, is: 'archive' });
  expect(readName(manifestName(name))).toEqual({ ...name, is: 'record' });
  expect(readName(`${archiveName(name)}.part`)).toEqual({ ...name, is: 'part' });
  for (const other of ['soulfra-20261122T013000Z.tar.gz.age', `x-${manifestName(name)}`, `${manifestName(name)}.part`])
    expect(readName(other)).toBeUndefined();
});

test('who makes the key at the same time as another goes by the same one, and it is never there half', async () => {
  const keyFile = join(folder, 'keys', 'backup.key');
  // Of one that was killed while it wrote.
  mkdirSync(join(folder, 'keys'));
  writeFileSync(`${keyFile}.${process.pid}.new`, '# Opens the');
  const seals = await Promise.all(
    Array.from({ length: 4 }, () => openSeal({ keyFile, passphrase: undefined }, { make: true })),
  );
  const plain = () => new Response('some words').body!;
  for (const seal of seals) {
    const sealed = ReadableStream.from(await seal.close(plain())) as ReadableStream<Uint8Array>;
    const opened: Uint8Array[] = [];
    for await (const piece of await seals[0]!.open(sealed)) opened.push(piece);
    expect(Buffer.concat(opened).toString()).toBe('some words');
  }
  expect(readdirSync(join(folder, 'keys'))).toEqual(['backup.key']);
});

test('a full disk is one by whatever name it comes', () => {
  const db = new DatabaseSync(join(folder, 'small.db'));
  db.exec('pragma max_page_count = 3; create table t (x)');
  let told: unknown;
  try {
    for (;;) db.prepare('insert into t values (?)').run('x'.repeat(1_000));
  } catch (err) {
    told = err;
  }
  db.close();
  const postgres = Object.assign(new Error('could not extend file'), { code: '53100' });
  const initdb = new Error('initdb ended with 1: could not write: No space left on device');
  for (const err of [told, new Error('copying', { cause: told }), postgres, initdb])
    expect(fullDisk(err)).toMatchObject({ code: 'DISK_FULL' });
  const other = Object.assign(new Error('duplicate key'), { code: '23505' });
  expect(fullDisk(other)).toBe(other);
});

test('what is another user’s is not written to', () => {
  const theirs = process.geteuid?.() === 0 ? join(folder, 'theirs') : '/';
  if (theirs !== '/') {
    mkdirSync(theirs);
    chownSync(theirs, 4_321, 4_321);
  }
  expect(() => mustOwn(theirs)).toThrow(/belongs to user .*run it as its owner/);
  mustOwn(folder);
});

test('what was restored is compared by rows, by their hashes, and by the ledger', () => {
  const ledger = { transfers: 1, entries: 2, sums: { EUR: '0' }, hash: 'a'.repeat(64) };
  const tables = { users: { rows: 2, hash: '7', columns: ['id'] }, events: { rows: 0, hash: '0', columns: ['id'] } };
  const found = { users: { rows: 2, hash: '7' }, events: { rows: 0, hash: '0' } };
  expect(differences({ tables, ledger }, { tables: found, ledger })).toEqual([]);
  const bad = { users: { rows: 2, hash: '8' }, ghosts: { rows: 1, hash: '1' } };
  const unequal = { ...ledger, sums: { EUR: '-5' }, hash: 'b'.repeat(64) };
  expect(differences({ tables, ledger }, { tables: bad, ledger: unequal })).toEqual([
    'users has other rows',
    'events is missing',
    'ghosts is not in the backup',
    'the ledger is another one',
    'the ledger does not add up',
  ]);
});

test.each([
  ['none yet', { firstAt: null }, 'not_set_up', ''],
  ['one of today', {}, 'ok', ''],
  ['one of two days ago', { doneAt: -48 }, 'late', 'the last that succeeded is of'],
  [
    'one of four days ago',
    { doneAt: -96, failed: 'the disk is full' },
    'failing',
    'the last one failed: the disk is full',
  ],
  [
    'none that succeeded',
    { doneAt: null, firstAt: -50, failed: 'x' },
    'late',
    'none has succeeded yet; the last one failed: x',
  ],
  ['the last one failed', { failed: 'the disk is full' }, 'late', 'the disk is full'],
  ['no second copy', { copyReason: '/mnt is not there' }, 'late', 'second copy was not made: /mnt is not there'],
  [
    'one that cannot be restored',
    { drillFailed: 'users has other rows' },
    'failing',
    'could not be restored: users has',
  ],
] as const)('health of backups: %s', (_name, given, state, reason) => {
  const now = 1_000_000_000;
  const hours = (at: number | null) => (at === null ? null : now + at * 3600);
  const facts = {
    firstAt: -200 as number | null,
    doneAt: -3 as number | null,
    failed: null,
    copyReason: '',
    drillFailed: null,
    ...given,
  };
  const judged = judgeBackup({ ...facts, firstAt: hours(facts.firstAt), doneAt: hours(facts.doneAt) }, now);
  expect(judged.state).toBe(state);
  expect(judged.reason).toContain(reason);
});

test.each(['../outside', '/etc/passwd', 'mail/../../x', 'postgres/data', 'logs/a', 'mail/./a', ''])(
  'no file of an archive leads out of the data folder: %j',
  (name) => {
    expect(() => placeOf(`files/${name}`, folder)).toThrow(/no data folder has/);
    expect(readdirSync(folder)).toEqual([]);
  },
);

/** The folders before the exchange: what is there, what is to be. */
function prepared(): { home: string; fresh: string; aside: string; journal: string } {
  const [home, fresh, aside] = ['home', 'home.restore', 'home.before'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const [path, text] of [
    [home, 'old'],
    [fresh, 'new'],
  ] as const) {
    mkdirSync(path);
    writeFileSync(join(path, 'fleet'), text);
  }
  return { home, fresh, aside, journal: `${home}.restoring.json` };
}
const fleetOf = (home: string) => (existsSync(home) ? readFileSync(join(home, 'fleet'), 'utf8') : 'none');
const gone = { pid: 2 ** 22 + 1, startedAt: 'before' };

test('an exchange that was cut off after any of its lines is ended by whoever looks next', () => {
  const steps: Array<(at: ReturnType<typeof prepared>) => void> = [
    () => undefined,
    ({ journal }) => writeFileSync(journal, JSON.stringify({ fresh: 'home.restore', aside: 'home.before', by: gone })),
    ({ home, aside }) => renameSync(home, aside),
    ({ home, fresh }) => renameSync(fresh, home),
    ({ journal }) => rmSync(journal),
  ];
  for (let done = 1; done <= steps.length; done += 1) {
    const at = prepared();
    for (const step of steps.slice(0, done)) step(at);
    finishSwap(at.home);
    const isNew = done > 1;
    expect([done, fleetOf(at.home), fleetOf(at.aside), existsSync(at.journal)]).toEqual([
      done,
      isNew ? 'new' : 'old',
      isNew ? 'old' : 'none',
      false,
    ]);
    for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
  }
});

test('an exchange where nothing was there before, and one that another process is at', () => {
  const at = prepared();
  rmSync(at.home, { recursive: true });
  swapHome(at.home, at.fresh, at.aside);
  expect([fleetOf(at.home), fleetOf(at.aside)]).toEqual(['new', 'none']);
  writeFileSync(
    at.journal,
    JSON.stringify({ fresh: 'home.restore', aside: 'home.before', by: processRef(process.ppid) }),
  );
  expect(() => finishSwap(at.home)).toThrow(/is restoring/);
});

test('an exchange that cannot begin leaves the old fleet and says so', () => {
  const at = prepared();
  // Something has taken the name meanwhile.
  mkdirSync(at.aside);
  writeFileSync(join(at.aside, 'file'), '');
  expect(() => swapHome(at.home, at.fresh, at.aside)).toThrow(/cannot be moved out of the way.*--into/);
  expect([fleetOf(at.home), fleetOf(at.fresh), isSwapping(at.home)]).toEqual(['old', 'new', false]);
  expect(finishSwap(at.home)).toBeUndefined();
});

test('a data folder that is a link is exchanged where it lies, also while the link leads nowhere', () => {
  const at = prepared();
  mkdirSync(join(folder, 'elsewhere'));
  const link = join(folder, 'elsewhere', 'link');
  symlinkSync('../home', link);
  expect(seatOf(link)).toBe(seatOf(at.home));
  writeFileSync(at.journal, JSON.stringify({ fresh: 'home.restore', aside: 'home.before', by: gone }));
  renameSync(at.home, at.aside);
  finishSwap(link);
  expect([fleetOf(link), fleetOf(at.home), fleetOf(at.aside)]).toEqual(['new', 'new', 'old']);
  expect(readdirSync(join(folder, 'elsewhere'))).toEqual(['link']);
  symlinkSync('loop', join(folder, 'loop'));
  expect(() => seatOf(join(folder, 'loop'))).toThrow(/leads to itself/);
});
