import MailComposer from 'nodemailer/lib/mail-composer';
import { DomainError } from '../../domain/errors.ts';
import { mailAddressOf } from '../../domain/mail-addresses.ts';
import type { MailOutcome } from '../../domain/mails.ts';

export interface OutgoingMail {
  /** The same for each sending of it: SMTP has no other way to know a mail again. */
  messageId: string;
  from: string;
  to: string;
  subject: string;
  text: string;
  date: Date;
}

export interface Sending {
  to: string;
  /**
   * Called once the server is ready to take a mail, and before a byte of it leaves: what must be known of a try is written down in it.
   * Undefined: it is not to be sent after all.
   */
  compose: () => Promise<OutgoingMail | undefined>;
  signal: AbortSignal;
}

export interface Sent {
  /** Undefined: not to be sent after all. */
  outcome: MailOutcome | undefined;
  /** Of the server, or what broke; without passwords. */
  answer: string;
}

/** Where mail goes; one that cannot be sent is an outcome, never a throw. */
export interface MailSender {
  send(sending: Sending): Promise<Sent>;
}

/**
 * The bytes of a mail, by RFC 5322. The library folds and encodes; what would put a line into a header is refused here first,
 * whatever the library makes of it.
 * @throws INTERNAL
 */
export async function mailBytes({ messageId, from, to, subject, text, date }: OutgoingMail): Promise<Buffer> {
  for (const [field, value] of Object.entries({ messageId, from, to, subject })) {
    // oxlint-disable-next-line no-control-regex -- these are what must not be there
    if (/[\u0000-\u001f\u007f\u2028\u2029]/.test(value))
      throw new DomainError('INTERNAL', `${field} of a mail holds control characters`);
  }
  for (const address of [from, to]) {
    if (mailAddressOf(address) === undefined) throw new DomainError('INTERNAL', 'a mail is not to or from one address');
  }
  return new MailComposer({
    messageId,
    from,
    to,
    subject,
    text,
    date,
    headers: { 'auto-submitted': 'auto-generated' },
    disableFileAccess: true,
    disableUrlAccess: true,
  })
    .compile()
    .build();
}
