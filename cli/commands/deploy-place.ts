import { relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { dim, line } from '../output.ts';

/** What every command of `soulfra deploy` is told: which fleet, which folder, which machine. */
export interface Where {
  file: string;
  out: string;
  machine?: string;
}

/** What does the work, in a process of its own. */
export const deployProgram = 'deploy/compose/main.ts';
export const argumentsOf = ({ file, out, machine }: Where) => [
  '--file',
  resolve(file),
  '--out',
  resolve(out),
  ...(machine === undefined ? [] : ['--machine', machine]),
];

export const placed = (command: Command) =>
  command
    .option('--file <file>', 'which fleet.yaml', 'fleet.yaml')
    .option('--out <folder>', 'the folder of the deployment', 'soulfra-deploy');

/** Whose folder it is, and which machines run by it. */
export interface Machines {
  folder: string;
  /** Of systemd, in place of containers. */
  units: boolean;
  coordination: string;
  standby: string | null;
  machines: string[];
}

/** How each machine takes up what changed in the folder: those of elsewhere need their part of it. */
export function tellMachines({ folder, units, coordination, standby, machines }: Machines): void {
  const out = relative(process.cwd(), folder) || '.';
  line(`  on ${coordination}: soulfra deploy apply --out ${out} --machine ${coordination}`);
  for (const id of machines.filter((each) => each !== coordination)) {
    if (units) {
      const [whom, as] = process.getuid?.() === 0 ? ['root@', ', as root'] : ['', ''];
      line(`  for ${id}: copy what it needs${as}, and nothing else, to the same folder there`);
      line(
        dim(
          `    tar -C ${folder} -T ${folder}/machines/${id}.files -cf - | ssh ${whom}${id} 'mkdir -p ${folder} && tar -C ${folder} -xpf -'`,
        ),
      );
      line(dim(`    there, in the checkout: npx soulfra deploy apply --out ${folder} --machine ${id}`));
      continue;
    }
    line(`  for ${id}${id === standby ? ', the standby' : ''}: copy what it needs, as root, and nothing else`);
    line(
      dim(
        `    tar -C ${out} -T ${out}/machines/${id}.files -cf - | ssh root@${id} 'mkdir -p soulfra-deploy && tar -C soulfra-deploy -xpf -'`,
      ),
    );
    line(dim(`    there, as root: in a checkout, npx soulfra deploy apply --out ~/soulfra-deploy --machine ${id}`));
    line(dim('    without one, in this order:'));
    // What `.env` says of CPUs is of the machine that it was made on.
    for (const file of [...(id === standby ? ['standby.yaml'] : []), `inference-${id}.yaml`])
      line(
        dim(
          `    ssh root@${id} 'SOULFRA_CPUS=$(nproc) docker compose --project-directory soulfra-deploy -f soulfra-deploy/${file} up -d --wait'`,
        ),
      );
  }
}
