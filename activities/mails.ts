import { Context } from '@temporalio/activity';
import { isLink, type MailStep, openMailStep } from '../domain/mails.ts';
import {
  disputeNoticeSchema,
  disputeNoticeText,
  guildInviteText,
  inviteText,
  type MailText,
  passwordNoticeSchema,
  passwordNoticeText,
  receiptSchema,
  receiptText,
  refundNoticeSchema,
  refundNoticeText,
  signInText,
} from '../domain/mail-texts.ts';
import type { MailSender, OutgoingMail } from '../integrations/mail/mail-sender.ts';
import type { MailStore, OpenMail } from '../stores/mails.ts';
import { inviteSeconds, onceSeconds } from '../stores/principals.ts';
import { beating } from './beating.ts';
import type { FleetReader } from './fleet-view.ts';

export interface MailDeps {
  mails: MailStore;
  sender: MailSender;
  fleet: FleetReader;
  /** Whom mail is from: a bare address. */
  from: string;
  /** What links begin with, without a slash at the end. Never taken from a request: its sender would choose where links lead. */
  publicUrl: string;
  /** For tests: what to wait in place of what the rule says. */
  waitSeconds?: (ruled: number) => number;
}

export function createMailActivities({
  mails,
  sender,
  fleet,
  from,
  publicUrl,
  waitSeconds = (ruled) => ruled,
}: MailDeps) {
  /** The words of a mail; a link has its secret here and nowhere else. */
  async function textOf(mail: OpenMail, secret: string | undefined): Promise<MailText> {
    // The fragment never reaches a server's log.
    const link = `${publicUrl}/#once=${secret ?? ''}`;
    switch (mail.template) {
      case 'sign_in':
        return signInText({ link, minutes: onceSeconds / 60 });
      case 'invite':
        return inviteText({ link, minutes: inviteSeconds / 60, fleet: (await fleet()).fleet.name, role: mail.role });
      case 'guild_invite':
        return guildInviteText({
          ...(await mails.invitation(mail)),
          link: `${publicUrl}/join#invite=${secret ?? ''}`,
        });
      case 'password_notice':
        return passwordNoticeText({ ...passwordNoticeSchema.parse(mail.data), url: publicUrl });
      case 'receipt':
        return receiptText(receiptSchema.parse(mail.data), { again: mail.again, url: publicUrl });
      case 'refund_notice':
        return refundNoticeText(refundNoticeSchema.parse(mail.data), { again: mail.again, url: publicUrl });
      case 'dispute_notice':
        return disputeNoticeText(disputeNoticeSchema.parse(mail.data), { again: mail.again, url: publicUrl });
    }
  }

  async function composed(mail: OpenMail, secret: string | undefined): Promise<OutgoingMail> {
    const { subject, text } = await textOf(mail, secret);
    // Stable, so that a server or reader that looks for copies finds them.
    const messageId = `<${mail.id}@${from.slice(from.lastIndexOf('@') + 1)}>`;
    return { messageId, from, to: mail.address, subject, text, date: mail.queuedAt };
  }

  return {
    /** One try. Whatever becomes of it is an outcome; done twice, the second finds what the first has left. */
    async tryMail({ mailId }: { mailId: string }): Promise<MailStep> {
      const { cancellationSignal: signal } = Context.current();
      return beating(async () => {
        const { people } = (await fleet()).fleet;
        const turn = await mails.turn(mailId, { signUpOpen: people.signUp === 'open' });
        if ('step' in turn) return waiting(turn.step);
        const mail = turn.send;
        let attempt: number | undefined;
        const compose = async (): Promise<OutgoingMail | undefined> => {
          // The words first: what fails here is no try.
          if (!isLink(mail.template)) await textOf(mail, undefined);
          const begun = await mails.begin(mail);
          attempt = begun?.attempt;
          return begun === undefined ? undefined : composed(mail, begun.secret);
        };
        const { outcome, answer } = await sender.send({ to: mail.address, compose, signal });
        if (outcome === undefined) return waiting(openMailStep('sending'));
        return waiting(await mails.end(mail, attempt, outcome, answer));
      });
    },
  };

  function waiting(step: MailStep): MailStep {
    return step.againInSeconds === undefined ? step : { ...step, againInSeconds: waitSeconds(step.againInSeconds) };
  }
}
export type MailActivities = ReturnType<typeof createMailActivities>;
