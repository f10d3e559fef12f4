import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { decimalText } from '../../domain/money.ts';
import { CommandFailure, exitCodes } from '../failures.ts';
import { ago, bad, bold, dim, good, line, plain, printJson, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Account {
  id: string;
  kind: string;
  holder: string;
  currency: string;
  balance: number;
  version: number;
}
interface Transfer {
  id: string;
  kind: string;
  currency: string;
  purchaseId: string | null;
  reason: string;
  credited: number;
  debited: number;
  at: string;
}
interface TransferDetail extends Transfer {
  madeBy: string | null;
  entries: Array<{ accountId: string; kind: string; holder: string; amount: number; balance: number; version: number }>;
}
interface Reconciliation {
  period: string;
  madeAt: string;
  accounts: number;
  transfers: number;
  entries: number;
  discrepancies: number;
  found: Array<{ kind: string; subject: string; expected: string; found: string }>;
}

/** A pass over a few million entries takes about this long. */
const waitMs = 60_000;

export function ledgerCommands(program: Command): void {
  const ledger = program.command('ledger').description('accounts, transfers, and whether the books add up');

  limitOption(
    ledger
      .command('accounts')
      .option('--kind <kind>', 'outside, credits, escrow, creator, platform, blessings, tax, fees, disputes or payouts')
      .option('--currency <code>', 'only of this currency')
      .description('accounts with their balances'),
  ).action(async ({ limit, kind, currency }: { limit: number; kind?: string; currency?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Account>('/ledger/accounts', { kind, currency }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['ACCOUNT', (account) => account.id],
        ['KIND', (account) => account.kind],
        ['HOLDER', (account) => account.holder || '-'],
        ['BALANCE', (account) => decimalText({ ...account, amount: account.balance })],
        ['CURRENCY', (account) => account.currency],
        ['ENTRIES', (account) => account.version],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  limitOption(
    ledger
      .command('transfers')
      .option('--kind <kind>', 'such as grant, sale, refund or payout_paid')
      .option('--purchase <id>', 'only of this purchase')
      .option('--account <id>', 'only those that touched this account')
      .description('what was posted, the last first'),
  ).action(async (options: { limit: number; kind?: string; purchase?: string; account?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const { limit, kind, purchase, account } = options;
    const filters = { kind, purchaseId: purchase, accountId: account };
    const page = await client.list<Transfer>('/ledger/transfers', filters, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['TRANSFER', (transfer) => transfer.id],
        ['KIND', (transfer) => transfer.kind],
        ['IN', (transfer) => decimalText({ ...transfer, amount: transfer.credited })],
        ['OUT', (transfer) => decimalText({ ...transfer, amount: transfer.debited })],
        ['CURRENCY', (transfer) => transfer.currency],
        ['AT', (transfer) => ago(transfer.at)],
        ['WHY', (transfer) => transfer.reason],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  ledger
    .command('show')
    .argument('<transfer>', 'its id')
    .description('one transfer with its entries')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const transfer = await client.get<TransferDetail>(`/ledger/transfers/${encodeURIComponent(id)}`);
      if (json) return printJson(transfer);
      const { currency } = transfer;
      line(`${bold(transfer.id)} · ${transfer.kind} · ${currency} · ${ago(transfer.at)}`);
      if (transfer.reason !== '') line(plain(transfer.reason));
      if (transfer.madeBy !== null) line(dim(`by ${transfer.madeBy}`));
      line(
        table(transfer.entries, [
          ['ACCOUNT', (entry) => entry.accountId],
          ['KIND', (entry) => entry.kind],
          ['HOLDER', (entry) => entry.holder || '-'],
          ['AMOUNT', (entry) => decimalText({ amount: entry.amount, currency })],
          ['BALANCE', (entry) => decimalText({ amount: entry.balance, currency })],
        ]),
      );
    });

  ledger
    .command('reconcile')
    .option('--dry-run', 'check only')
    .description('look now whether the books add up; 1 where they do not')
    .action(async ({ dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const asked = await client.post<{ workflowId: string; period: string; would?: string }>(
        '/ledger/reconcile',
        {},
        { dryRun },
      );
      if (asked.would !== undefined) return json ? printJson(asked) : line(`would ${asked.would}`);
      const result = await awaitResult();
      if (json) printJson(result);
      else tell(result);
      if (result.discrepancies > 0) {
        throw new CommandFailure(
          `the books do not add up in ${result.discrepancies} ${result.discrepancies === 1 ? 'place' : 'places'}`,
          {
            exitCode: exitCodes.failed,
          },
        );
      }

      async function awaitResult(): Promise<Reconciliation> {
        for (const until = Date.now() + waitMs; ; ) {
          const { items } = await client.list<Reconciliation>('/ledger/reconciliations', { period: asked.period }, 1);
          if (items[0]) return items[0];
          if (Date.now() > until) {
            throw new CommandFailure(`${asked.workflowId} has not ended yet`, {
              exitCode: exitCodes.failed,
              mend: 'Its result will stand in /v1/ledger/reconciliations and, where something is wrong, in soulfra inbox.',
            });
          }
          await pause(250);
        }
      }
    });
}

function tell({ accounts, transfers, entries, discrepancies, found }: Reconciliation): void {
  const looked = `${accounts} accounts, ${transfers} transfers, ${entries} entries`;
  line(discrepancies === 0 ? `${good('✔')} ${looked}: all add up` : `${bad('✖')} ${looked}`);
  if (found.length === 0) return;
  line(
    table(found, [
      ['WHAT', ({ kind }) => kind],
      ['OF', ({ subject }) => subject],
      ['EXPECTED', ({ expected }) => expected],
      ['FOUND', (each) => each.found],
    ]),
  );
}
