import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '../deploy/embedded/own-parts.ts';
import { generateInto } from './generate.ts';

const program = (name: string) => join(repositoryRoot, 'node_modules', '.bin', name);

/** Name, what is run, and how a failure is mended. */
const checks: Array<[name: string, command: string[], mend: string]> = [
  ['types', [program('tsc'), '--noEmit', '-p', '.'], 'mend the lines named'],
  ['types of the web UI', [program('tsc'), '--noEmit', '-p', 'ui'], 'mend the lines named'],
  [
    'lint and import table',
    [program('oxlint'), '--type-aware', '.'],
    'mend the lines named; docs/architecture.md has the import table',
  ],
  ['format', [program('biome'), 'format', '.'], 'npx biome format --write .'],
  ['unused code', [program('knip')], 'remove what is named, or use it'],
];

function runs(name: string, command: string[], mend: string): boolean {
  const since = performance.now();
  const { status } = spawnSync(command[0]!, command.slice(1), { cwd: repositoryRoot, stdio: 'inherit' });
  return told(name, status === 0, mend, since);
}

function told(name: string, ok: boolean, mend: string, since: number): boolean {
  process.stdout.write(
    `${ok ? '✔' : '✖'} ${name} ${((performance.now() - since) / 1000).toFixed(1)} s${ok ? '' : `: ${mend}`}\n`,
  );
  return ok;
}

async function generatedIsUpToDate(): Promise<boolean> {
  const since = performance.now();
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-check-'));
  try {
    const files = await generateInto(folder);
    const stale = files.filter((file) => {
      const kept = join(repositoryRoot, file);
      return !existsSync(kept) || readFileSync(kept, 'utf8') !== readFileSync(join(folder, file), 'utf8');
    });
    return told(
      `generated files${stale.length > 0 ? ` (${stale.join(', ')})` : ''}`,
      stale.length === 0,
      'npm run gen',
      since,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of our own files where whoever checks has the tool: none of them comes with npm. CI brings what Debian has. */
const ifInstalled: Array<[tool: string, args: string[], files: RegExp]> = [
  ['shellcheck', ['--severity=warning'], /(?:\.sh|^\.ci\/run)$/],
  ['hadolint', ['--failure-threshold', 'warning'], /(?:^|\/)(?:[\w.-]+\.)?Dockerfile(?:\.[\w.-]+)?$/],
];

function ownFilesAreClean([tool, args, wanted]: (typeof ifInstalled)[number]): boolean {
  const { stdout } = spawnSync('git', ['ls-files', '-z'], { cwd: repositoryRoot, encoding: 'utf8' });
  const files = (stdout ?? '').split('\0').filter((file) => wanted.test(file));
  const { error } = spawnSync(tool, ['--version'], { stdio: 'ignore' });
  if (files.length > 0 && error === undefined) return runs(tool, [tool, ...args, ...files], 'mend the lines named');
  process.stdout.write(`– ${tool}: ${files.length === 0 ? 'no file of its kind' : 'not installed, left out'}\n`);
  return true;
}

const results = checks.map(([name, command, mend]) => runs(name, command, mend));
results.push(...ifInstalled.map(ownFilesAreClean));
results.push(await generatedIsUpToDate());
process.exitCode = results.every(Boolean) ? 0 : 1;
