import type { Command } from 'commander';
import { runPart } from '../backup-part.ts';
import { confirm, dim, good, line, printJson, table } from '../output.ts';
import { outputOf } from '../program.ts';

const part = 'deploy/tls/main.ts';

interface Status {
  folder: string;
  authorities: Array<{ generation: number; fingerprint: string; notBefore: string; notAfter: string }>;
}

export function tlsCommands(program: Command): void {
  const tls = program.command('tls').description('the fleet’s own certificate authority; on the box that has it');

  tls
    .command('status')
    .option('--folder <folder>', 'of another authority; default: tls/ of the data folder')
    .description('generations of the authority that are trusted; with everything down, too')
    .action(async ({ folder }: { folder?: string }, command: Command) => {
      const { json } = outputOf(command);
      const status = await runPart<Status>(part, argsOf('status', folder), { quiet: true });
      if (json) return printJson(status);
      show(status);
    });

  tls
    .command('rotate-ca')
    .option('--folder <folder>', 'of another authority; default: tls/ of the data folder')
    .description(
      'make the next authority: both are trusted until every machine has come over by itself, within minutes',
    )
    .action(async ({ folder }: { folder?: string }, command: Command) => {
      const output = outputOf(command);
      if (!(await confirm('Make the next authority?', output))) return;
      const status = await runPart<Status>(part, argsOf('rotate-ca', folder), { quiet: true });
      if (output.json) return printJson(status);
      line(
        `${good('✔')} machines come over within minutes; those that are off come when they are back (soulfra machine invites)`,
      );
      show(status);
    });
}

function argsOf(act: string, folder: string | undefined): string[] {
  return [act, ...(folder === undefined ? [] : ['--folder', folder])];
}

function show({ folder, authorities }: Status): void {
  line(
    table(authorities, [
      ['AUTHORITY', ({ generation }) => generation],
      ['FINGERPRINT', ({ fingerprint }) => fingerprint],
      ['MADE', ({ notBefore }) => notBefore.slice(0, 10)],
      ['UNTIL', ({ notAfter }) => notAfter.slice(0, 10)],
      ['', ({ generation }) => (generation === authorities.at(-1)?.generation ? 'signs' : 'still trusted')],
    ]),
  );
  line(dim(folder));
}
