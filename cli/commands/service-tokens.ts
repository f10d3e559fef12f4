import type { Command } from 'commander';
import { line, printJson } from '../output.ts';
import { sessionOf, wholeNumber } from '../program.ts';
import { daysOf } from './tokens.ts';

export function serviceTokenCommand(services: Command): void {
  services
    .command('token')
    .argument('<service>', 'its id, as fleet.d names it')
    .option('--name <name>', 'to know it again by; default: the id')
    .option('--days <n>', 'until it expires; default: 90', wholeNumber)
    .option('--never-expires', 'only for what cannot be given a new one')
    .description('make a token that opens what services are for, and nothing else; its secret is shown this one time')
    .action(
      async (service: string, options: { name?: string; days?: number; neverExpires?: true }, command: Command) => {
        const { client, json } = sessionOf(command);
        const made = await client.post<{ id: string; token: string }>('/tokens', {
          service,
          name: options.name,
          expiresInDays: daysOf(options),
        });
        if (json) printJson(made);
        else line(made.token);
      },
    );
}
