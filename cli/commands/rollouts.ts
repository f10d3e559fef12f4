import { existsSync, readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { parseRollout } from '../../config/rollout-file.ts';
import { yamlErrorLines } from '../../config/yaml-file.ts';
import { planRollout, type RolloutFile, type RolloutPlan } from '../../domain/rollouts.ts';
import { badInput, CommandFailure, exitCodes } from '../failures.ts';
import { bold, dim, good, line, plain, printJson, warn } from '../output.ts';
import { outputOf } from '../program.ts';

const defaultFile = 'rollout.yaml';

export function rolloutCommands(program: Command): void {
  const rollout = program.command('rollout').description('work packages that bring the fleet to production, in order');
  rollout
    .command('plan')
    .argument('[file]', 'the file', defaultFile)
    .option('--fleet <file>', 'the fleet whose machines it names', 'fleet.yaml')
    .description('waves, critical path and overlaps, or every error of the file; needs nothing running')
    .action((file: string, { fleet }: { fleet: string }, command: Command) => {
      const read = readRollout(file, existsSync(fleet) ? loadFleetFile(fleet).machines.map(({ id }) => id) : undefined);
      const planned = planRollout(read.workPackages);
      if (outputOf(command).json) printJson(planned);
      else for (const text of planLines(read, planned)) line(text);
    });
}

function readRollout(file: string, machines: readonly string[] | undefined): RolloutFile {
  let source: string;
  try {
    source = readFileSync(file, 'utf8');
  } catch (err) {
    throw badInput(
      `${file} cannot be read: ${(err as Error).message}`,
      'Name the file; docs/rollout.md says what it holds.',
    );
  }
  const read = parseRollout(source, file, machines);
  if ('rollout' in read) return read.rollout;
  for (const text of yamlErrorLines(read.errors)) line(text);
  throw new CommandFailure(`${file} has ${read.errors.length} error${read.errors.length === 1 ? '' : 's'}`, {
    exitCode: exitCodes.badInput,
    code: 'CONFIG_INVALID',
  });
}

function planLines({ workPackages }: RolloutFile, { waves, criticalPath, overlaps }: RolloutPlan): string[] {
  const byId = new Map(workPackages.map((each) => [each.id, each]));
  const told = waves.flatMap((ids, i) => [
    bold(`wave ${i + 1}`),
    ...ids.map((id) => {
      const { title, dependsOn, steps, machines } = byId.get(id)!;
      const where = machines === undefined ? 'all machines' : machines.join(', ');
      const after = dependsOn.length === 0 ? '' : `; after ${dependsOn.join(', ')}`;
      return `  ${id}  ${plain(title)} ${dim(`(${steps.map(({ kind }) => kind).join(', ')}; ${where}${after})`)}`;
    }),
  ]);
  const path = `critical path: ${criticalPath.packages.join(' → ')}, ${criticalPath.minutes} min`;
  if (overlaps.length === 0) return [...told, path, good('no two packages on one field')];
  const twice = overlaps.map(({ field, packages: [first, second] }) => `${field}: ${first}, then ${second}`);
  return [
    ...told,
    path,
    warn(`on one field, one after the other (${twice.length})`),
    ...twice.map((text) => `  ${text}`),
  ];
}
