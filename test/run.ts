import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { repositoryRoot } from '../deploy/embedded/own-parts.ts';
import { notRunTable, notRunVariable, readNotRun } from './support/not-run.ts';

/**
 * `npm test`: check, then every vitest project, then what this machine could not run. Arguments go to vitest.
 * With CI set, up to `mostSecondTries` failed files run once more, alone, and are named: a shared machine that stood still for
 * some seconds is not the change's fault, but each line of `second try` is a race to be looked for.
 */
const folder = mkdtempSync(join(tmpdir(), 'soulfra-run-'));
const notRunFile = join(folder, 'not-run.ndjson');
const env = { ...process.env, ...notRunVariable(notRunFile) };
const runs = (args: string[]) =>
  spawnSync(process.execPath, args, { cwd: repositoryRoot, stdio: 'inherit', env }).status === 0;

const mostSecondTries = 3;

function runTests(args: string[]): boolean {
  const report = join(folder, 'tests.json');
  const vitest = [join('node_modules', 'vitest', 'vitest.mjs'), 'run'];
  if (runs([...vitest, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...args])) return true;
  const failed = failedFiles(report);
  if (!process.env['CI'] || failed.length === 0 || failed.length > mostSecondTries) return false;
  const passed = runs([...vitest, '--no-file-parallelism', ...failed]);
  for (const file of failed) process.stdout.write(`second try: ${file} ${passed ? 'passed' : 'see above'}\n`);
  return passed;
}

/** Empty where what failed was no test: an error outside of any, or a report that was not written. */
function failedFiles(report: string): string[] {
  if (!existsSync(report)) return [];
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as TestReport;
  return testResults.filter(({ status }) => status !== 'passed').map(({ name }) => relative(repositoryRoot, name));
}

interface TestReport {
  testResults: Array<{ name: string; status: string }>;
}

const checked = runs([join('test', 'check.ts')]);
const tested = runTests(process.argv.slice(2));
const rows = readNotRun(notRunFile);
rmSync(folder, { recursive: true });

const complete = rows.every((row) => row.excused);
process.stdout.write(rows.length === 0 ? '\nEverything was run.\n' : `\n${notRunTable(rows)}\n`);
if (process.env['CI'] && !complete) process.stdout.write('CI is set, so a test that was not run is a failure.\n');
process.stdout.write(`${checked ? '✔' : '✖'} check  ${tested ? '✔' : '✖'} tests\n`);
process.exitCode = checked && tested && (complete || !process.env['CI']) ? 0 : 1;
