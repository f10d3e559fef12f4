import type { Command } from 'commander';
import { ago, line, printJson, styledState, table } from '../output.ts';
import { durationOption, limitOption, sessionOf } from '../program.ts';

interface Entry {
  id: string;
  at: string;
  actor: string | null;
  actorName: string | null;
  tokenId: string | null;
  role: string | null;
  service: string | null;
  method: string;
  route: string;
  subjects: string[];
  outcome: string;
  status: number | null;
}

interface Asked {
  actor?: string;
  subject?: string;
  outcome?: string;
  since?: number;
  limit: number;
}

export function auditCommand(program: Command): void {
  limitOption(
    program
      .command('audit')
      .option('--actor <id>', 'of a user, token or service')
      .option('--subject <id>', 'what it was about')
      .option('--outcome <outcome>', 'done, refused, failed or unknown')
      .option('--since <time>', 'no longer ago than this, such as 7d', durationOption)
      .description('who asked for which write, and what became of it; the last first'),
  ).action(async ({ actor, subject, outcome, since, limit }: Asked, command: Command) => {
    const { client, json } = sessionOf(command);
    const filters = {
      actor,
      subject,
      outcome,
      since: since === undefined ? undefined : new Date(Date.now() - since * 1000).toISOString(),
    };
    const page = await client.list<Entry>('/audit', filters, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['WHEN', (entry) => ago(entry.at)],
        ['WHO', whoOf],
        ['ROLE', (entry) => entry.role ?? ''],
        ['WRITE', (entry) => `${entry.method} ${entry.route}`],
        ['OF', (entry) => entry.subjects.join(' ')],
        ['OUTCOME', (entry) => `${styledState(entry.outcome)}${entry.status === null ? '' : ` ${entry.status}`}`],
        ['REQUEST', (entry) => entry.id],
      ]),
    );
  });
}

function whoOf({ actor, actorName, service, tokenId }: Entry): string {
  if (service !== null) return `service ${service}`;
  if (actor === null) return 'nobody signed in';
  return `${actorName ?? actor} by ${tokenId}`;
}
