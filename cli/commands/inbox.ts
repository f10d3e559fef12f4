import type { Command } from 'commander';
import type { Severity } from '../../domain/notices.ts';
import type { Would } from '../licenses.ts';
import { ago, bad, bold, dim, good, line, plain, printJson, warn } from '../output.ts';
import { limitOption, sessionOf, wholeNumber } from '../program.ts';

interface Notice {
  id: string;
  title: string;
  detail: string;
  severity: Severity;
  act: { say: string; command: string; call: { method: string; path: string } };
  otherwise: string;
  seen: number;
  openedAt: string;
}

export function inboxCommands(program: Command): void {
  const inbox = limitOption(program.command('inbox').description('what waits for a person')).action(
    async ({ limit }: { limit: number }, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Notice, { clearSince: string | null }>('/inbox', {}, limit);
      if (json) return printJson(page);
      if (page.items.length === 0) {
        return line(good(`Nothing waits for you, since ${ago(page.clearSince)}.`));
      }
      for (const { id, title, detail, severity, act, otherwise, openedAt, seen } of page.items) {
        const dot = { info: dim, warning: warn, critical: bad }[severity]('●');
        line(`${dot} ${bold(plain(title))} ${dim(`${ago(openedAt)}${seen > 1 ? `, seen ${seen} times` : ''}  ${id}`)}`);
        if (detail !== '') line(`  ${plain(detail)}`);
        line(`  → ${plain(act.say)}  ${bold(plain(act.command))}`);
        line(dim(`    ${plain(`${act.call.method} ${act.call.path}`)}`));
        line(dim(`    else: ${plain(otherwise)}`));
      }
    },
  );

  inbox
    .command('done')
    .argument('<notice>', 'its id')
    .option('--dry-run', 'check only')
    .description('close one that only a person can tell the end of')
    .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<Would>(`/inbox/${encodeURIComponent(id)}/done`, undefined, { dryRun });
      if (json) return printJson(answer);
      line(answer.would === undefined ? `${good('✔')} ${id} is done` : `would ${answer.would}`);
    });

  program
    .command('events')
    .option('--last <n>', 'begin with the last ones', wholeNumber, 10)
    .option('--type <type>', 'a noun such as run, or a type such as run.done')
    .option('--no-follow', 'end after the last ones')
    .description('what happens, as it happens; Ctrl-C ends it')
    .action(async (options: { last: number; type?: string; follow: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const stop = new AbortController();
      process.once('SIGINT', () => stop.abort());
      // The last ones come at once; what comes later than this is news.
      const quiet = options.follow ? undefined : setTimeout(() => stop.abort(), 2_000);
      for await (const event of client.events({ last: options.last, type: options.type }, stop.signal)) {
        if (json) line(JSON.stringify(event));
        else {
          const data = Object.entries(event.data).map(
            ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
          );
          line(
            `${dim(event.at.slice(11, 19))}  ${event.type.padEnd(16)} ${plain(event.subject)}  ${dim(plain(data.join(' ')))}`,
          );
        }
        quiet?.refresh();
      }
      clearTimeout(quiet);
    });
}
