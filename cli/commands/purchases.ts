import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { moneyText } from '../../domain/money.ts';
import type { Would } from '../licenses.ts';
import { ago, bold, dim, good, line, plain, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';
import { refundCommands } from './refunds.ts';

interface Price {
  amount: number;
  currency: string;
}
interface Purchase {
  id: string;
  buyer: string;
  seller: string;
  listingId: string;
  licenseKind: string;
  payment: string;
  state: string;
  reasonCode: string;
  reason: string;
  price: Price;
  split: { creators: Array<{ userId: string; amount: number }>; platform: number; blessings: number; tax: number };
  refunded: number;
  licenseId: string | null;
  createdAt: string;
}

export function purchaseCommands(program: Command): void {
  const purchases = program.command('purchases').description('what was bought and sold');

  purchases
    .command('buy')
    .argument('<listing>', 'its id')
    .argument('[kind]', 'kind of license; default: the first that it is sold as')
    .option('--agent <id>', 'your agent that asked for it')
    .option('--key <key>', 'the same key buys once, however often it is sent; default: a new one')
    .option('--dry-run', 'check only')
    .description('buy a license with credits, at the price that it has now')
    .action(
      async (
        listingId: string,
        wanted: string | undefined,
        { agent, key = randomUUID(), dryRun }: { agent?: string; key?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const { price, kinds } = await client.get<{ price: Price; kinds: string[] }>(
          `/listings/${encodeURIComponent(listingId)}`,
        );
        const body = { listingId, kind: wanted ?? kinds[0], price, buyerAgentId: agent };
        const headers = { 'idempotency-key': key };
        const purchase = await client.post<Purchase & Would>('/purchases', body, { dryRun }, headers);
        if (json) return printJson(purchase);
        if (purchase.would !== undefined) return line(`would ${purchase.would}`);
        if (purchase.state !== 'completed') return line(`${purchase.id} is ${purchase.state}: it goes on by itself`);
        line(`${good('✔')} ${purchase.id} for ${moneyText(purchase.price)}`);
        line(`  license ${purchase.licenseId}`);
      },
    );

  limitOption(
    purchases
      .command('list')
      .option('--as <role>', 'buyer or seller; default: both')
      .option('--state <state>', 'such as completed')
      .option('--listing <id>', 'of this listing')
      .description('purchases you made or sold, the last first'),
  ).action(async (options: { limit: number; as?: string; state?: string; listing?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const { limit, listing: listingId, ...filters } = options;
    const page = await client.list<Purchase>('/purchases', { ...filters, listingId }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['PURCHASE', ({ id }) => id],
        ['WHEN', ({ createdAt }) => ago(createdAt)],
        ['STATE', ({ state }) => state],
        ['PRICE', ({ price }) => moneyText(price)],
        ['KIND', ({ licenseKind }) => licenseKind],
        ['LISTING', ({ listingId: of }) => of],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  purchases
    .command('show')
    .argument('<purchase>', 'its id')
    .description('one purchase, with the split of its price')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const purchase = await client.get<Purchase>(pathOf(id));
      if (json) return printJson(purchase);
      const { split, price } = purchase;
      const money = (amount: number) => moneyText({ amount, currency: price.currency });
      line(`${bold(id)} ${styledState(purchase.state)} ${dim(plain(purchase.reason))}`);
      line(`listing   ${purchase.listingId}, ${purchase.licenseKind}`);
      line(`price     ${moneyText(price)} by ${purchase.payment}`);
      if (purchase.refunded > 0) line(`refunded  ${money(purchase.refunded)}`);
      line(`license   ${purchase.licenseId ?? 'none'}`);
      line(`buyer     ${purchase.buyer}`);
      line(`seller    ${purchase.seller}`);
      for (const { userId, amount } of split.creators) line(`creator   ${userId} ${money(amount)}`);
      line(`platform  ${money(split.platform)}, blessing pool ${money(split.blessings)}, tax ${money(split.tax)}`);
    });

  purchases
    .command('cancel')
    .argument('<purchase>', 'its id')
    .option('--dry-run', 'check only')
    .description('end an open purchase before its money is taken')
    .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const purchase = await client.post<Purchase & Would>(`${pathOf(id)}/cancel`, undefined, { dryRun });
      if (json) return printJson(purchase);
      line(purchase.would === undefined ? `${good('✔')} ${id} is ${purchase.state}` : `would ${purchase.would}`);
    });

  refundCommands(purchases);
}

function pathOf(id: string): string {
  return `/purchases/${encodeURIComponent(id)}`;
}
