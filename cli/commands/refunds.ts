import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { moneyText, parseMoney } from '../../domain/money.ts';
import type { Would } from '../licenses.ts';
import { ago, dim, good, line, printJson, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Refund {
  id: string;
  purchaseId: string;
  payment: string;
  amount: number;
  currency: string;
  state: string;
  revokedLicense: boolean;
  reason: string;
  failure: string;
  madeAt: string;
}
interface Dispute {
  id: string;
  purchaseId: string;
  provider: string;
  amount: number;
  currency: string;
  reason: string;
  state: string;
  openedAt: string;
}
interface ListOptions {
  limit: number;
  state?: string;
}

/** What goes back of purchases. @param purchases the command that these stand under */
export function refundCommands(purchases: Command): void {
  purchases
    .command('refund')
    .argument('<purchase>', 'its id')
    .argument('[amount]', 'in decimal, in the currency of the purchase; default: all that is left')
    .requiredOption('--reason <text>', 'why; it stands in the ledger')
    .option('--force', 'also where the license was used or passed on')
    .option('--key <key>', 'the same key refunds once, however often it is sent; default: a new one')
    .option('--dry-run', 'check only')
    .description('give back what was paid, as it was paid; all of it revokes the license')
    .action(
      async (
        id: string,
        text: string | undefined,
        options: { reason: string; force?: boolean; key?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const { reason, force, key = randomUUID(), dryRun } = options;
        const path = `/purchases/${encodeURIComponent(id)}`;
        const { price } = await client.get<{ price: { currency: string } }>(path);
        const amount = text === undefined ? undefined : parseMoney(text, price.currency).amount;
        const headers = { 'idempotency-key': key };
        const body = { amount, reason, force };
        const refund = await client.post<Refund & Would>(`${path}/refunds`, body, { dryRun }, headers);
        if (json) return printJson(refund);
        if (refund.would !== undefined) return line(`would ${refund.would}`);
        if (refund.state !== 'done') {
          line(`${refund.id} is on its way: it goes on by itself`);
          return line(dim(`soulfra purchases refunds ${id}`));
        }
        line(`${good('✔')} ${moneyText(refund)} given back (${refund.id})`);
        if (refund.revokedLicense) line('  nothing is left of the sale: its license is revoked');
      },
    );

  limitOption(
    purchases
      .command('refunds')
      .argument('[purchase]', 'of this one; default: of all that you made or sold')
      .option('--state <state>', 'pending, done or failed')
      .description('what was given back, by credits or through a provider, the last first'),
  ).action(async (purchaseId: string | undefined, { limit, state }: ListOptions, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Refund>('/refunds', { purchaseId, state }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['REFUND', ({ id }) => id],
        ['WHEN', ({ madeAt }) => ago(madeAt)],
        ['STATE', (refund) => refund.state],
        ['AMOUNT', (refund) => moneyText(refund)],
        ['BY', ({ payment }) => payment],
        ['PURCHASE', (refund) => refund.purchaseId],
        ['WHY', ({ failure, reason }) => (failure === '' ? reason : failure)],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  limitOption(
    purchases
      .command('disputes')
      .argument('[purchase]', 'of this one; default: of all that you made or sold')
      .option('--state <state>', 'open, won or lost')
      .description('what buyers have disputed at their bank'),
  ).action(async (purchaseId: string | undefined, { limit, state }: ListOptions, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Dispute>('/disputes', { purchaseId, state }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['DISPUTE', ({ id }) => id],
        ['OPENED', ({ openedAt }) => ago(openedAt)],
        ['STATE', (dispute) => dispute.state],
        ['AMOUNT', (dispute) => moneyText(dispute)],
        ['AT', ({ provider }) => provider],
        ['PURCHASE', (dispute) => dispute.purchaseId],
        ['WHY', ({ reason }) => reason],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });
}
