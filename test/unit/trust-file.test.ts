import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import fc from 'fast-check';
import { addTrusted, readTrustFile, sha256, trustOf } from '../../config/trust-file.ts';
import { commandText, isTrusted } from '../../domain/service-trust.ts';
import { serviceSchema } from '../../domain/services.ts';
import { lacks } from '../support/not-run.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-trust-'));
  file = join(folder, 'trust.yaml');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const quill = { id: 'quill', command: ['python3', 'quill.py'], folder: '/srv/quill', environment: ['QUILL_KEY'] };
const spec = (more: object = {}) =>
  serviceSchema.parse({ id: 'quill', kind: 'process', command: ['python3', 'quill.py'], source: 'a.yaml:1', ...more });
const own = { mode: 0o600 };

test('what is added is trusted, only its owner may read it, and comments stay', () => {
  expect(readTrustFile(file).services).toEqual([]);
  addTrusted(file, quill);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  writeFileSync(file, `${readFileSync(file, 'utf8')}# mine\n`, own);
  addTrusted(file, { ...quill, id: 'other' });
  addTrusted(file, { ...quill, command: ['python3', 'new.py'] });
  expect(readFileSync(file, 'utf8')).toContain('# mine');
  expect(readTrustFile(file).services.map(({ id, command }) => [id, command?.[1]])).toEqual([
    ['quill', 'new.py'],
    ['other', 'quill.py'],
  ]);
  expect(trustOf(readTrustFile(file), spec())).toEqual({ changed: true });
  expect(trustOf(readTrustFile(file), spec({ command: ['python3', 'new.py'] }))).toHaveProperty('entry');
  expect(trustOf(readTrustFile(file), spec({ id: 'third' }))).toEqual({ changed: false });
});

test('a hash may stand in place of the command', () => {
  const hash = sha256(commandText(spec(), ['QUILL_KEY']));
  const { command: _, ...rest } = quill;
  const entry = { ...rest, sha256: hash };
  expect(isTrusted(entry, spec(), sha256)).toBe(true);
  expect(isTrusted({ ...entry, environment: [] }, spec(), sha256)).toBe(false);
  expect(isTrusted(entry, spec({ workingDirectory: 'elsewhere' }), sha256)).toBe(false);
});

test('of an image its ports are trusted with it, and nothing of them is left to be guessed', () => {
  const image = { id: 'quill', image: 'quill:1', folder: '/srv/quill', environment: [] };
  const container = (ports: object[]) =>
    spec({
      kind: 'container',
      command: undefined,
      image: 'quill:1',
      ports: ports.map((port) => ({ name: 'a', ...port })),
    });
  const local = [{ port: 8080, containerPort: 80, address: '127.0.0.1' }];
  expect(isTrusted({ ...image, ports: local }, container(local), sha256)).toBe(true);
  expect(isTrusted({ ...image, ports: local }, container([{ port: 8080, containerPort: 80 }]), sha256)).toBe(false);
  expect(isTrusted({ ...image, ports: local }, container([{ ...local[0], port: 22 }]), sha256)).toBe(false);
  expect(isTrusted(image, container(local), sha256)).toBe(false);
  expect(isTrusted(image, container([]), sha256)).toBe(true);
  const plain = [{ port: 80, containerPort: 80, protocol: 'tcp' as const }];
  expect(isTrusted({ ...image, ports: plain }, container([{ port: 80 }]), sha256)).toBe(true);
  const { image: _, ...rest } = image;
  const entry = { ...rest, sha256: sha256(commandText(container(local), [])) };
  expect(isTrusted(entry, container(local), sha256)).toBe(true);
  expect(isTrusted(entry, container([]), sha256)).toBe(false);
  // The ports of a process are its own to open: they are part of its command.
  expect(isTrusted(quill, spec({ ports: [{ name: 'main', port: 8080 }] }), sha256)).toBe(true);
});

test('no other words are trusted than the same ones', () => {
  const words = fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(words, words, (agreed, described) => {
      const same = JSON.stringify(agreed) === JSON.stringify(described);
      expect(isTrusted({ ...quill, command: agreed }, { command: described }, sha256)).toBe(same);
      expect(isTrusted({ ...quill, command: agreed }, { command: agreed }, sha256)).toBe(
        agreed.every((word) => word.isWellFormed()),
      );
      expect(isTrusted({ ...quill, command: agreed }, { command: agreed, image: 'x' }, sha256)).toBe(false);
    }),
  );
});

test.each([0o620, 0o602, 0o666])('a file of mode %o is refused', (mode) => {
  addTrusted(file, quill);
  chmodSync(file, mode);
  const told = `must not be writable by group or others (its mode is ${mode.toString(8)})`;
  expect(() => readTrustFile(file)).toThrow(told);
  expect(() => addTrusted(file, quill)).toThrow(told);
});

test('so are a folder that others may write in, a link, a folder in its place, and what is no trust file', () => {
  addTrusted(file, quill);
  chmodSync(folder, 0o777);
  expect(() => readTrustFile(file)).toThrow(`${folder} must not be writable by group or others`);
  chmodSync(folder, 0o700);
  symlinkSync(file, join(folder, 'link.yaml'));
  expect(() => readTrustFile(join(folder, 'link.yaml'))).toThrow('must not be a symbolic link');
  mkdirSync(join(folder, 'deep'));
  expect(() => readTrustFile(join(folder, 'deep'))).toThrow('must be a plain file');
  writeFileSync(file, 'version: 1\nservices: [{ id: quill, folder: /srv }]\n', own);
  expect(() => readTrustFile(file)).toThrow('must have either sha256, or command or image');
  writeFileSync(file, `version: 1\nservices: [${JSON.stringify(quill)}, ${JSON.stringify(quill)}]\n`, own);
  expect(() => readTrustFile(file)).toThrow('is there twice');
});

const root = process.geteuid?.() === 0;
const row = { test: 'a trust file of another user', needs: 'root, to make one', command: 'sudo npm run test:unit' };
test.skipIf(lacks({ ...row, excused: true }, root))('so is one of another user', () => {
  addTrusted(file, quill);
  chownSync(file, 4_242, 4_242);
  expect(() => readTrustFile(file)).toThrow('must belong to user 0, who runs the worker, and belongs to user 4242');
});
