import { describe, expect, test } from 'vitest';
import {
  annotationsOf,
  backupToRestore,
  damagedBackups,
  firstGap,
  isLiving,
  nextBackupType,
  noteDamaged,
  readHistory,
  readRepository,
  type Repository,
  refuseForeign,
  restoreTargetOf,
  type ClusterBackup,
  clusterIdOf,
  isLetGo,
  targetArguments,
} from '../../domain/cluster-backups.ts';
import { judgeArchive } from '../../domain/health-rules.ts';

const day = 86_400;
const begin = Date.parse('2026-11-01T01:30:00Z') / 1000;
const clusterId = '7341234567890123457';

/** As pgBackRest writes it. */
function written(
  backups: { label: string; type: string; stop: number; app?: string; error?: boolean }[],
  code = 0,
): string {
  return JSON.stringify([
    {
      name: 'soulfra',
      status: { code, message: code === 0 ? 'ok' : 'other', lock: { backup: { held: false } } },
      repo: [{ key: 1, status: { code, message: code === 0 ? 'ok' : '[CryptoError] unable to load info file' } }],
      db: [{ id: 1, 'repo-key': 1, 'system-id': 0, version: '18' }],
      backup: backups.map(({ label, type, stop, app = '0.6.0', error }) => ({
        label,
        type,
        error: error ?? false,
        timestamp: { start: stop - 60, stop },
        annotation: { 'soulfra-app': app, 'soulfra-origin': 'usr_1' },
        info: { delta: 1, size: 1_000, repository: { delta: 100 } },
      })),
    },
  ]).replace('"system-id":0', `"system-id":${clusterId}`);
}

const three = readRepository(
  written([
    { label: 'F', type: 'full', stop: begin },
    { label: 'D2', type: 'diff', stop: begin + 2 * day },
    { label: 'D1', type: 'diff', stop: begin + day },
  ]),
);
const here = { clusterId, postgresMajor: 18, isNewer: (app: string) => app === '9.0.0' };

test('a repository is read in the order of time, and its cluster by every digit', () => {
  expect(three.backups.map(({ label }) => label)).toEqual(['F', 'D1', 'D2']);
  expect(three).toMatchObject({ clusterId, postgresMajor: 18 });
  expect(readRepository('[]')).toMatchObject({ backups: [], clusterId: undefined, postgresMajor: undefined });
  expect(readRepository(written([], 2)).backups).toEqual([]);
  expect(() => readRepository(written([], 99))).toThrow(/CryptoError/);
  const control = new Uint8Array(16);
  new DataView(control.buffer).setBigUint64(0, BigInt(clusterId), true);
  expect(clusterIdOf(control)).toBe(clusterId);
});

test('a full one is made first, after a week, and as often as backups are let go', () => {
  expect(nextBackupType([], 7, begin)).toBe('full');
  expect(nextBackupType(three.backups, 7, begin + 6 * day)).toBe('diff');
  expect(nextBackupType(three.backups, 30, begin + 7 * day)).toBe('full');
  expect(nextBackupType(three.backups, 1, begin + day)).toBe('full');
  const damaged = readRepository(written([{ label: 'F', type: 'full', stop: begin, error: true }]));
  expect(nextBackupType(damaged.backups, 7, begin + 60)).toBe('full');
});

describe('what was read and was not whole', () => {
  const both = readRepository(
    written([
      { label: '20261101-013000F', type: 'full', stop: begin },
      { label: '20261102-013000F', type: 'full', stop: begin + day },
      { label: '20261102-013000F_20261103-013000D', type: 'diff', stop: begin + 2 * day },
    ]),
  );
  const [older, newer] = both.backups.map(({ label }) => label);
  const noted = (...labels: string[]) => noteDamaged(both.backups, labels);

  test('is what pgBackRest names, and not changes', () => {
    const said = [
      'stanza: soulfra',
      'status: error',
      '  archiveId: 18-1, total WAL checked: 5, total valid WAL: 4',
      '    missing: 0, checksum invalid: 1, size invalid: 0, other: 0',
    ];
    expect(damagedBackups(said.join('\n'))).toEqual([]);
    const backups = [
      `  backup: ${older}, status: invalid, total files checked: 9, total valid files: 8`,
      '    missing: 0, checksum invalid: 1, size invalid: 0, other: 0',
      '  backup: 20261102-013000F_20261103-013000D, status: manifest missing, total files checked: 0, total valid files: 0',
    ];
    expect(damagedBackups([...said, ...backups].join('\n'))).toEqual([older, '20261102-013000F_20261103-013000D']);
    expect(damagedBackups('status: error\n  backup: 20261101-013000F, status: in-progress, total')).toEqual([]);
  });

  test('is built on by nothing, even where an older full one is whole', () => {
    expect(nextBackupType(noted(), 7, begin + 2 * day)).toBe('diff');
    expect(nextBackupType(noted(newer!), 7, begin + 2 * day)).toBe('full');
    expect(nextBackupType(noted(older!), 7, begin + 2 * day)).toBe('diff');
    expect(nextBackupType(noted('20261102-013000F_20261103-013000D'), 7, begin + 2 * day)).toBe('diff');
  });

  test('is restored from only where there is nothing else, with all that builds on it', () => {
    const from = (backups: ClusterBackup[], to: string) =>
      backupToRestore({ ...both, backups }, restoreTargetOf(to, begin + 9 * day), here).label;
    expect(from(noted(newer!), 'latest')).toBe(older);
    expect(from(noted('20261102-013000F_20261103-013000D'), 'latest')).toBe(newer);
    expect(from(noted(older!), 'latest')).toBe('20261102-013000F_20261103-013000D');
    expect(from(noted(older!), new Date((begin + day / 2) * 1000).toISOString())).toBe(older);
  });
});

test('gone by age is a backup that is not listed, and changes before the first that the oldest needs; all else is lost', () => {
  const needs = (label: string, start: string | null): ClusterBackup => ({
    ...three.backups[0]!,
    label,
    archive: { start },
  });
  const kept = [
    needs('20261108-013000F', '0000000200000001000000A0'),
    needs('20261115-013000F', '000000020000000200000001'),
  ];
  const goes = (path: string, backups = kept) => isLetGo(path, backups);
  const change = (name: string) => `archive/soulfra/18-1/${name.slice(0, 16)}/${name}-0badc0de.zst`;
  expect(goes('backup/soulfra/20261101-013000F/bundle/1')).toBe(true);
  expect(goes('backup/soulfra/20261101-013000F_20261102-013000D/backup.manifest')).toBe(true);
  expect(goes('backup/soulfra/20261108-013000F/bundle/1')).toBe(false);
  expect(goes(change('00000002000000010000009F'))).toBe(true);
  expect(goes(change('000000010000000900000001'))).toBe(true);
  expect(goes(change('0000000200000001000000A0'))).toBe(false);
  expect(goes(change('0000000200000001000000A1'))).toBe(false);
  for (const path of [
    'backup/soulfra/backup.info',
    'archive/soulfra/archive.info',
    'archive/soulfra/18-1/00000002.history',
  ])
    expect(goes(path)).toBe(false);
  // Of lines of changes that nothing needs any more, histories go with them.
  const later = [needs('20261122-013000F', '000000030000000200000001')];
  expect(['00000002', '00000003'].map((line) => goes(`archive/soulfra/18-1/${line}.history`, later))).toEqual([
    true,
    false,
  ]);
  // Where the list itself is lost, nothing was let go.
  expect(goes('backup/soulfra/20261101-013000F/bundle/1', [])).toBe(false);
  expect(goes(change('000000010000000900000001'), [needs('20261108-013000F', null)])).toBe(false);
});

describe('what is restored', () => {
  const at = (days: number, minutes = 0) =>
    restoreTargetOf(new Date((begin + days * day + minutes * 60) * 1000).toISOString(), begin + 100 * day);
  const from = (repository: Repository, days: number, minutes?: number) =>
    backupToRestore(repository, at(days, minutes), here).label;

  test('begins with the last backup that had ended by then', () => {
    expect([from(three, 0, 1), from(three, 1), from(three, 1, 1), from(three, 50)]).toEqual(['F', 'F', 'D1', 'D2']);
    expect(backupToRestore(three, { is: 'latest' }, here).label).toBe('D2');
    expect(() => from(three, -1)).toThrow(/is younger than that moment: the first ended at 2026-11-01T01:30/);
    expect(() => backupToRestore(readRepository('[]'), { is: 'latest' }, here)).toThrow(/no backup that is whole/);
  });

  test('is of this cluster, of its Postgres, of this fleet, and of no newer Soulfra', () => {
    const restore = (of: Partial<typeof here> | { clusterId: undefined }, repository = three) =>
      backupToRestore(repository, { is: 'latest' }, { ...here, ...of });
    // A cluster that is lost refuses nobody.
    expect(restore({ clusterId: undefined }).label).toBe('D2');
    expect(() => restore({ clusterId: '1' })).toThrow(/of another cluster/);
    expect(() => restore({ postgresMajor: 19 })).toThrow(/is of Postgres 18, and this is 19/);
    const newer = readRepository(written([{ label: 'N', type: 'full', stop: begin, app: '9.0.0' }]));
    expect(() => restore({}, newer)).toThrow(/made by Soulfra 9\.0\.0/);
    expect(() => refuseForeign(three.backups[0]!, 'usr_2')).toThrow(/of another fleet \(usr_1\)/);
    refuseForeign(three.backups[0]!, 'usr_1');
  });

  test('is of the line of changes that goes on, and not of one that a restore has left behind', () => {
    const history = readHistory('00000003.history', '1\t0/5000000\tbefore 2026\n\n2\t1/10\tno recovery target\n');
    const living = (start: string, stop: string) =>
      isLiving({ ...three.backups[0]!, archive: { start }, lsn: { stop } }, history);
    const segment = (timeline: number) => `0000000${timeline}0000000000000004`;
    expect([living(segment(1), '0/4FFFFFF'), living(segment(1), '0/5000001')]).toEqual([true, false]);
    expect([living(segment(2), '1/10'), living(segment(2), '2/0'), living(segment(3), '9/0')]).toEqual([
      true,
      false,
      true,
    ]);
    // Whoever never was restored leaves nothing behind.
    expect(isLiving({ ...three.backups[0]!, archive: { start: segment(2) }, lsn: { stop: '2/0' } }, undefined)).toBe(
      true,
    );
    const left = { ...three.backups[2]!, archive: { start: segment(1) }, lsn: { stop: '0/6000000' } };
    const repository = { ...three, history, backups: [...three.backups.slice(0, 2), left] };
    expect(backupToRestore(repository, { is: 'latest' }, here).label).toBe('D1');
  });

  test('is not the latest where a line of changes on the way there is not in the archive', () => {
    const backup = (start: string, stop: string): ClusterBackup => ({
      ...three.backups[0]!,
      archive: { start },
      lsn: { stop },
    });
    const first = backup('000000010000000000000004', '0/4000100');
    const gap = (names: string[], history?: string, of = first) =>
      firstGap(of, history === undefined ? undefined : readHistory(history, histories[history]!), new Set(names));
    const histories: Record<string, string> = {
      // Each line was left after some files of its own, the second one on another machine.
      '00000003.history': '1\t0/6000200\tpromoted\n2\t0/9000000\tpromoted\n',
      // Both restores within one file.
      '00000004.history': '1\t0/5000200\trestored\n2\t0/5000300\trestored\n3\t0/5000400\trestored\n',
    };
    const named = (timeline: number, ...files: number[]) =>
      files.map((file) => `0000000${timeline}00000000000000${file.toString(16).toUpperCase().padStart(2, '0')}`);
    expect(gap(named(1, 4, 5))).toBeUndefined();
    // Nothing came after the backup yet.
    expect(gap(named(1, 4))).toBeUndefined();
    expect(gap(named(1, 4, 5, 7))).toBe('000000010000000000000006');
    expect(gap([...named(1, 4, 5), ...named(3, 9, 10)], '00000003.history')).toBe('000000020000000000000006');
    expect(gap([...named(1, 4), ...named(2, 6, 7, 8), ...named(3, 9)], '00000003.history')).toBe(
      '000000010000000000000005',
    );
    expect(gap([...named(1, 4, 5), ...named(2, 6, 7, 8), ...named(3, 9, 10)], '00000003.history')).toBeUndefined();
    expect(gap([...named(1, 4, 5), ...named(2, 6, 7, 8)], '00000003.history')).toBeUndefined();
    // A backup of the newest line needs nothing of those before it.
    const later = backup('000000030000000000000009', '0/9000100');
    expect(gap(named(3, 9, 10), '00000003.history', later)).toBeUndefined();
    expect(gap([...named(1, 4), ...named(4, 5, 6)], '00000004.history')).toBeUndefined();
    // Names go on with the next log after 256 files.
    const ends = backup('0000000100000000000000FE', '0/FE000100');
    expect(gap(['0000000100000000000000FE', '000000010000000100000000'], undefined, ends)).toBe(
      '0000000100000000000000FF',
    );
  });

  test('is named by a time with its zone that is over, or as the latest', () => {
    const now = Date.parse('2026-11-23T12:00:00Z') / 1000;
    expect(restoreTargetOf('latest', now)).toEqual({ is: 'latest' });
    expect(restoreTargetOf('2026-11-23 02:30:00+01:00', now)).toEqual({ is: 'time', at: '2026-11-23T01:30:00.000Z' });
    for (const wrong of ['2026-11-23T01:30:00', 'yesterday', '2026-13-01T00:00:00Z', ''])
      expect(() => restoreTargetOf(wrong, now), wrong).toThrow(/neither latest nor a time with its zone/);
    expect(() => restoreTargetOf('2026-11-23T13:00:00Z', now)).toThrow(/is not over yet/);
    expect(targetArguments({ is: 'time', at: '2026-11-23T01:30:00.000Z' })).toEqual([
      '--type=time',
      '--target=2026-11-23 01:30:00.000+00',
      '--target-action=promote',
    ]);
  });
});

test('a backup says who made it', () => {
  expect(annotationsOf({ id: '20261101T013000Z', origin: 'usr_1', app: '0.6.0', migration: '000072_x' })[0]).toBe(
    '--annotation=soulfra-id=20261101T013000Z',
  );
});

test('an archive that lags is late, then failing, with what it refused', () => {
  const judged = (age: number, refused: string | null = null) => judgeArchive({ lastAt: begin, refused }, begin + age);
  expect([judged(60).state, judged(6 * 60).state, judged(31 * 60).state]).toEqual(['ok', 'late', 'failing']);
  expect(judged(31 * 60, '0001').reason).toMatch(/0001 was refused/);
});
