import type { Command } from 'commander';
import { moneyText, parseMoney } from '../../domain/money.ts';
import { good, line, printJson, table } from '../output.ts';
import { sessionOf } from '../program.ts';

interface Budget {
  agentId: string;
  currency: string;
  amount: number;
  spent: number;
}
const mostBudgets = 200;

/** Added to `soulfra agents`: what an agent may spend on the marketplace. */
export function agentBudgetCommands(agents: Command): void {
  agents
    .command('budgets')
    .argument('<agent>', 'id of the agent')
    .description('what it may spend a month, by currency, and what it has spent')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Budget>(`/agents/${encodeURIComponent(id)}/budgets`, {}, mostBudgets);
      if (json) return printJson(page);
      if (page.items.length === 0) return line('It has no budget, and buys nothing.');
      line(
        table(page.items, [
          ['A MONTH', (budget) => moneyText(budget)],
          ['SPENT', ({ spent, currency }) => moneyText({ amount: spent, currency })],
          ['LEFT', ({ amount, spent, currency }) => moneyText({ amount: Math.max(0, amount - spent), currency })],
        ]),
      );
    });

  agents
    .command('budget')
    .argument('<agent>', 'id of the agent')
    .argument('<amount>', 'in decimal, such as 12.50; 0: it buys nothing')
    .argument('<currency>', 'its code by ISO 4217, such as EUR')
    .option('--dry-run', 'check only')
    .description('set what it may spend a month (UTC) on your credits')
    .action(async (id: string, text: string, code: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const money = parseMoney(text, code.toUpperCase());
      const path = `/agents/${encodeURIComponent(id)}/budgets`;
      const budget = await client.post<Budget & { would?: string }>(path, money, { dryRun });
      if (json) return printJson(budget);
      if (budget.would !== undefined) return line(`would ${budget.would}`);
      const spent = moneyText({ amount: budget.spent, currency: budget.currency });
      line(`${good('✔')} ${id} may spend ${moneyText(budget)} a month; ${spent} of it is spent`);
    });
}
