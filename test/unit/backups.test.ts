import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { placeOf } from '../../deploy/backup/data-files.ts';
import { finishSwap, swapHome } from '../../deploy/embedded/home-swap.ts';
import { processRef } from '../../deploy/embedded/processes.ts';
import { backupIdOf, differences, expendable, idOfArchive, idOfManifest } from '../../domain/backups.ts';
import { judgeBackup } from '../../domain/health-rules.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-backups-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const idOf = (n: number) => `202611${String(10 + (n % 18)).padStart(2, '0')}T${String(n % 24).padStart(2, '0')}0000Z`;

test('retention keeps the newest whole ones and never the fewer for what is damaged', () => {
  const shelf = fc.array(
    fc.record({
      id: fc.integer({ min: 0, max: 300 }).map(idOf),
      origin: fc.constantFrom('a', 'b'),
      whole: fc.boolean(),
    }),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(shelf, fc.integer({ min: 1, max: 8 }), (backups, keep) => {
      const gone = new Set(expendable(backups, 'a', keep));
      const left = backups.filter(({ id, origin }) => origin !== 'a' || !gone.has(id));
      // Another fleet's are nobody's to delete.
      expect(left.filter(({ origin }) => origin === 'b')).toEqual(backups.filter(({ origin }) => origin === 'b'));
      const whole = (some: typeof backups) =>
        some
          .filter((each) => each.origin === 'a' && each.whole)
          .map(({ id }) => id)
          .sort()
          .reverse();
      expect(whole(left).slice(0, keep)).toEqual(whole(backups).slice(0, keep));
      if (whole(backups).length > 0) expect(whole(left)[0]).toBe(whole(backups)[0]);
    }),
  );
  const seven = Array.from({ length: 9 }, (_, n) => ({ id: idOf(n), origin: 'a', whole: n !== 4 }));
  expect(expendable(seven, 'a', 7)).toEqual([idOf(0)]);
  expect(expendable(seven.slice(0, 3), 'a', 7)).toEqual([]);
  // A clock was ahead: the one that was made now is not the one to go.
  expect(expendable(seven, 'a', 7, idOf(0))).toEqual([]);
});

test('names are times, and nothing else is taken for a backup', () => {
  expect(backupIdOf('2026-11-22T01:30:00.123Z')).toBe('20261122T013000Z');
  expect(idOfManifest('soulfra-20261122T013000Z.json')).toBe('20261122T013000Z');
  expect(idOfArchive('soulfra-20261122T013000Z.tar.gz.age')).toBe('20261122T013000Z');
  for (const name of ['soulfra-20261122T013000Z.tar.gz.age.part', 'x-20261122T013000Z.json', 'soulfra-2026.json'])
    expect([idOfManifest(name), idOfArchive(name)]).toEqual([undefined, undefined]);
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
