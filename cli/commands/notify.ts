import type { Command } from 'commander';
import type { Would } from '../licenses.ts';
import { ago, bad, bold, dim, good, line, plain, printJson, warn } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Notification {
  id: string;
  destination: string;
  title: string;
  state: 'pending' | 'sending' | 'sent' | 'failed';
  reason: string;
  attempts: number;
  createdAt: string;
}

const shown = { pending: warn, sending: warn, sent: good, failed: bad };

export function notifyCommands(program: Command): void {
  const notify = program.command('notify').description('who is told what waits for a person (notify of fleet.yaml)');

  limitOption(notify.command('list').description('what each destination was told, the last first')).action(
    async ({ limit }: { limit: number }, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Notification>('/notifications', {}, limit);
      if (json) return printJson(page);
      if (page.items.length === 0) return line(dim('Nobody was told anything yet: docs/notify.md.'));
      for (const { destination, title, state, reason, attempts, createdAt } of page.items) {
        const tries = attempts > 1 ? `, ${attempts} tries` : '';
        line(
          `${shown[state](state.padEnd(7))} ${bold(destination)}  ${plain(title)}  ${dim(`${ago(createdAt)}${tries}`)}`,
        );
        if (reason !== '') line(`        ${plain(reason)}`);
      }
    },
  );

  notify
    .command('test')
    .argument('[destination]', 'its id; default: all')
    .option('--dry-run', 'check only')
    .description('tell a destination that this is a test')
    .action(async (destination: string | undefined, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const body = destination === undefined ? {} : { destination };
      const answer = await client.post<Would & { destinations?: string[] }>('/notifications/test', body, { dryRun });
      if (json) return printJson(answer);
      if (answer.would !== undefined) return line(`would ${answer.would}`);
      line(`${good('✔')} ${answer.destinations?.join(', ')} will be told; see: soulfra notify list`);
    });
}
