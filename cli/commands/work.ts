import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { badInput } from '../failures.ts';
import type { Would } from '../licenses.ts';
import { ago, bold, dim, good, line, plain, printJson, styledState, table } from '../output.ts';
import { durationOption, limitOption, sessionOf, wholeNumber } from '../program.ts';

interface Work {
  id: string;
  service: string;
  queue: string;
  state: string;
  reason: string;
  priority: number;
  attempt: number;
  attempts: number;
  deadline: string;
  createdAt: string;
}
interface ShownWork extends Work {
  input: unknown;
  result: unknown;
  claims: Array<{ attempt: number; claimedAt: string; beatAt: string; outcome: string | null; reason: string }>;
}
interface SubmitOptions {
  priority?: number;
  attempts?: number;
  lease?: number;
  within?: number;
  key?: string;
  dryRun?: boolean;
}

export function workCommands(program: Command): void {
  const work = program.command('work').description('work for services: given, claimed, done (docs/work.md)');

  work
    .command('submit')
    .argument('<service>', 'whose entry in fleet.d has `joins`')
    .argument('<input>', 'JSON, or @FILE with JSON; documents go by id or URL')
    .option('--priority <priority>', '1 first, 5 last', wholeNumber)
    .option('--attempts <attempts>', 'claims at most', wholeNumber)
    .option('--lease <duration>', 'within this a claimer sends a heartbeat, such as 60s', durationOption)
    .option('--within <duration>', 'it expires after this, such as 2h; default: 7d', durationOption)
    .option('--key <key>', 'the same key is the same work, however often it is sent; default: a new one')
    .option('--dry-run', 'check only')
    .description('give a service work')
    .action(async (service: string, text: string, options: SubmitOptions, command: Command) => {
      const { client, json } = sessionOf(command);
      const { key = randomUUID(), dryRun, lease, within, priority, attempts } = options;
      const body = {
        service,
        input: inputOf(text),
        ...(priority === undefined ? {} : { priority }),
        ...(attempts === undefined ? {} : { attempts }),
        ...(lease === undefined ? {} : { leaseSeconds: lease }),
        ...(within === undefined ? {} : { deadline: new Date(Date.now() + within * 1000).toISOString() }),
      };
      const made = await client.post<Work & Would>('/work', body, { dryRun }, { 'idempotency-key': key });
      if (json) return printJson(made);
      if (made.would !== undefined) return line(`would ${made.would}`);
      line(`${good('✔')} ${made.id} waits on ${made.queue}; see: soulfra work show ${made.id}`);
    });

  limitOption(
    work
      .command('list')
      .option('--service <service>', 'of one service')
      .option('--state <state>', 'queued, running, completed, failed, expired or canceled')
      .description('work for services, the last submitted first'),
  ).action(async ({ limit, service, state }: { limit: number; service?: string; state?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Work>('/work', { service, state }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['WORK', (one) => one.id],
        ['SERVICE', (one) => one.service],
        ['STATE', (one) => styledState(one.state)],
        ['PRIORITY', (one) => one.priority],
        ['CLAIMS', (one) => `${one.attempt} of ${one.attempts}`],
        ['SUBMITTED', (one) => ago(one.createdAt)],
        ['REASON', (one) => one.reason],
      ]),
    );
  });

  work
    .command('show')
    .argument('<work>', 'id of the work')
    .description('its input, its result and who claimed it')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const shown = await client.get<ShownWork>(`/work/${encodeURIComponent(id)}`);
      if (json) return printJson(shown);
      line(`${bold(shown.id)} for ${shown.service}: ${styledState(shown.state)} ${plain(shown.reason)}`);
      line(dim(`priority ${shown.priority}, on ${shown.queue}, until ${shown.deadline}`));
      line(`input  ${plain(JSON.stringify(shown.input))}`);
      if (shown.state === 'completed') line(`result ${plain(JSON.stringify(shown.result))}`);
      if (shown.claims.length === 0) return;
      line(
        table(shown.claims, [
          ['CLAIM', (claim) => claim.attempt],
          ['CLAIMED', (claim) => ago(claim.claimedAt)],
          ['HEARTBEAT', (claim) => ago(claim.beatAt)],
          ['OUTCOME', (claim) => claim.outcome ?? 'under way'],
          ['REASON', (claim) => claim.reason],
        ]),
      );
    });

  work
    .command('cancel')
    .argument('<work>', 'id of the work')
    .option('--dry-run', 'check only')
    .description('end open work')
    .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const ended = await client.post<Work & Would>(`/work/${encodeURIComponent(id)}/cancel`, {}, { dryRun });
      if (json) return printJson(ended);
      line(ended.would === undefined ? `${good('✔')} ${id} is canceled` : `would ${ended.would}`);
    });
}

function inputOf(text: string): unknown {
  try {
    return JSON.parse(text.startsWith('@') ? readFileSync(text.slice(1), 'utf8') : text) as unknown;
  } catch (err) {
    throw badInput(`the input is no JSON: ${String(err)}`, 'Quote it for the shell, or name a file with @.', err);
  }
}
