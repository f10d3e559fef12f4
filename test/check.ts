import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
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
  ['hadolint', ['--no-color', '--failure-threshold', 'info'], /(?:^|\/)(?:[\w.-]+\.)?Dockerfile(?:\.[\w.-]+)?$/],
];

function ownFilesAreClean([tool, args, wanted]: (typeof ifInstalled)[number]): boolean {
  const { stdout } = spawnSync('git', ['ls-files', '-z'], { cwd: repositoryRoot, encoding: 'utf8' });
  const files = (stdout ?? '').split('\0').filter((file) => wanted.test(file));
  const { error } = spawnSync(tool, ['--version'], { stdio: 'ignore' });
  if (files.length > 0 && error === undefined) return runs(tool, [tool, ...args, ...files], 'mend the lines named');
  process.stdout.write(`– ${tool}: ${files.length === 0 ? 'no file of its kind' : 'not installed, left out'}\n`);
  return true;
}

/** What is not ignored by git, whether it is checked in yet or not. Nothing that is found is shown but its rule and place. */
function holdsNoSecret(): boolean {
  const { error } = spawnSync('gitleaks', ['version'], { stdio: 'ignore' });
  const listed = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: repositoryRoot,
    encoding: 'utf8',
  });
  const files = (listed.stdout ?? '')
    .split('\0')
    .filter((file) => file !== '' && existsSync(join(repositoryRoot, file)));
  if (error !== undefined || files.length === 0) {
    process.stdout.write(`– gitleaks: ${error === undefined ? 'no file that git knows' : 'not installed, left out'}\n`);
    return true;
  }
  // It takes one folder, and ours holds packages and data besides.
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-secrets-'));
  try {
    for (const file of files) cpSync(join(repositoryRoot, file), join(folder, file), { dereference: false });
    const rules = ['--config', join(repositoryRoot, '.gitleaks.toml'), '--ignore-gitleaks-allow'];
    const told = ['--redact', '--verbose', '--no-banner', '--no-color', '--log-level', 'warn'];
    return runs('gitleaks', ['gitleaks', 'dir', folder, ...rules, ...told], 'take out what is named, and make it anew');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const results = checks.map(([name, command, mend]) => runs(name, command, mend));
results.push(...ifInstalled.map(ownFilesAreClean));
results.push(holdsNoSecret());
results.push(await generatedIsUpToDate());
process.exitCode = results.every(Boolean) ? 0 : 1;
