import type { Command } from 'commander';
import { line, printJson } from '../output.ts';
import { sessionOf, wholeNumber } from '../program.ts';

export function serviceTokenCommand(services: Command): void {
  services
    .command('token')
    .argument('<service>', 'its id, as fleet.d names it')
    .option('--name <name>', 'to know it again by; default: the id')
    .option('--days <n>', 'until it expires; default: never', wholeNumber)
    .description('make a token that opens what services are for, and nothing else; its secret is shown this one time')
    .action(async (service: string, { name, days }: { name?: string; days?: number }, command: Command) => {
      const { client, json } = sessionOf(command);
      const made = await client.post<{ id: string; token: string }>('/tokens', { service, name, expiresInDays: days });
      if (json) printJson(made);
      else line(made.token);
    });
}
