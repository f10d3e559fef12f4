import type { Command } from 'commander';
import { type Check, type CheckState, summaryOf } from '../../domain/doctor.ts';
import type { ApiDoctor } from '../../doctor/examine.ts';
import { createClient } from '../client.ts';
import { CommandFailure, exitCodes } from '../failures.ts';
import { bad, dim, good, line, plain, printJson, warn } from '../output.ts';
import { outputOf } from '../program.ts';
import { findTarget } from '../target.ts';

const marks: Record<CheckState, string> = { ok: good('✔'), warn: warn('!'), fail: bad('✖'), skipped: dim('·') };

export function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .option('--file <file>', 'the fleet file', 'fleet.yaml')
    .option('--strict', 'a warning is a failure too')
    .description('what is amiss on this host and in the fleet, each with its mend; works with everything down')
    .addHelpText('after', '\nExit codes: 0 nothing fails · 1 something does, or with --strict warns · 2 bad input')
    .action(async ({ file, strict = false }: { file: string; strict?: boolean }, command: Command) => {
      const { json } = outputOf(command);
      // Loaded only here: no other command needs the clients of the servers.
      const { examine } = await import('../../doctor/examine.ts');
      const checks = await examine({ fleetFile: file, askApi: apiAsker() });
      const summary = summaryOf(checks);
      if (json) printJson({ summary, checks });
      else show(checks);
      const failing = summary.fail + (strict ? summary.warn : 0);
      if (failing > 0) {
        throw new CommandFailure(`${failing} of ${checks.length} checks ${strict ? 'fail or warn' : 'fail'}`, {
          exitCode: exitCodes.failed,
        });
      }
      if (!json) line(dim(`${summary.ok} ok, ${summary.warn} warn, ${summary.skipped} skipped`));
    });
}

function show(checks: readonly Check[]): void {
  const width = Math.max(...checks.map((check) => nameOf(check).length));
  for (const check of checks) {
    line(`${marks[check.state]} ${nameOf(check).padEnd(width)}  ${plain(check.detail)}`);
    if (check.mend !== null) line(`  ${' '.repeat(width)}  → ${plain(check.mend)}`);
  }
}

function nameOf({ id, machine }: Check): string {
  return machine === null ? id : `${machine} ${id}`;
}

/** Undefined where nothing says that there is an API. */
function apiAsker(): (() => Promise<ApiDoctor>) | undefined {
  try {
    const client = createClient(findTarget());
    return () => client.get<ApiDoctor>('/doctor');
  } catch (err) {
    if (err instanceof CommandFailure)
      return err.exitCode === exitCodes.unreachable ? undefined : () => Promise.reject(err);
    throw err;
  }
}
