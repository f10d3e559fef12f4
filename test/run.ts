import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '../deploy/embedded/own-parts.ts';
import { notRunTable, notRunVariable, readNotRun } from './support/not-run.ts';

/** `npm test`: check, then every vitest project, then what this machine could not run. Arguments go to vitest. */
const folder = mkdtempSync(join(tmpdir(), 'soulfra-run-'));
const notRunFile = join(folder, 'not-run.ndjson');
const env = { ...process.env, ...notRunVariable(notRunFile) };
const runs = (args: string[]) =>
  spawnSync(process.execPath, args, { cwd: repositoryRoot, stdio: 'inherit', env }).status === 0;

const checked = runs([join('test', 'check.ts')]);
const tested = runs([join('node_modules', 'vitest', 'vitest.mjs'), 'run', ...process.argv.slice(2)]);
const rows = readNotRun(notRunFile);
rmSync(folder, { recursive: true });

const complete = rows.every((row) => row.excused);
process.stdout.write(rows.length === 0 ? '\nEverything was run.\n' : `\n${notRunTable(rows)}\n`);
if (process.env['CI'] && !complete) process.stdout.write('CI is set, so a test that was not run is a failure.\n');
process.stdout.write(`${checked ? '✔' : '✖'} check  ${tested ? '✔' : '✖'} tests\n`);
process.exitCode = checked && tested && (complete || !process.env['CI']) ? 0 : 1;
