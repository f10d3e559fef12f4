import { existsSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { type Found, findFleet } from '../../config/imports/import-fleet.ts';
import { readPortRule } from '../../config/imports/port-rule-files.ts';
import type { MachineFile } from '../../config/imports/read-fleet.ts';
import { importFilesOf, type Merged, mergeImport, writeImport } from '../../config/imports/written-fleet.ts';
import type { PortRule } from '../../domain/services.ts';
import { bold, confirm, dim, good, line, plain, printJson, warn } from '../output.ts';
import { outputOf } from '../program.ts';

interface Options {
  machine: MachineFile[];
  portRule: PortRule[];
  file: string;
  dryRun?: boolean;
}

/** Of one kind of message on a terminal; --json has all. */
const mostTold = 20;

export function importCommand(program: Command): void {
  program
    .command('import')
    .argument('<path...>', 'folders and files of the fleet that exists')
    .option('--machine <id=file>', 'a file or folder below the paths is of this machine; repeat it', machineFile, [])
    .option('--port-rule <name=+n>', 'a port that no file declares, such as health=+1; repeat it', portRule, [])
    .option('--file <file>', 'the fleet beside which fleet.d/imported.yaml is written', 'fleet.yaml')
    .option('--dry-run', 'say what would be written; write nothing')
    .description('read the services of an existing fleet into fleet.d/imported.yaml; nothing of it is run')
    .action(async (paths: string[], options: Options, command: Command) => {
      const output = outputOf(command);
      const machines = existsSync(options.file) ? loadFleetFile(options.file).machines : undefined;
      const found = findFleet({ paths, machineFiles: options.machine, portRules: options.portRule, machines });
      const files = importFilesOf(options.file);
      const merged = mergeImport(files, found.file);
      const dry = options.dryRun === true;
      if (!output.json) showFound(found, merged);
      // A wrong path looks like a fleet that was taken apart.
      const many = merged.gone >= 3 && merged.gone * 2 > merged.known;
      if (
        many &&
        !dry &&
        !(await confirm(`${merged.gone} of ${merged.known} services are not found any more. Go on?`, output))
      )
        return;
      const written = dry ? false : writeImport(files, merged);
      if (output.json) return printJson(asJson(found, merged, { file: files.imported, written, dryRun: dry }));
      line();
      if (dry)
        line(
          `Nothing is written. ${merged.text === merged.before.text ? 'Nothing would change.' : `${files.imported} would change.`}`,
        );
      else line(written ? `${good('✔')} ${files.imported}` : `${good('✔')} nothing changes in ${files.imported}`);
    });
}

export function machineFile(text: string, before: MachineFile[]): MachineFile[] {
  const found = /^([a-z][a-z0-9]*(?:-[a-z0-9]+)*)=(.+)$/s.exec(text);
  if (!found) throw new InvalidArgumentError('It is a machine and a file, such as mainpc=config/startup.yaml.');
  return [...before, { machine: found[1]!, file: found[2]!.replace(/^\.\//, '').replace(/\/+$/, '') }];
}

export function portRule(text: string, before: PortRule[]): PortRule[] {
  const at = text.indexOf('=');
  const rule = at === -1 ? undefined : readPortRule(text.slice(0, at), text.slice(at + 1));
  if (rule === undefined)
    throw new InvalidArgumentError('It is a name and what is added to the main port, such as health=+1.');
  return [...before, rule];
}

function showFound({ file, notes, skipped, filesRead }: Found, merged: Merged): void {
  const ports = file.services.flatMap((service) => service.ports ?? []);
  const derived = ports.filter((port) => port.derived !== undefined).length;
  const gpus = file.services.filter(({ gpu }) => gpu !== undefined).length;
  line(
    `${bold(`${file.services.length} services`)}, ${file.workPackages.length} work packages in ${filesRead} files; ${ports.length} ports, ${derived} of them by rule; ${gpus} ${gpus === 1 ? 'needs' : 'need'} a GPU`,
  );
  const byMachine = Map.groupBy(file.services, ({ machine }) => machine ?? 'no machine named');
  for (const [machine, services] of [...byMachine].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    line(`  ${machine}: ${services.length}`);
  showList('new', merged.added);
  showList('changed', merged.changed);
  showList('gone', merged.removed);
  showList('kept as you wrote it', merged.conflicts.map(conflictLine), warn);
  showList('open', merged.open, warn);
  showList('to know', notes);
  showList(
    'not read',
    skipped.map(({ path, reason }) => `${path} ${reason}`),
  );
}

function showList(title: string, lines: readonly string[], style: (text: string) => string = dim): void {
  if (lines.length === 0) return;
  line(style(`${title} (${lines.length})`));
  for (const each of lines.slice(0, mostTold)) line(`  ${plain(each)}`);
  if (lines.length > mostTold) line(dim(`  and ${lines.length - mostTold} more; --json has all`));
}

function conflictLine({ key, field, kept, offered }: Merged['conflicts'][number]): string {
  const shown = (value: unknown) => (value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 120));
  if (field !== undefined) return `${key}.${field}: ${shown(kept)}; the repository says ${shown(offered)}`;
  return kept === undefined
    ? `${key}: you removed it, and the repository changed it`
    : `${key}: you changed it, and the repository has it no more`;
}

function asJson(
  { file, notes, skipped, filesRead }: Found,
  merged: Merged,
  more: { file: string; written: boolean; dryRun: boolean },
) {
  const { added, changed, removed, conflicts, open } = merged;
  return { ...more, filesRead, found: file, added, changed, removed, conflicts, open, notes, skipped };
}
