import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { builtAssets, isBuilt, putInPlace } from '../../deploy/embedded/built-pages.ts';

let root: string;
let target: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'soulfra-built-'));
  target = join(root, 'ui');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Pages as the builder leaves them: one that names its script, and the script. */
function built(name: string, { whole = true } = {}): string {
  const folder = join(root, `ui-${name}`);
  mkdirSync(join(folder, 'assets'), { recursive: true });
  writeFileSync(join(folder, 'assets', `index-${name}.js`), name);
  writeFileSync(join(folder, 'service-worker.js'), name);
  if (whole) writeFileSync(join(folder, 'index.html'), `index-${name}.js`);
  return folder;
}

/** What a browser gets: the page, and the script that it names. */
function served(): { page: string; script: string } {
  const page = readFileSync(join(target, 'index.html'), 'utf8');
  return { page, script: readFileSync(join(target, 'assets', page), 'utf8') };
}

describe('built pages', () => {
  test('take the place of those before, whose assets stay until the build after', () => {
    for (const name of ['one', 'two', 'three']) {
      const folder = built(name);
      putInPlace(folder, target, `hash of ${name}`);
      rmSync(folder, { recursive: true, force: true });
      expect(served()).toEqual({ page: `index-${name}.js`, script: name });
      expect(isBuilt(target, `hash of ${name}`)).toBe(true);
      expect(builtAssets(target)).toEqual([`index-${name}.js`]);
    }
    expect(readdirSync(join(target, 'assets')).sort()).toEqual(['index-three.js', 'index-two.js']);
    expect(readFileSync(join(target, 'service-worker.js'), 'utf8')).toBe('three');
  });

  test('that are cut off in the middle leave the old ones whole, and are built again', () => {
    putInPlace(built('one'), target, 'hash of one');
    expect(() => putInPlace(built('two', { whole: false }), target, 'hash of two')).toThrow('ENOENT');
    expect(served()).toEqual({ page: 'index-one.js', script: 'one' });
    expect(isBuilt(target, 'hash of one')).toBe(false);
    expect(isBuilt(target, 'hash of two')).toBe(false);
    rmSync(join(root, 'ui-two'), { recursive: true });
    putInPlace(built('two'), target, 'hash of two');
    expect(served()).toEqual({ page: 'index-two.js', script: 'two' });
  });
});
