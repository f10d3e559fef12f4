/** What is mailed, and what becomes of it. Pure: stores/mails.ts keeps it, workflows/send-mail.ts carries it out. */

export const mailTemplates = [
  'sign_in',
  'invite',
  'receipt',
  'refund_notice',
  'dispute_notice',
  'guild_invite',
  'password_notice',
] as const;
export type MailTemplate = (typeof mailTemplates)[number];

/** Links hold a secret, which is made as they leave; what others say stands in the row. */
export function isLink(template: MailTemplate): boolean {
  return template === 'sign_in' || template === 'invite' || template === 'guild_invite';
}

export const mailStates = ['pending', 'sending', 'sent', 'failed', 'unconfirmed'] as const;
export type MailState = (typeof mailStates)[number];

/**
 * What came of handing a mail to a server. deferred: it said 4xx, `try later`. refused: it said 5xx. not_sent: no byte of the mail
 * left. unconfirmed: bytes left and no answer came, so it may have been taken or not; SMTP cannot be asked.
 */
export const mailOutcomes = ['accepted', 'deferred', 'refused', 'not_sent', 'unconfirmed'] as const;
export type MailOutcome = (typeof mailOutcomes)[number];

/** Seconds between tries of a mail that was surely not taken: past the quarter of an hour of most greylisting, then up to a day. */
const patience: Readonly<Record<MailTemplate, readonly number[]>> = {
  // Who waits for a link asks for another after a while.
  sign_in: [20, 60, 300, 900],
  invite: [60, 300, 900, 3_600, 14_400, 43_200],
  receipt: [60, 300, 900, 3_600, 14_400, 43_200, 86_400],
  refund_notice: [60, 300, 900, 3_600, 14_400, 43_200, 86_400],
  dispute_notice: [60, 300, 900, 3_600, 14_400, 43_200, 86_400],
  guild_invite: [60, 300, 900, 3_600, 14_400, 43_200],
  password_notice: [60, 300, 900, 3_600, 14_400, 43_200],
};

/** How often a mail may go out again although an earlier try may have arrived: a link does no harm twice, what tells of money reads like a second sale or refund. */
const unconfirmedAgain: Readonly<Record<MailTemplate, number>> = {
  sign_in: 1,
  invite: 1,
  receipt: 0,
  refund_notice: 0,
  dispute_notice: 0,
  guild_invite: 1,
  password_notice: 1,
};

export interface MailTries {
  template: MailTemplate;
  /** Outcomes so far, the last one last; since a person asked for it again only. */
  outcomes: readonly MailOutcome[];
}

export type MailStep = { state: MailState; againInSeconds?: number };

/** What follows from how the tries of a mail ended. */
export function afterMailTry({ template, outcomes }: MailTries): MailStep {
  const last = outcomes.at(-1);
  const unconfirmed = outcomes.filter((outcome) => outcome === 'unconfirmed').length;
  if (last === 'accepted') return { state: 'sent' };
  if (last === 'unconfirmed') {
    if (unconfirmed > unconfirmedAgain[template]) return { state: 'unconfirmed' };
    return { state: 'pending', againInSeconds: patience[template][0]! };
  }
  // Whether an earlier one arrived is still not known.
  const ended = unconfirmed > 0 ? 'unconfirmed' : 'failed';
  if (last === 'refused') return { state: ended };
  const delay = patience[template][outcomes.length - 1];
  return delay === undefined ? { state: ended } : { state: 'pending', againInSeconds: delay };
}

/** Where somebody else has it in hand: looked at again once they must have ended. */
export function openMailStep(state: MailState): MailStep {
  return state === 'pending' || state === 'sending' ? { state, againInSeconds: 60 } : { state };
}
