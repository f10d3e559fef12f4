import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readHome, readModes } from '../../doctor/home.ts';
import { judgeHome } from '../../domain/doctor.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-home-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const write = (name: string, text: string) => writeFileSync(join(folder, name), text, { mode: 0o600 });

test('what cannot be read is told file by file, and the rest is read', () => {
  write('ports.json', '{"api":17000,"postgres":17001,"redis":17002,"temporal":17003}');
  write('version.json', '{"app":');
  write('secrets.json', '{"postgresPassword":"planted-4711","redisPassword":7}');
  mkdirSync(join(folder, 'run', 'parts.json'), { recursive: true });
  write('keys', 'a file where a folder belongs');
  const home = readHome(folder);
  const { modes, unreadable } = readModes(home, []);
  const all = [...home.unreadable, ...unreadable].map(({ path, ...rest }) => ({
    ...rest,
    name: path.slice(folder.length + 1),
  }));
  expect(all).toEqual([
    { name: 'run/parts.json', why: 'EISDIR', denied: false },
    { name: 'secrets.json', why: 'is not what npm start wrote', denied: false },
    { name: 'version.json', why: 'is not what npm start wrote', denied: false },
    { name: 'keys', why: 'ENOTDIR', denied: false },
  ]);
  expect(home).toMatchObject({ ports: { api: 17_000 }, secrets: undefined, stamp: undefined, running: false });
  expect(modes.map(({ mode }) => mode)).toEqual([0o600]);
  const check = judgeHome(folder, true, [...home.unreadable, ...unreadable]);
  expect(check).toMatchObject({ state: 'fail', mend: expect.stringMatching(/^rm .*run\/parts\.json; end by hand/) });
  expect(check.detail).not.toContain('planted');
});

test('each is mended in its own way: files of somebody else, what is made anew, and what only a backup has', () => {
  const mendOf = (name: string, denied: boolean) =>
    judgeHome('/srv/.soulfra', true, [{ path: `/srv/.soulfra/${name}`, why: 'EACCES', denied }]).mend;
  expect(mendOf('ports.json', true)).toMatch(/^Run it as who runs npm start .* sudo chown/);
  expect(mendOf('ports.json', false)).toBe('rm /srv/.soulfra/ports.json; the next npm start takes ports anew.');
  expect(mendOf('secrets.json', false)).toMatch(/^Put .* back from a backup/);
  expect(judgeHome('/srv/.soulfra', true, []).state).toBe('ok');
  expect(judgeHome('/srv/.soulfra', false, []).state).toBe('skipped');
});

test('a home that is not there, or may not be entered, ends nothing', () => {
  expect(readHome(join(folder, 'none'))).toMatchObject({ there: false, unreadable: [], running: false });
  write('file', '');
  expect(readHome(join(folder, 'file')).unreadable.map(({ why }) => why)).toContain('ENOTDIR');
  mkdirSync(join(folder, 'closed'));
  chmodSync(join(folder, 'closed'), 0);
  const { unreadable } = readHome(join(folder, 'closed'));
  // Root enters every folder.
  expect(unreadable.every(({ denied }) => denied)).toBe(true);
  expect(unreadable.length > 0).toBe(process.getuid?.() !== 0);
  chmodSync(join(folder, 'closed'), 0o700);
});
