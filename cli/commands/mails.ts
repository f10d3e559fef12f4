import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { cliEnvironment } from '../../config/environment.ts';
import { ago, good, line, plainLines, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';
import { readableMail } from '../readable-mail.ts';

interface Mail {
  id: string;
  template: string;
  address: string | null;
  state: string;
  reason: string;
  queuedAt: string;
}
interface MailDetail extends Mail {
  attempts: Array<{ attempt: number; beganAt: string; outcome: string | null; answer: string }>;
}

export function mailCommands(program: Command): void {
  const mails = program.command('mail').description('what was mailed, and what became of it');

  limitOption(
    mails
      .command('list')
      .option('--state <state>', 'pending, sending, sent, failed or unconfirmed')
      .description('mails, the last first'),
  ).action(async ({ limit, state }: { limit: number; state?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Mail>('/mails', { state }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['MAIL', (mail) => mail.id],
        ['KIND', (mail) => mail.template],
        ['TO', (mail) => mail.address],
        ['STATE', (mail) => styledState(mail.state)],
        ['ASKED', (mail) => ago(mail.queuedAt)],
        ['REASON', (mail) => mail.reason],
      ]),
    );
  });

  mails
    .command('show')
    .argument('<mail>', 'id of the mail')
    .description('every try; and the mail itself where it lies in the folder of `npm start`')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const mail = await client.get<MailDetail>(`/mails/${encodeURIComponent(id)}`);
      const text = inMailbox(mail.id);
      if (json) return printJson({ ...mail, ...(text === undefined ? {} : { eml: text }) });
      line(`${mail.id} ${mail.template} to ${mail.address ?? 'nobody'}: ${styledState(mail.state)} ${mail.reason}`);
      line(
        table(mail.attempts, [
          ['TRY', (attempt) => attempt.attempt],
          ['BEGAN', (attempt) => ago(attempt.beganAt)],
          ['OUTCOME', (attempt) => attempt.outcome ?? 'under way'],
          ['ANSWER', (attempt) => attempt.answer],
        ]),
      );
      if (text !== undefined) line(`\n${plainLines(readableMail(text))}`);
    });

  mails
    .command('resend')
    .argument('<mail>', 'id of a mail that failed or was not confirmed')
    .option('--dry-run', 'check only')
    .description('send it again; a receipt then says that it is a copy')
    .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const mail = await client.post<Mail & { would?: string }>(
        `/mails/${encodeURIComponent(id)}/resend`,
        {},
        { dryRun },
      );
      if (json) return printJson(mail);
      line(mail.would === undefined ? `${good('✔')} ${id} is sent again` : `would ${mail.would}`);
    });
}

function inMailbox(id: string): string | undefined {
  try {
    return readFileSync(join(cliEnvironment().home, 'mail', `${id}.eml`), 'utf8');
  } catch {
    // It was sent by a server, lies on another box, or is somebody else's to read.
    return undefined;
  }
}
