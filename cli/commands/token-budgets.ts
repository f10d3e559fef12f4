import type { Command } from 'commander';
import { line, printJson, table } from '../output.ts';
import { sessionOf } from '../program.ts';

interface TokenBudget {
  scope: string;
  subject: string;
  tokens: number;
  budget: number | null;
}

export function budgetCommand(program: Command): void {
  program
    .command('budgets')
    .description(
      'tokens that models wrote today (UTC) for agents, archetypes and services, with their budgets of fleet.yaml',
    )
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<TokenBudget>('/token-budgets', {}, 2_000);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['OF', (row) => row.scope],
          ['NAME', (row) => row.subject],
          ['TOKENS TODAY', (row) => row.tokens],
          ['BUDGET', (row) => row.budget],
        ]),
      );
    });
}
