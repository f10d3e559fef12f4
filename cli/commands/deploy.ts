import { relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { runPart } from '../backup-part.ts';
import { bold, dim, good, line, printJson } from '../output.ts';
import { outputOf } from '../program.ts';
import { deployBackupCommands } from './deploy-backups.ts';
import { argumentsOf, deployProgram, type Machines, placed, tellMachines, type Where } from './deploy-place.ts';
import { promoteAndBackUp } from './deploy-promote.ts';

interface FileChange {
  path: string;
  action: string;
  byHand?: true;
}
interface PartChange {
  file: string;
  service: string;
  action: string;
}
interface UnitChange {
  unit: string;
  action: string;
}
interface Moved {
  madeAt: string;
  tables: number;
  rows: number;
  ledger: { transfers: number; hash: string };
  underWay: Record<string, number>;
  resumed: string[];
}
interface Made extends Machines {
  /** Null: nothing is taken along. */
  moved: Moved | null;
  changes: FileChange[];
  made: string[];
  url: string;
}
interface Planned {
  folder: string;
  machine: string;
  files: FileChange[];
  containers: PartChange[];
  units: UnitChange[];
}

interface InitOptions {
  systemd?: true;
  from?: string;
  resumeSchedules?: true;
}

interface PromoteOptions {
  out: string;
  machine?: string;
  fence?: true;
  oldIsOff?: true;
}

export function deployCommands(program: Command): void {
  const deploy = program.command('deploy').description('compose files for two machines or more, from fleet.yaml');

  placed(deploy.command('init'))
    .description(
      'make the folder: compose files, configuration, secrets, certificates; what is there of the last two stays',
    )
    .option('--systemd', 'units for hosts without Docker, of the programs on PATH here, in place of compose files')
    .option(
      '--from <folder>',
      'take the fleet along that `npm start` ran from this data folder (.soulfra), which is stopped',
    )
    .option('--resume-schedules', 'with --from: Schedules that are paused there may run')
    .action(async (where: Where & InitOptions, command: Command) => {
      const { json } = outputOf(command);
      const asked = [
        ...(where.systemd ? ['--systemd'] : []),
        ...(where.from === undefined ? [] : ['--from', resolve(where.from)]),
        ...(where.resumeSchedules ? ['--resume-schedules'] : []),
      ];
      const made = await runPart<Made>(deployProgram, ['init', ...argumentsOf(where), ...asked], { quiet: json });
      if (json) return printJson(made);
      const { folder, changes, url } = made;
      const out = relative(process.cwd(), folder) || '.';
      line(`${good('✔')} ${bold(folder)}: ${changesIn(changes)}, ${made.made.length} secrets and certificates made`);
      for (const { path } of changes.filter(({ byHand }) => byHand))
        line(dim(`  ${path} had been changed by hand, and was written over`));
      if (made.moved !== null) tellMoved(where.from!, made.moved);
      tellMachines(made);
      if (!made.units) line(`  then ${url}, with the token in ${out}/secrets/operator_token`);
    });

  placed(deploy.command('plan'))
    .option('--machine <id>', 'which machine of fleet.yaml this host is')
    .description('what an apply would change here: files, containers or units')
    .action(async (where: Where, command: Command) => {
      const { json } = outputOf(command);
      const plan = await runPart<Planned>(deployProgram, ['plan', ...argumentsOf(where)], { quiet: json });
      if (json) return printJson(plan);
      tell(plan);
    });

  placed(deploy.command('apply'))
    .option('--machine <id>', 'which machine of fleet.yaml this host is')
    .description(
      'bring files and containers, or units, of this machine to what fleet.yaml says; a second time it changes nothing',
    )
    .action(async (where: Where, command: Command) => {
      const { json } = outputOf(command);
      const done = await runPart<Planned>(deployProgram, ['apply', ...argumentsOf(where)], {
        quiet: json,
        onProgress: (text) => line(dim(`  ${text}`)),
      });
      if (json) return printJson({ ...done, changes: countOf(done) });
      const count = countOf(done);
      line(`${good('✔')} ${done.machine} is up: ${count === 0 ? 'nothing had to change' : `${count} changes`}`);
    });

  promoteCommand(deploy.command('promote'));
  deployBackupCommands(deploy);
}

function promoteCommand(promote: Command): void {
  promote
    .option('--out <folder>', 'the folder of the deployment', 'soulfra-deploy')
    .option('--machine <id>', 'which machine of fleet.yaml this host is')
    .option(
      '--fence',
      'where the old one still answers: have it acknowledge nothing more, and take over all that it has',
    )
    .option(
      '--old-is-off',
      'your word that the old one has no power, where it cannot be asked and did not wait for the copy',
    )
    .description(
      'on the standby: make it the first one, after the old one is fenced; on any other machine: follow it. It may be repeated',
    )
    .action(async ({ out, machine: id, fence, oldIsOff }: PromoteOptions, command: Command) => {
      const { json } = outputOf(command);
      const asked = [
        ...(id === undefined ? [] : ['--machine', id]),
        ...(fence ? ['--fence'] : []),
        ...(oldIsOff ? ['--old-is-off'] : []),
      ];
      const onProgress = (text: string) => line(dim(`  ${text}`));
      await promoteAndBackUp(['--out', resolve(out), ...asked], {
        promote: (args) => runPart(deployProgram, args, { quiet: json, onProgress }),
        backUp: (args) => runPart(deployProgram, args, { quiet: json }),
        say: json ? () => undefined : line,
        sayJson: json ? printJson : () => undefined,
      });
    });
}

const countOf = ({ files, containers, units }: Planned) => files.length + containers.length + units.length;

function tell(plan: Planned): void {
  const { machine, files, containers, units } = plan;
  if (countOf(plan) === 0) return line(`${good('✔')} ${machine} is as fleet.yaml says: 0 changes`);
  for (const { path, action, byHand } of files)
    line(`${action.padEnd(8)} ${path}${byHand ? '  (changed by hand)' : ''}`);
  for (const { file, service, action } of containers) line(`${action.padEnd(8)} ${service}  ${dim(file)}`);
  for (const { unit, action } of units) line(`${action.padEnd(8)} ${unit}`);
  line(`${countOf(plan)} changes; soulfra deploy apply does them`);
}

function tellMoved(from: string, { madeAt, tables, rows, ledger, underWay, resumed }: Moved): void {
  const words = `${tables} tables, ${rows} rows, ledger of ${ledger.transfers} transfers (${ledger.hash.slice(0, 12)})`;
  line(`${good('✔')} the fleet of ${from} as of ${madeAt} is taken along: ${words}`);
  const { asked = 0, by_parent: children = 0, over = 0 } = underWay;
  line(
    dim(
      `  ${asked + children} workflows under way begin anew from their rows; ${over} had somebody waiting who is gone`,
    ),
  );
  if (resumed.length > 0) line(dim(`  paused there, and running here: ${resumed.join(', ')}`));
  line(
    dim(`  apply brings it in before the API begins. ${from} stays as it is, and \`npm start\` refuses it from now on`),
  );
}

function changesIn(changes: readonly FileChange[]): string {
  return changes.length === 0 ? 'nothing had to change' : `${changes.length} files written`;
}
