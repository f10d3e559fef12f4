import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { judgeMirror } from '../../domain/health-rules.ts';
import { dropPage, listingPage } from '../../domain/mirror-pages.ts';
import {
  isMirrorPath,
  mirrorSettingsSchema,
  publicDocuments,
  publicFields,
  publicKinds,
  publicView,
} from '../../domain/public-mirror.ts';
import { openMirrorFolder, verifyMirrorFolder } from '../../integrations/mirror/folder.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-mirror-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const rowOf = (fields: readonly string[]) => Object.fromEntries(fields.map((field) => [field, `of ${field}`]));

test.each(publicKinds)('%s: a field that the table does not name never leaves', (kind) => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.object())), (others) => {
      const row = { ...others, ...rowOf(publicFields[kind]) };
      expect(Object.keys(publicView(kind, row)).sort()).toEqual([...publicFields[kind]].sort());
    }),
  );
  const [first] = publicFields[kind];
  for (const deep of [{ secret: 1 }, [{ secret: 1 }], undefined, 1.5, true])
    expect(() => publicView(kind, { ...rowOf(publicFields[kind]), [first]: deep })).toThrow(/nothing that may leave/);
});

test('pages say what is there, and no text becomes markup', () => {
  const evil = `"><script>alert(1)</script>&'\ud800`;
  const listing = publicView('listings', {
    ...Object.fromEntries(publicFields.listings.map((field) => [field, evil])),
    amount: 1_250,
    currency: 'EUR',
    kinds: [evil],
    models: [evil],
  });
  const drop = publicView('drops', Object.fromEntries(publicFields.drops.map((field) => [field, evil])));
  for (const page of [listingPage(listing), dropPage(drop)]) {
    expect(page).not.toContain('<script');
    expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;');
    expect(page.isWellFormed()).toBe(true);
  }
  expect(listingPage(listing)).toContain('12.50 EUR');
});

test('every document that may leave is one that there is', () => {
  for (const name of publicDocuments)
    expect(existsSync(new URL(`../../docs/${name}`, import.meta.url)), name).toBe(true);
});

test.each([
  '../index.html',
  '/etc/passwd',
  'listings/../../x',
  'listings//a',
  'secrets/a.json',
  'listings/.hidden/a',
  'listings',
])('no path of a manifest leads out of the mirror: %s', (path) => expect(isMirrorPath(path)).toBe(false));

const put = (paths: readonly string[], run = '20261122T013000Z') => {
  const target = openMirrorFolder(folder, run);
  for (const path of paths) target.put(path, `content of ${path}`);
  return target.finish('2026-11-22T01:30:00.000Z');
};

test('a copy that was cut off goes on where it stood, and what it had begun is swept', async () => {
  const paths = ['index.html', 'listings/a.html', 'listings/b.html', 'data/listings-1.json'];
  const cut = openMirrorFolder(folder, '20261122T003000Z');
  for (const path of paths.slice(0, 2)) cut.put(path, `content of ${path}`);
  writeFileSync(join(folder, 'listings', 'b.html.20261122T003000Z.new'), 'content of li');
  await expect(verifyMirrorFolder(folder)).rejects.toThrow(/holds no manifest/);
  const inode = statSync(join(folder, 'listings/a.html')).ino;
  expect(put(paths)).toMatchObject({ entries: 4, written: 2, removed: 1 });
  expect(statSync(join(folder, 'listings/a.html')).ino).toBe(inode);
  expect((await verifyMirrorFolder(folder)).wrong).toEqual([]);
  expect(put(paths)).toMatchObject({ entries: 4, written: 0, removed: 0 });
  // What is public no more is gone from the disk.
  expect(put(paths.slice(0, 1))).toMatchObject({ entries: 1, written: 0, removed: 3 });
  expect(readdirSync(folder).sort()).toEqual(['.soulfra-mirror', 'index.html', 'manifest.json']);
});

test('what was changed, lost or added by others is told, and mended by the next copy', async () => {
  const paths = ['listings/a.html', 'listings/b.html'];
  put(paths);
  writeFileSync(join(folder, 'listings/a.html'), 'defaced');
  rmSync(join(folder, 'listings/b.html'));
  writeFileSync(join(folder, 'listings/c.html'), 'planted');
  expect((await verifyMirrorFolder(folder)).wrong).toEqual([
    'listings/a.html: changed',
    'listings/b.html: missing',
    'listings/c.html: not in the manifest',
  ]);
  expect(put(paths)).toMatchObject({ written: 2, removed: 1 });
  expect((await verifyMirrorFolder(folder)).wrong).toEqual([]);
});

test('a folder that holds something else, or links elsewhere, is not written to', () => {
  mkdirSync(join(folder, 'data'));
  writeFileSync(join(folder, 'data', 'mine'), 'precious');
  expect(() => put(['index.html'])).toThrow(/is no mirror/);
  expect(readFileSync(join(folder, 'data', 'mine'), 'utf8')).toBe('precious');
  rmSync(join(folder, 'data'), { recursive: true });
  put(['listings/a.html']);
  rmSync(join(folder, 'listings'), { recursive: true });
  mkdirSync(join(folder, 'elsewhere'));
  symlinkSync('elsewhere', join(folder, 'listings'));
  expect(() => put(['listings/a.html'])).toThrow(/is a link/);
  rmSync(folder, { recursive: true });
  expect(() => put(['index.html'])).toThrow(/is not there/);
});

test('a mirror that goes nowhere is refused', () => {
  expect(mirrorSettingsSchema.safeParse({ machine: 'pc2' }).error?.issues[0]).toMatchObject({ path: ['folder'] });
  expect(mirrorSettingsSchema.parse({ machine: 'pc2', postgres: true })).toMatchObject({ every: '1h' });
});

test.each([
  ['none yet', { firstAt: null }, 'not_set_up', 'soulfra mirror run'],
  ['one of now', {}, 'ok', ''],
  ['the last one failed', { failed: '/srv is not there' }, 'late', '/srv is not there'],
  ['none for hours', { doneAt: -3 * 3600 }, 'late', 'the last copy that succeeded'],
  ['none for a day', { doneAt: -86_400, failed: 'x' }, 'failing', 'the last one failed: x'],
] as const)('health of the mirror: %s', (_name, given, state, reason) => {
  const now = 1_000_000_000;
  const facts = { firstAt: -200_000 as number | null, doneAt: -60, failed: null as string | null, ...given };
  const at = (seconds: number | null) => (seconds === null ? null : now + seconds);
  const judged = judgeMirror(
    {
      target: 'folder',
      everySeconds: 3600,
      firstAt: at(facts.firstAt),
      doneAt: at(facts.doneAt),
      failed: facts.failed,
    },
    now,
  );
  expect(judged.state).toBe(state);
  expect(judged.reason).toContain(reason);
});
