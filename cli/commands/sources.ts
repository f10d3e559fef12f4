import type { Command } from 'commander';
import { ago, bold, dim, good, line, plain, printJson, styledState, table, warn } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Source {
  id: string;
  kind: string;
  state: string;
  from: string;
  agents: 'all' | string[];
  every: string | null;
  nextPollAt: string | null;
  lastOkAt: string | null;
  failures: number;
  lastError: string;
  lastErrorAt: string | null;
  note: string;
  items: number;
  pending: number;
}
interface Item {
  title: string;
  url: string | null;
  version: number;
  receivedAt: string;
  deliveredAt: string | null;
  agents: number;
}

export function sourceCommands(program: Command): void {
  const sources = program.command('sources').description('what feeds memories from outside');

  limitOption(sources.command('list').description('sources of fleet.yaml and how they do')).action(
    async ({ limit }: { limit: number }, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Source>('/sources', {}, limit);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['SOURCE', (source) => source.id],
          ['KIND', (source) => source.kind],
          ['STATE', (source) => source.state],
          ['ITEMS', (source) => source.items],
          ['LAST READ', (source) => ago(source.lastOkAt)],
          ['NEXT', (source) => ago(source.nextPollAt)],
          ['AGENTS', (source) => (source.agents === 'all' ? 'all' : source.agents.join(', '))],
        ]),
      );
    },
  );

  limitOption(
    sources
      .command('show')
      .argument('<source>', 'id of the source')
      .description('one source and what came from it last'),
  ).action(async (id: string, { limit }: { limit: number }, command: Command) => {
    const { client, json } = sessionOf(command);
    const path = `/sources/${encodeURIComponent(id)}`;
    const source = await client.get<Source>(path);
    const { items } = await client.list<Item>(`${path}/items`, {}, limit);
    if (json) return printJson({ ...source, lastItems: items });
    line(`${bold(source.id)} ${source.kind} ${styledState(source.state)} · ${plain(source.from)}`);
    line(`last read ${ago(source.lastOkAt)} · next ${ago(source.nextPollAt)} · ${source.items} items`);
    if (source.pending > 0) line(`${source.pending} not yet given to every agent`);
    if (source.note !== '') line(warn(plain(source.note)));
    if (source.failures > 0) {
      line(warn(`${source.failures} in a row failed, ${ago(source.lastErrorAt)}: ${plain(source.lastError)}`));
    }
    if (items.length === 0) return;
    line();
    line(
      table(items, [
        ['RECEIVED', (item) => ago(item.receivedAt)],
        ['VERSION', (item) => item.version],
        ['AGENTS', (item) => item.agents],
        ['TITLE', (item) => item.title],
      ]),
    );
  });

  sources
    .command('poll')
    .argument('<source>', 'id of the source')
    .option('--dry-run', 'check only')
    .description('read a source now, due or not')
    .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<{ workflowId: string; would?: string }>(
        `/sources/${encodeURIComponent(id)}/poll`,
        {},
        { dryRun },
      );
      if (json) return printJson(answer);
      if (answer.would !== undefined) return line(`would ${answer.would}`);
      line(`${good('✔')} ${id} is read now ${dim(`soulfra sources show ${id}`)}`);
    });
}
