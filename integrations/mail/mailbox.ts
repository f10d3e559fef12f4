import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mailBytes, type MailSender } from './mail-sender.ts';

/** What a mail's file is called, by its Message-ID: sent again it is the same file. */
function fileOf(messageId: string): string {
  return `${/^<([\w-]+)@/.exec(messageId)?.[1] ?? 'mail'}.eml`;
}

/** A folder in place of a server, for an installation on one box: every mail is a file that only its owner reads. */
export function createMailbox(folder: string): MailSender {
  return {
    async send({ compose }) {
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 });
      } catch (err) {
        return { outcome: 'not_sent', answer: (err as Error).message };
      }
      const mail = await compose();
      if (mail === undefined) return { outcome: undefined, answer: '' };
      const file = join(folder, fileOf(mail.messageId));
      const beside = `${file}.${process.pid}.new`;
      try {
        await writeFile(beside, await mailBytes(mail), { mode: 0o600 });
        await rename(beside, file);
      } catch (err) {
        // Without the rename nobody sees it.
        return { outcome: 'not_sent', answer: (err as Error).message };
      }
      return { outcome: 'accepted', answer: 'in the mailbox folder' };
    },
  };
}

/** Where neither a server nor a folder is named. */
export const noMail: MailSender = {
  send: () => Promise.resolve({ outcome: 'not_sent', answer: 'no mail server: SMTP_URL is not set for the worker' }),
};
