import { resolve } from 'node:path';
import type { Command } from 'commander';

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
