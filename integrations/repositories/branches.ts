import { isUtf8 } from 'node:buffer';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';

/** Commits on a branch without a working tree: git's own plumbing, on an index of ours. */

export interface BranchEdit {
  file: string;
  /** Must stand there exactly once. */
  find: string;
  replace: string;
}

export interface BranchChange {
  branch: string;
  /** What the commit is known by: the same again is the same commit. */
  key: string;
  subject: string;
  /** Of the commit: the same whenever it is made. */
  madeAt: Date;
  diff?: string | undefined;
  edits?: readonly BranchEdit[] | undefined;
  /** Files as they are to be; where they are so already, there is nothing to commit. */
  files?: ReadonlyMap<string, string> | undefined;
}

const trailer = 'Soulfra-Step';
const noCommit = '0'.repeat(40);

/**
 * Nothing of the repository is run: hooks, file system monitors and filters are programs, and its configuration may name any.
 * Its `.gitattributes` cannot, since nothing is checked out.
 */
const harmless = [
  '-c',
  'core.hooksPath=/dev/null',
  '-c',
  'core.fsmonitor=false',
  '-c',
  'gc.auto=0',
  '-c',
  'core.pager=cat',
  '-c',
  'log.showSignature=false',
];

/**
 * One commit on a branch, which begins where HEAD is. The working tree, the index and HEAD stay as they are.
 * @returns the commit, made now or before; undefined where the files are as they are to be
 * @throws CONFLICT where the change does not fit, or the branch is checked out
 */
export async function commitOnBranch(
  repository: string,
  change: BranchChange,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const git = gitOf(repository, signal);
  const { branch, key } = change;
  await refuseCheckedOut(git, branch);
  const ref = `refs/heads/${branch}`;
  const tip = await commitAt(git, ref);
  if (tip !== undefined) {
    const made = await git(['log', '-1', '--format=%H', '--fixed-strings', `--grep=${trailer}: ${key}`, tip]);
    if (made !== '') return made;
  }
  const base = tip ?? (await commitAt(git, 'HEAD'));
  if (base === undefined) throw refused(`${repository} has no commit yet`);
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-index-'));
  try {
    const within = gitOf(repository, signal, { GIT_INDEX_FILE: join(folder, 'index') });
    await within(['read-tree', base]);
    if (change.diff !== undefined)
      await within(['apply', '--cached', '--whitespace=nowarn', '-'], change.diff).catch((err: unknown) => {
        throw refused(`the diff does not apply to ${branch}: ${(err as Error).message}`, err);
      });
    for (const edit of change.edits ?? []) await applyEdit(within, edit);
    for (const [file, text] of change.files ?? []) {
      const blob = await within(['hash-object', '-w', '--stdin'], text);
      await within(['update-index', '--add', '--cacheinfo', `100644,${blob},${file}`]);
    }
    const tree = await within(['write-tree']);
    const changesNothing = tree === (await within(['rev-parse', `${base}^{tree}`]));
    if (changesNothing && change.diff === undefined && change.edits === undefined) return undefined;
    if (changesNothing) throw refused(`the change of ${branch} changes nothing`);
    const message = `${change.subject}\n\n${trailer}: ${key}\n`;
    const at = `${Math.floor(change.madeAt.getTime() / 1000)} +0000`;
    const who = { NAME: 'Soulfra', EMAIL: 'soulfra@localhost', DATE: at };
    const named = Object.fromEntries(
      Object.entries(who).flatMap(([field, value]) => [
        [`GIT_AUTHOR_${field}`, value],
        [`GIT_COMMITTER_${field}`, value],
      ]),
    );
    const commit = await gitOf(repository, signal, named)(['commit-tree', tree, '-p', base], message);
    // Only from where we saw it: another one's commit is never lost.
    await git(['update-ref', ref, commit, tip ?? noCommit]);
    return commit;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Takes a branch of ours away; one that is gone is gone.
 * @throws CONFLICT where somebody else has committed on it, or it is checked out
 */
export async function dropBranch(repository: string, branch: string, signal?: AbortSignal): Promise<void> {
  const git = gitOf(repository, signal);
  const ref = `refs/heads/${branch}`;
  const tip = await commitAt(git, ref);
  if (tip === undefined) return;
  await refuseCheckedOut(git, branch);
  // What no other branch has: all of it must be ours.
  const own = await git([
    'log',
    '--format=%H%x09%(trailers:key=Soulfra-Step,valueonly,separator=%x2C)',
    tip,
    '--not',
    `--exclude=${ref}`,
    '--all',
  ]);
  const strange = own.split('\n').filter((line) => line !== '' && line.split('\t')[1] === '');
  if (strange.length > 0)
    throw refused(
      `${branch} has ${strange.length} commits that are not ours; keep them elsewhere, or delete the branch`,
    );
  await git(['update-ref', '-d', ref, tip]);
}

type Git = (args: readonly string[], input?: string) => Promise<string>;

async function commitAt(git: Git, ref: string): Promise<string | undefined> {
  const found = await git(['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`]).catch(
    (err: unknown) => {
      if (err instanceof GitFailed && err.status === 1) return '';
      throw err;
    },
  );
  return found === '' ? undefined : found;
}

/** A branch that moves under a working tree would show as undone work there. */
async function refuseCheckedOut(git: Git, branch: string): Promise<void> {
  const trees = await git(['worktree', 'list', '--porcelain']);
  if (trees.split('\n').includes(`branch refs/heads/${branch}`))
    throw refused(`${branch} is checked out; switch to another branch there`);
}

async function applyEdit(git: Git, { file, find, replace }: BranchEdit): Promise<void> {
  const entry = await git(['ls-files', '--stage', '--', `:(literal)${file}`]);
  const [mode, blob] = entry.split(/\s/);
  if (mode === undefined || blob === undefined || blob === '') throw refused(`${file} is not in the repository`);
  if (mode !== '100644' && mode !== '100755') throw refused(`${file} is no plain file`);
  const text = await git(['cat-file', 'blob', blob], undefined);
  const first = text.indexOf(find);
  if (first === -1 || text.includes(find, first + 1))
    throw refused(
      `${file} holds what is to be replaced ${first === -1 ? 'nowhere' : 'more than once'}: ${find.slice(0, 100)}`,
    );
  const changed = await git(
    ['hash-object', '-w', '--stdin'],
    text.slice(0, first) + replace + text.slice(first + find.length),
  );
  await git(['update-index', '--cacheinfo', `${mode},${changed},${file}`]);
}

function refused(why: string, cause?: unknown): DomainError {
  return new DomainError('CONFLICT', why, { cause });
}

class GitFailed extends Error {
  readonly status: number | null;
  constructor(args: readonly string[], status: number | null, said: string) {
    super(`git ${args[0]} failed: ${said.trim().slice(0, 2_000) || `status ${status}`}`);
    this.status = status;
  }
}

const mostOutput = 64 * 1024 * 1024;

function gitOf(repository: string, signal?: AbortSignal, env: Record<string, string> = {}): Git {
  return (args, input = '') =>
    new Promise((resolve, reject) => {
      const child = spawn('git', [...harmless, '-C', repository, ...args], {
        env: {
          PATH: process.env['PATH'],
          HOME: process.env['HOME'],
          LC_ALL: 'C',
          GIT_TERMINAL_PROMPT: '0',
          GIT_NO_LAZY_FETCH: '1',
          ...env,
        },
        stdio: ['pipe', 'pipe', 'pipe'],
        ...(signal === undefined ? {} : { signal }),
      });
      const out: Buffer[] = [];
      const said: Buffer[] = [];
      let size = 0;
      child.stdout.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > mostOutput) child.kill('SIGKILL');
        else out.push(chunk);
      });
      child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
      // Git may end before it has read all; how it ended says why.
      child.stdin.on('error', () => undefined);
      child.stdin.end(input);
      child.on('error', (err: NodeJS.ErrnoException) =>
        reject(err.code === 'ENOENT' ? refused('git is not installed on this machine', err) : err),
      );
      child.on('close', (status) => {
        if (status !== 0) return reject(new GitFailed(args, status, Buffer.concat(said).toString('utf8')));
        const bytes = Buffer.concat(out);
        // Read as UTF-8 and written back, every other byte would be lost.
        if (!isUtf8(bytes)) return reject(refused(`git ${args[0]} told what is not UTF-8`));
        const text = bytes.toString('utf8');
        resolve(args[0] === 'cat-file' ? text : text.trim());
      });
    });
}
