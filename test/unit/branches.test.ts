import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { commitOnBranch, dropBranch } from '../../integrations/repositories/branches.ts';

let repository: string;
const git = (...args: string[]) =>
  execFileSync('git', ['-C', repository, '-c', 'user.name=x', '-c', 'user.email=x@localhost', ...args], {
    encoding: 'utf8',
  }).trim();
/** All that a rollback must leave as it was. */
const all = () => [
  git('for-each-ref'),
  git('status', '--porcelain'),
  git('rev-parse', 'HEAD'),
  readFileSync(join(repository, 'a.yaml'), 'utf8'),
];
const madeAt = new Date('2026-11-22T10:00:00Z');
const change = (more: object = {}) => ({
  branch: 'soulfra/rlt_1/wp-01',
  key: 'rlt_1/wp-01/1/0',
  subject: 'wp-01: ports',
  madeAt,
  edits: [{ file: 'a.yaml', find: 'port: 7200', replace: 'port: 7210' }],
  ...more,
});

beforeEach(() => {
  repository = mkdtempSync(join(tmpdir(), 'soulfra-repository-'));
  git('init', '-q', '-b', 'main');
  writeFileSync(join(repository, 'a.yaml'), 'name: a\nport: 7200\n');
  git('add', '.');
  git('commit', '-qm', 'one');
  // What a person is at work on.
  writeFileSync(join(repository, 'a.yaml'), 'name: a\nport: 7200\nmine: yes\n');
});
afterEach(() => rmSync(repository, { recursive: true }));

test('an edit is a commit on a branch of its own, made once, and working tree, index and HEAD stay', async () => {
  const before = all();
  const commit = await commitOnBranch(repository, change());
  expect(await commitOnBranch(repository, change())).toBe(commit);
  expect(git('show', 'soulfra/rlt_1/wp-01:a.yaml')).toBe('name: a\nport: 7210');
  expect(git('rev-list', '--count', 'main..soulfra/rlt_1/wp-01')).toBe('1');
  const after = all();
  expect(after.slice(1)).toEqual(before.slice(1));
  const diff = 'diff --git a/b.txt b/b.txt\nnew file mode 100644\n--- /dev/null\n+++ b/b.txt\n@@ -0,0 +1 @@\n+new\n';
  await commitOnBranch(repository, change({ key: 'rlt_1/wp-01/1/1', edits: undefined, diff }));
  expect(git('rev-list', '--count', 'main..soulfra/rlt_1/wp-01')).toBe('2');
  // The first again, with the second on top of it: it was made.
  expect(await commitOnBranch(repository, change())).toBe(commit);
  await dropBranch(repository, 'soulfra/rlt_1/wp-01');
  await dropBranch(repository, 'soulfra/rlt_1/wp-01');
  expect(all()).toEqual(before);
});

test('what does not fit is refused, and leaves nothing', async () => {
  const before = all();
  const refused = async (more: object, why: string) => {
    await expect(commitOnBranch(repository, change(more))).rejects.toThrow(why);
    expect(all()).toEqual(before);
  };
  await refused({ edits: [{ file: 'a.yaml', find: 'port: 1', replace: 'x' }] }, 'nowhere');
  await refused({ edits: [{ file: 'a.yaml', find: 'a', replace: 'x' }] }, 'more than once');
  await refused({ edits: [{ file: 'c.yaml', find: 'a', replace: 'x' }] }, 'is not in the repository');
  await refused({ edits: [{ file: 'a.yaml', find: 'port: 7200', replace: 'port: 7200' }] }, 'changes nothing');
  const diff = '--- a/a.yaml\n+++ b/a.yaml\n@@ -1,2 +1,2 @@\n name: b\n-port: 1\n+port: 2\n';
  await refused({ edits: undefined, diff }, 'does not apply');
  const outside = '--- /dev/null\n+++ b/../../outside\n@@ -0,0 +1 @@\n+new\n';
  await refused({ edits: undefined, diff: outside }, 'does not apply');
});

test('nothing of the repository is run', async () => {
  const marker = join(repository, '.git', 'ran');
  const program = join(repository, '.git', 'program');
  writeFileSync(program, `#!/bin/sh\ntouch ${marker}\n`);
  chmodSync(program, 0o755);
  for (const hook of ['reference-transaction', 'post-commit', 'pre-commit', 'post-index-change']) {
    mkdirSync(join(repository, '.git', 'hooks'), { recursive: true });
    writeFileSync(join(repository, '.git', 'hooks', hook), `#!/bin/sh\ntouch ${marker}\n`, { mode: 0o755 });
  }
  git('config', 'core.fsmonitor', program);
  git('config', 'filter.x.clean', program);
  git('config', 'filter.x.smudge', program);
  writeFileSync(join(repository, '.gitattributes'), '* filter=x\n');
  rmSync(marker, { force: true });
  await commitOnBranch(repository, change());
  await dropBranch(repository, 'soulfra/rlt_1/wp-01');
  expect(() => readFileSync(marker)).toThrow('ENOENT');
});

test('a branch with the work of others, or checked out, is left alone', async () => {
  await commitOnBranch(repository, change());
  const other = join(repository, '.git', 'other-tree');
  git('worktree', 'add', '-q', other, 'soulfra/rlt_1/wp-01');
  await expect(commitOnBranch(repository, change({ key: 'rlt_1/wp-01/1/1' }))).rejects.toThrow('is checked out');
  await expect(dropBranch(repository, 'soulfra/rlt_1/wp-01')).rejects.toThrow('is checked out');
  writeFileSync(join(other, 'c.txt'), 'by hand');
  git('-C', other, 'add', '.');
  git('-C', other, 'commit', '-qm', 'by hand');
  git('worktree', 'remove', '--force', other);
  await expect(dropBranch(repository, 'soulfra/rlt_1/wp-01')).rejects.toThrow('1 commits that are not ours');
  expect(git('rev-parse', '--verify', '--quiet', 'soulfra/rlt_1/wp-01')).not.toBe('');
});
