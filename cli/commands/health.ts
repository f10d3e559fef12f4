import type { Command } from 'commander';
import { ago, bad, bold, dim, good, line, plain, printJson, styledState, table, warn } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Ready {
  state: 'ready' | 'degraded';
  parts: Record<string, { state: 'up' | 'down'; ms: number; reason?: string }>;
}
type Counts = Record<'ok' | 'late' | 'failing' | 'lost' | 'not_set_up', number>;
export interface Subject {
  kind: string;
  id: string;
  name: string;
  state: string;
  reason: string;
  since: string;
  pendingState: string | null;
}
interface Summary {
  state: string;
  reason: string;
  judgedAt: string | null;
  counts: Counts;
  kinds: Array<{ kind: string; counts: Counts }>;
  worst: Subject[];
}
interface Change {
  kind: string;
  id: string;
  from: string | null;
  to: string;
  reason: string;
  at: string;
}

export function healthCommands(program: Command): void {
  const health = program
    .command('health')
    .description('whether the parts answer, and how the fleet does; exit 3 where a part does not answer')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      let down: unknown;
      const ready = await client.get<Ready>('/health/ready').catch((err: unknown) => {
        down = err;
        return undefined;
      });
      const summary = await client.get<Summary>('/health/summary').catch((err: unknown) => {
        throw down ?? err;
      });
      // What does not answer is told last, with its mend; the rest is of use all the same.
      if (ready === undefined) {
        if (!json) showSummary(summary);
        throw down;
      }
      if (json) return printJson({ ...ready, fleet: summary });
      line(
        Object.entries(ready.parts)
          .map(([name, part]) =>
            part.state === 'up' ? `${good('✔')} ${name} ${part.ms} ms` : `${bad('✖')} ${name} ${part.reason ?? 'down'}`,
          )
          .join('   '),
      );
      if (ready.state === 'degraded')
        line(warn('There is no Redis: everything works, rate limits are counted per process.'));
      line();
      showSummary(summary);
    });

  limitOption(
    health
      .command('list')
      .option(
        '--kind <kind>',
        'agent, machine, worker, model_server, schedule, channel, ledger, disk, backup, certificate, service, token or mirror',
      )
      .option('--state <state>', 'ok, late, failing, lost or not_set_up')
      .description('every part, the worst first'),
  ).action(async ({ limit, ...filters }: { limit: number; kind?: string; state?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Subject>('/health', filters, limit);
    if (json) return printJson(page);
    for (const subject of page.items) line(subjectLine(subject));
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  limitOption(
    health
      .command('changes')
      .option('--kind <kind>', 'only of this kind')
      .option('--id <id>', 'only of this one')
      .description('how it has changed, the last first'),
  ).action(async ({ limit, ...filters }: { limit: number; kind?: string; id?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Change>('/health/changes', filters, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['AT', (change) => ago(change.at)],
        ['KIND', (change) => change.kind],
        ['ID', (change) => change.id],
        ['FROM', (change) => change.from],
        ['TO', (change) => change.to],
        ['WHY', (change) => change.reason],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });
}

function subjectLine({ kind, id, name, state, reason, since }: Subject): string {
  const called = name === id ? id : `${id} (${plain(name)})`;
  const why = reason === '' ? '' : `: ${plain(reason)}`;
  return `${styledState(state.padEnd(7))} ${kind.replaceAll('_', ' ')} ${bold(called)}${why} ${dim(ago(since))}`;
}

function showSummary(summary: Summary): void {
  if (summary.reason !== '') {
    line(bad(summary.reason));
    if (summary.judgedAt !== null) line(dim(`last looked at ${ago(summary.judgedAt)}`));
  }
  if (summary.kinds.length === 0) return line('Nothing has been judged yet: a worker has to run for it.');
  const count = (of: keyof Counts) => (row: Summary['kinds'][number]) => row.counts[of] || '·';
  line(
    table(summary.kinds, [
      ['', (row) => row.kind.replaceAll('_', ' ')],
      ['OK', count('ok')],
      ['LATE', count('late')],
      ['FAILING', count('failing')],
      ['LOST', count('lost')],
      ['NOT SET UP', count('not_set_up')],
    ]),
  );
  line();
  if (summary.worst.length === 0 && summary.state === 'ok') return line(good('All is well.'));
  for (const subject of summary.worst) line(subjectLine(subject));
  const more = summary.counts.lost + summary.counts.failing + summary.counts.late - summary.worst.length;
  if (more > 0) line(dim(`and ${more} more: soulfra health list`));
}
