import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { moneyText, parseMoney } from '../../domain/money.ts';
import { good, line, printJson } from '../output.ts';
import { sessionOf } from '../program.ts';

interface Grant {
  transferId: string;
  userId: string;
  amount: number;
  currency: string;
  balance: number;
  would?: string;
}

export function creditCommands(program: Command): void {
  program
    .command('credits')
    .description('prepaid credits to buy with')
    .command('grant')
    .argument('<user>', 'id of the user')
    .argument('<amount>', 'in decimal, such as 12.50')
    .argument('<currency>', 'its code by ISO 4217, such as EUR')
    .requiredOption('--reason <text>', 'why; it stands in the ledger')
    .option('--key <key>', 'the same key grants once, however often it is sent; default: a new one')
    .option('--dry-run', 'check only')
    .description('give a user credits')
    .action(
      async (
        userId: string,
        text: string,
        code: string,
        { reason, key = randomUUID(), dryRun }: { reason: string; key?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const { amount, currency } = parseMoney(text, code.toUpperCase());
        const body = { userId, amount, currency, reason };
        const grant = await client.post<Grant>('/credits/grants', body, { dryRun }, { 'idempotency-key': key });
        if (json) return printJson(grant);
        if (grant.would !== undefined) return line(`would ${grant.would}`);
        line(`${good('✔')} ${moneyText(grant)} to ${userId} (${grant.transferId})`);
        line(`  credits now ${moneyText({ amount: grant.balance, currency })}`);
      },
    );
}
