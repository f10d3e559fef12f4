import type { Command } from 'commander';
import { decimalText } from '../../domain/money.ts';
import { ago, dim, good, line, printJson, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Payout {
  id: string;
  userId: string;
  provider: string;
  amount: number;
  currency: string;
  state: string;
  reference: string | null;
  reason: string;
  startedAt: string;
}
interface Answer {
  id?: string;
  state?: string;
  would?: string;
}

export function payoutCommands(program: Command): void {
  const payouts = program.command('payouts').description('what creators are paid');

  limitOption(
    payouts
      .command('list')
      .option('--state <state>', 'started, paid or failed')
      .option('--user <id>', 'only of this creator')
      .description('the last first'),
  ).action(async ({ limit, state, user }: { limit: number; state?: string; user?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Payout>('/payouts', { state, userId: user }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['PAYOUT', (payout) => payout.id],
        ['TO', (payout) => payout.userId],
        ['AMOUNT', (payout) => decimalText(payout)],
        ['CURRENCY', (payout) => payout.currency],
        ['BY', (payout) => payout.provider],
        ['STATE', (payout) => payout.state],
        ['STARTED', (payout) => ago(payout.startedAt)],
        ['WHY', (payout) => payout.reference ?? payout.reason],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  ending('paid', 'reference', 'what the bank calls it', 'say that a payout by hand has arrived');
  ending('failed', 'reason', 'why', 'say that a payout by hand could not be made');

  payouts
    .command('account')
    .argument('<user>', 'id of the creator')
    .argument('[account]', 'connected account of Stripe, acct_…; left out: by hand')
    .option('--dry-run', 'check only')
    .description('where a creator is paid from now on')
    .action(async (userId: string, account: string | undefined, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const body = { userId, provider: 'stripe', account: account ?? null };
      const answer = await client.post<Answer>('/payouts/accounts', body, { dryRun });
      if (json) return printJson(answer);
      if (answer.would !== undefined) return line(`would ${answer.would}`);
      line(`${good('✔')} ${userId} is paid ${account === undefined ? 'by hand' : `to ${account}`}`);
    });

  function ending(name: 'paid' | 'failed', field: 'reference' | 'reason', meaning: string, description: string): void {
    payouts
      .command(name)
      .argument('<payout>', 'its id')
      .requiredOption(`--${field} <text>`, meaning)
      .option('--dry-run', 'check only')
      .description(description)
      .action(
        async (id: string, { dryRun, ...said }: { dryRun?: boolean } & Record<string, string>, command: Command) => {
          const { client, json } = sessionOf(command);
          const body = { [field]: said[field] };
          const answer = await client.post<Answer>(`/payouts/${encodeURIComponent(id)}/${name}`, body, { dryRun });
          if (json) return printJson(answer);
          if (answer.would !== undefined) return line(`would ${answer.would}`);
          line(`${good('✔')} ${id} is ${answer.state}`);
        },
      );
  }
}
