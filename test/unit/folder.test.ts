import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  constants,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type FolderSource, sourceSchema } from '../../domain/sources.ts';
import { fileItems } from '../../integrations/sources/file-items.ts';
import { createFolderReader } from '../../integrations/sources/folder.ts';
import { listFiles, readFileOnce } from '../../integrations/sources/folder-files.ts';

let root: string;
let outside: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'soulfra-folder-')));
  outside = realpathSync(mkdtempSync(join(tmpdir(), 'soulfra-outside-')));
  mkdirSync(join(root, 'notes'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
  rmSync(outside, { recursive: true, force: true });
});

const signal = new AbortController().signal;
function write(name: string, text: string | Buffer): string {
  const path = join(root, 'notes', name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}
function source(change: Record<string, unknown> = {}): FolderSource {
  const parsed = sourceSchema.parse({
    id: 'notes',
    kind: 'folder',
    machine: 'pc2',
    folder: join(root, 'notes'),
    agents: 'all',
    ...change,
  });
  return parsed as FolderSource;
}
function read(cursor: unknown = null, change: Record<string, unknown> = {}, options = {}) {
  const reader = createFolderReader({ roots: [root], quietMs: 0, ...options });
  return reader.read(source(change), { ownerId: 'usr_a', cursor, signal });
}
const keys = ({ items }: { items: Array<{ key: string }> }) => items.map(({ key }) => key);

describe('a folder', () => {
  test('is read once; what is added or changed later comes with the next read', async () => {
    write('tide.md', '# Tide\n\nIt turned.');
    write('deep/er/boat.txt', 'A boat came home.');
    write(
      'lamp.ndjson',
      '{"text":"The lamp went out.","importance":9,"occurredAt":"2026-01-01T00:00:00Z"}\n{"text":"It was lit."}\n',
    );
    const first = await read();
    expect(keys(first).map((key) => key.replace(/#.*/, '#'))).toEqual([
      'deep/er/boat.txt',
      'lamp.ndjson#',
      'lamp.ndjson#',
      'tide.md',
    ]);
    expect(first.items.find(({ key }) => key === 'tide.md')).toMatchObject({
      title: 'tide',
      text: '# Tide\n\nIt turned.',
    });
    expect(first.items[1]).toMatchObject({
      text: 'The lamp went out.',
      importance: 9,
      publishedAt: '2026-01-01T00:00:00Z',
    });
    expect(keys(await read(first.cursor))).toEqual([]);

    write('new.txt', 'news');
    utimesSync(write('tide.md', 'It turned again.'), new Date(), new Date('2026-02-01T00:00:00Z'));
    const second = await read(first.cursor);
    expect(keys(second)).toEqual(['new.txt', 'tide.md']);
    expect(second.items[1]).toMatchObject({ publishedAt: '2026-02-01T00:00:00.000Z' });
  });

  test('also finds a file that is older than those already read', async () => {
    write('a.txt', 'a');
    const first = await read();
    utimesSync(write('old.txt', 'copied with its time'), new Date(), new Date('2001-01-01T00:00:00Z'));
    expect(keys(await read(first.cursor))).toEqual(['old.txt']);
  });

  test('with more than one poll takes is read on; nothing is left out', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) write(`${name}.txt`, name);
    const first = await read(null, { itemsPerPoll: 2 });
    expect({ keys: keys(first), left: first.left }).toEqual({ keys: ['a.txt', 'b.txt'], left: 3 });
    const second = await read(first.cursor, { itemsPerPoll: 2 });
    expect({ keys: keys(second), left: second.left }).toEqual({ keys: ['c.txt', 'd.txt'], left: 1 });
    const third = await read(second.cursor, { itemsPerPoll: 2 });
    expect({ keys: keys(third), left: third.left }).toEqual({ keys: ['e.txt'], left: 0 });
  });

  test('passes over other kinds, hidden files and empty folders', async () => {
    write('picture.png', 'x');
    write('.hidden.txt', 'x');
    write('.git/config.txt', 'x');
    write('list.txt.part', 'x');
    mkdirSync(join(root, 'notes', 'empty'));
    expect(keys(await read())).toEqual([]);
  });

  test('leaves a file that is still written to for the next read', async () => {
    write('a.txt', 'half');
    const first = await read(null, {}, { quietMs: 60_000 });
    expect({ keys: keys(first), left: first.left }).toEqual({ keys: [], left: 1 });
    // Its own time says nothing: it may have been copied with it.
    utimesSync(join(root, 'notes', 'a.txt'), new Date(), new Date('2001-01-01T00:00:00Z'));
    expect(keys(await read(first.cursor, {}, { quietMs: 60_000 }))).toEqual([]);
    expect(keys(await read(first.cursor))).toEqual(['a.txt']);
  });

  test('tells what cannot be read, also at later reads, and reads the rest', async () => {
    write('a.txt', Buffer.from([0x66, 0xff, 0xfe]));
    write('b.ndjson', '{"text":"good"}\n{"text":\n{"texts":"x"}\n');
    write('c.txt', ' \n');
    write('d.md', Buffer.alloc(6 * 1024 * 1024, 'x'));
    write('e.txt', 'good');
    const first = await read();
    expect(first.items.map(({ text }) => text)).toEqual(['good', 'good']);
    const note =
      'a.txt is not UTF-8; b.ndjson has 2 lines that cannot be read, the first is line 2; c.txt is empty; d.md is over 5242880 bytes';
    expect(first.note).toBe(note);
    const again = await read(first.cursor);
    expect({ keys: keys(again), note: again.note }).toEqual({ keys: [], note });
    for (const name of ['a.txt', 'c.txt', 'd.md']) rmSync(join(root, 'notes', name));
    write('b.ndjson', '{"text":"good"}\n');
    expect((await read(again.cursor)).note).toBe('');
  });

  test('with too many files is refused', async () => {
    for (let i = 0; i < 5_001; i += 1) writeFileSync(join(root, 'notes', `${i}.txt`), '');
    await expect(read()).rejects.toThrow('more than 5000 files');
  });
});

describe('nothing outside is read:', () => {
  test('a folder that the machine does not allow', async () => {
    for (const [folder, roots] of [
      [outside, [root]],
      ['/etc', [root]],
      [`${root}-other`, [root]],
      [join(root, 'notes'), []],
      [join(root, 'notes'), [join(root, 'not')]],
    ] as const) {
      const reader = createFolderReader({ roots, quietMs: 0 });
      await expect(reader.read(source({ folder }), { ownerId: 'usr_a', cursor: null, signal })).rejects.toMatchObject({
        code: 'ADDRESS_REFUSED',
      });
    }
  });

  test('fleet.yaml cannot climb out', () => {
    for (const folder of ['notes', '/a/../etc', '/a/./b', '/..', 'C:\\notes', '/a\0b', '']) {
      expect(() => source({ folder })).toThrow();
    }
    expect(source({ folder: '/a/..b/c.d' }).folder).toBe('/a/..b/c.d');
  });

  test('a folder that is a link out of the root', async () => {
    symlinkSync(outside, join(root, 'link'));
    await expect(read(null, { folder: join(root, 'link') })).rejects.toMatchObject({ code: 'ADDRESS_REFUSED' });
  });

  test('links in the folder, whatever they lead to', async () => {
    writeFileSync(join(outside, 'secret.txt'), 'secret');
    write('a.txt', 'a');
    symlinkSync(join(outside, 'secret.txt'), join(root, 'notes', 'b.txt'));
    symlinkSync(outside, join(root, 'notes', 'c'));
    symlinkSync(join(root, 'notes'), join(root, 'notes', 'ring'));
    expect(keys(await read())).toEqual(['a.txt']);
  });

  test('a link that was put in place of a file, or of a folder above it, after the list was made', async () => {
    writeFileSync(join(outside, 'a.txt'), 'secret');
    write('sub/a.txt', 'a');
    write('b.txt', 'b');
    const files = await listFiles(join(root, 'notes'), signal);
    renameSync(join(root, 'notes', 'sub'), join(root, 'away'));
    symlinkSync(outside, join(root, 'notes', 'sub'));
    rmSync(join(root, 'notes', 'b.txt'));
    symlinkSync(join(outside, 'a.txt'), join(root, 'notes', 'b.txt'));
    for (const file of files) expect(await readFileOnce(file, () => true)).toBe('moving');
  });

  test('and nothing behind such a link is opened, not even to look at it', async () => {
    // Whoever opens a pipe for writing waits until somebody opens it for reading: so it tells of it.
    const pipe = join(outside, 'a.txt');
    execFileSync('sh', ['-c', 'mkfifo "$0"', pipe]);
    let wasOpened = false;
    const writer = open(pipe, 'w').then((handle) => {
      wasOpened = true;
      return handle.close();
    });
    write('sub/a.txt', 'a');
    write('b.txt', 'b');
    const files = await listFiles(join(root, 'notes'), signal);
    expect(files.map(({ name }) => name).sort()).toEqual(['b.txt', 'sub/a.txt']);
    renameSync(join(root, 'notes', 'sub'), join(root, 'away'));
    symlinkSync(outside, join(root, 'notes', 'sub'));
    rmSync(join(root, 'notes', 'b.txt'));
    symlinkSync(pipe, join(root, 'notes', 'b.txt'));
    for (const file of files) expect(await readFileOnce(file, () => true)).toBe('moving');
    expect((await listFiles(join(root, 'notes'), signal)).map(({ name }) => name)).toEqual([]);
    await setTimeout(50);
    expect(wasOpened).toBe(false);
    const reader = await open(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    await writer;
    await reader.close();
    expect(wasOpened).toBe(true);
  });

  test('what is no file any more is passed over', async () => {
    const path = write('a.txt', 'a');
    write('b.txt', 'b');
    const [a, b] = await listFiles(join(root, 'notes'), signal);
    rmSync(path);
    const socket = createServer().listen(path);
    await once(socket, 'listening');
    rmSync(join(root, 'notes', 'b.txt'));
    mkdirSync(join(root, 'notes', 'b.txt'));
    expect(await readFileOnce(a!, () => true)).toBe('moving');
    expect(await readFileOnce(b!, () => true)).toBe('moving');
    expect(keys(await read())).toEqual([]);
    socket.close();
    await once(socket, 'close');
  });
});

test('lines are known by their id, else by what they say', () => {
  const items = (text: string) =>
    fileItems('a.ndjson', Buffer.from(text), '2026-01-01T00:00:00Z').items.map(({ key }) => key);
  expect(items('{"id":"1","text":"a"}\n{"id":"1","text":"b"}')).toEqual(['a.ndjson#1', 'a.ndjson#1']);
  const [one, two] = items('{"text":"a"}\n\n {"text":"a"} \r\n');
  expect(one).toBe(two);
});
