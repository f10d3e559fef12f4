import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ClusterPlace } from '../../config/cluster-place.ts';
import type { Pgbackrest } from '../../deploy/cluster/pgbackrest.ts';
import { copyRepository, rottenInSecond } from '../../deploy/cluster/second-copy.ts';
import { type ClusterBackup, readRepository } from '../../domain/cluster-backups.ts';

/** Which files are looked at and copied. With pgBackRest itself: test/integration/cluster-backup.test.ts. */

let work: string;
let place: ClusterPlace;
/** What the repository lists, and how often it was asked. */
let backups: ClusterBackup[];
let asked: number;
const first = (...path: string[]) => join(work, 'backup/repo', ...path);
const second = (...path: string[]) => join(work, 'second', ...path);

beforeEach(async () => {
  work = mkdtempSync(join(tmpdir(), 'soulfra-second-'));
  place = {
    pgbackrest: ['false'],
    postgres: 'false',
    configFile: 'none',
    data: join(work, 'postgres'),
    cluster: 'main',
    socket: work,
    port: 5432,
    passwordFile: 'none',
    backup: join(work, 'backup'),
    second: second(),
    keep: 7,
  };
  mkdirSync(second());
  write(join(place.data, 'main/global/pg_control'), '8 bytes.');
  backups = [];
  asked = 0;
  await keepTime();
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(work, { recursive: true, force: true });
});

/** As if what was done until now had been done a minute ago. */
async function keepTime(): Promise<void> {
  vi.useRealTimers();
  // The clock of files has ticks.
  await pause(30);
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60_000 });
}
const copy = (rotten?: string[]) => {
  const info = async () => {
    asked += 1;
    return { ...readRepository('[]'), backups };
  };
  return copyRepository(place, { info } as Pick<Pgbackrest, 'info'> as Pgbackrest, rotten && { rotten });
};
function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
const change = (file: number) =>
  `archive/soulfra/18-1/0000000100000000/${'0'.repeat(7)}1${'0'.repeat(14)}${file}-0badc0de.zst`;
const label = '20261101-013000F';
const filesOf = (folder: string) =>
  Object.fromEntries(
    ['archive', 'backup'].flatMap((top) =>
      readdirSync(join(folder, top), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .map((path) => [path.slice(folder.length), readFileSync(path, 'utf8')]),
    ),
  );

function makeRepository(): void {
  write(first('archive/soulfra/archive.info'), 'the archive');
  write(first('backup/soulfra/backup.info'), 'one backup');
  write(first('backup/soulfra', label, 'bundle/1'), 'rows');
  for (const file of [10, 11]) write(first(change(file)), `changes ${file}`);
  backups = [{ ...aBackup, label, archive: { start: '000000010000000000000010' } }];
}
const aBackup: ClusterBackup = {
  label,
  type: 'full',
  timestamp: { start: 1, stop: 2 },
  info: { size: 1, repository: { delta: 1 } },
};

test('what is the same in both is not copied, nor asked of, a second time', async () => {
  makeRepository();
  expect(await copy()).toMatchObject({ files: 5, removed: 0 });
  expect(filesOf(second())).toEqual(filesOf(first()));
  await keepTime();
  // The first time after it the folders of the copy have just changed.
  await copy();
  await keepTime();
  expect(await copy()).toEqual({ files: 0, bytes: 0, removed: 0, rotten: 0 });
  expect(asked).toBe(0);
});

test('what was seen is looked at once more where a power cut has left nothing of it', async () => {
  makeRepository();
  const again = async () => {
    await keepTime();
    return copy();
  };
  await copy();
  await again();
  for (const left of ['', '\0'.repeat(100)]) {
    writeFileSync(first('second-copy.seen.json'), left);
    expect(await again()).toMatchObject({ files: 0, removed: 0 });
    expect(JSON.parse(readFileSync(first('second-copy.seen.json'), 'utf8'))).toHaveProperty('folders.archive');
  }
});

test('nothing is compared with a second that is not there, or is another one', async () => {
  makeRepository();
  // Nor is a first copy taken for one that was made.
  expect(await rottenInSecond(place)).toEqual([]);
  expect(existsSync(first('second-copy.json'))).toBe(false);
  await copy();
  expect(await rottenInSecond(place)).toEqual([]);
  rmSync(second(), { recursive: true });
  await expect(rottenInSecond(place)).rejects.toThrow(/is not there: mount its disk/);
  mkdirSync(second());
  await expect(rottenInSecond(place)).rejects.toThrow(/filled once and is empty now: mount its disk/);
  write(second('other'), 'of others');
  rmSync(first('second-copy.json'));
  await expect(rottenInSecond(place)).rejects.toThrow(/did not put there/);
});

test('what comes, goes and is written anew is found in a folder that was seen', async () => {
  makeRepository();
  for (let times = 0; times < 3; times += 1) {
    await copy();
    await keepTime();
  }
  write(first(change(12)), 'changes 12');
  write(first('backup/soulfra/backup.info.new'), 'two of them');
  rmSync(first('backup/soulfra/backup.info'));
  write(first('backup/soulfra/backup.info'), 'another one');
  rmSync(first('backup/soulfra/backup.info.new'));
  const later = '20261108-013000F';
  write(first('backup/soulfra', later, 'bundle/1'), 'more rows');
  rmSync(first('backup/soulfra', label), { recursive: true });
  rmSync(first(change(10)));
  backups = [{ ...aBackup, label: later, archive: { start: '000000010000000000000011' } }];
  await copy();
  expect(filesOf(second())).toEqual(filesOf(first()));
  expect(existsSync(second('backup/soulfra', label))).toBe(false);
});

test('what somebody took out of the second comes back; what the first has lost is told each time', async () => {
  makeRepository();
  for (let times = 0; times < 3; times += 1) {
    await copy();
    await keepTime();
  }
  rmSync(second(change(11)));
  expect(await copy()).toMatchObject({ files: 1 });
  await keepTime();
  rmSync(first(change(11)));
  for (let times = 0; times < 3; times += 1) {
    await expect(copy()).rejects.toThrow(/has lost 1 files/);
    await keepTime();
  }
  expect(readFileSync(second(change(11)), 'utf8')).toBe('changes 11');
  write(first(change(11)), 'changes 11');
  expect(await copy()).toMatchObject({ removed: 0 });
});

test('read to the last byte, a folder that was seen is looked at all the same', async () => {
  makeRepository();
  for (let times = 0; times < 3; times += 1) {
    await copy();
    await keepTime();
  }
  writeFileSync(second(change(10)), 'CHANGES 10');
  expect(await copy()).toMatchObject({ rotten: 0 });
  // What is in one alone is for the copy, and not rotten.
  write(first(change(12)), 'changes 12');
  rmSync(second('backup/soulfra', label), { recursive: true });
  const rotten = await rottenInSecond(place);
  expect(rotten).toEqual([change(10)]);
  expect(await copy(rotten)).toMatchObject({ rotten: 1, files: 3 });
  expect(filesOf(second())).toEqual(filesOf(first()));
});
