import { relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { runPart } from '../backup-part.ts';
import { bold, dim, good, line, printJson } from '../output.ts';
import { outputOf } from '../program.ts';

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
interface Made {
  folder: string;
  changes: FileChange[];
  made: string[];
  coordination: string;
  standby: string | null;
  machines: string[];
  url: string;
}
interface Planned {
  folder: string;
  machine: string;
  files: FileChange[];
  containers: PartChange[];
}

interface Where {
  file: string;
  out: string;
  machine?: string;
}

const main = 'deploy/compose/main.ts';
const argumentsOf = ({ file, out, machine }: Where) => [
  '--file',
  resolve(file),
  '--out',
  resolve(out),
  ...(machine === undefined ? [] : ['--machine', machine]),
];

export function deployCommands(program: Command): void {
  const deploy = program.command('deploy').description('compose files for two machines or more, from fleet.yaml');
  const placed = (command: Command) =>
    command
      .option('--file <file>', 'which fleet.yaml', 'fleet.yaml')
      .option('--out <folder>', 'the folder of the deployment', 'soulfra-deploy');

  placed(deploy.command('init'))
    .description(
      'make the folder: compose files, configuration, secrets, certificates; what is there of the last two stays',
    )
    .option('--systemd', 'units for hosts without Docker, of the programs on PATH here, in place of compose files')
    .action(async (where: Where & { systemd?: true }, command: Command) => {
      const { json } = outputOf(command);
      const units = where.systemd ? ['--systemd'] : [];
      const made = await runPart<Made>(main, ['init', ...argumentsOf(where), ...units], { quiet: json });
      if (json) return printJson(made);
      const { folder, changes, coordination, standby, machines, url } = made;
      const out = relative(process.cwd(), folder) || '.';
      line(`${good('✔')} ${bold(folder)}: ${changesIn(changes)}, ${made.made.length} secrets and certificates made`);
      for (const { path } of changes.filter(({ byHand }) => byHand))
        line(dim(`  ${path} had been changed by hand, and was written over`));
      if (where.systemd) {
        const here = `${folder}/units/${coordination}`;
        line(`  on ${coordination}: cp ${here}/*.service /etc/systemd/system/ && systemctl daemon-reload`);
        line(`    systemctl enable --now $(cd ${here} && ls)`);
        for (const id of machines.filter((each) => each !== coordination))
          line(dim(`  for ${id}: what ${out}/machines/${id}.files names, to the same folder there; then likewise`));
        return;
      }
      line(`  on ${coordination}: soulfra deploy apply --out ${out} --machine ${coordination}`);
      for (const id of machines.filter((each) => each !== coordination)) {
        line(`  for ${id}${id === standby ? ', the standby' : ''}: copy what it needs, as root, and nothing else`);
        line(
          dim(
            `    tar -C ${out} -T ${out}/machines/${id}.files -cf - | ssh root@${id} 'mkdir -p soulfra-deploy && tar -C soulfra-deploy -xpf -'`,
          ),
        );
        line(
          dim(
            `    ssh root@${id} docker compose --project-directory soulfra-deploy -f soulfra-deploy/inference-${id}.yaml up -d --wait`,
          ),
        );
      }
      line(`  then ${url}, with the token in ${out}/secrets/operator_token`);
    });

  placed(deploy.command('plan'))
    .option('--machine <id>', 'which machine of fleet.yaml this host is')
    .description('what an apply would change here: files, containers')
    .action(async (where: Where, command: Command) => {
      const { json } = outputOf(command);
      const plan = await runPart<Planned>(main, ['plan', ...argumentsOf(where)], { quiet: json });
      if (json) return printJson(plan);
      tell(plan);
    });

  placed(deploy.command('apply'))
    .option('--machine <id>', 'which machine of fleet.yaml this host is')
    .description('bring files and containers of this machine to what fleet.yaml says; a second time it changes nothing')
    .action(async (where: Where, command: Command) => {
      const { json } = outputOf(command);
      const done = await runPart<Planned>(main, ['apply', ...argumentsOf(where)], {
        quiet: json,
        onProgress: (text) => line(dim(`  ${text}`)),
      });
      if (json) return printJson({ ...done, changes: done.files.length + done.containers.length });
      const count = done.files.length + done.containers.length;
      line(`${good('✔')} ${done.machine} is up: ${count === 0 ? 'nothing had to change' : `${count} changes`}`);
    });
}

function tell({ machine, files, containers }: Planned): void {
  if (files.length + containers.length === 0) return line(`${good('✔')} ${machine} is as fleet.yaml says: 0 changes`);
  for (const { path, action, byHand } of files)
    line(`${action.padEnd(8)} ${path}${byHand ? '  (changed by hand)' : ''}`);
  for (const { file, service, action } of containers) line(`${action.padEnd(8)} ${service}  ${dim(file)}`);
  line(`${files.length + containers.length} changes; soulfra deploy apply does them`);
}

function changesIn(changes: readonly FileChange[]): string {
  return changes.length === 0 ? 'nothing had to change' : `${changes.length} files written`;
}
