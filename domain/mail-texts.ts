import { z } from 'zod';
import { inQuotes } from './clean-text.ts';
import { amountSchema, currencySchema, moneyText } from './money.ts';
import type { MailTemplate } from './mails.ts';
import { disputeStates } from './payments.ts';

/** The words of every mail. Plain text alone: there is no markup that somebody's words could break out into. */

export interface MailText {
  subject: string;
  text: string;
}

/** Of the words, by template: what stands in a row says by which it was written. */
export const mailTextVersions: Readonly<Record<MailTemplate, number>> = {
  sign_in: 1,
  invite: 1,
  receipt: 1,
  guild_invite: 1,
  refund_notice: 1,
  dispute_notice: 1,
  password_notice: 1,
};

const mostLineChars = 200;

/** One line of what others wrote: no line ends, so no header and no line of ours can be made of it, and nothing that turns or hides text. */
export function oneLine(text: string): string {
  const plain = text
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .replaceAll(/\p{Cs}/gu, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
  if (plain.length <= mostLineChars) return plain;
  // Cut between two halves of a character, the half that is left goes too.
  return `${plain.slice(0, mostLineChars - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

export const receiptSchema = z.strictObject({
  purchaseId: z.string(),
  licenseId: z.string(),
  /** Whose key signs its files. */
  issuerId: z.string(),
  /** How it is used: counted uses, counted places, or neither. */
  use: z.enum(['redeem', 'activate', 'anywhere']),
  /** ISO. */
  paidAt: z.string(),
  currency: currencySchema,
  /** What was bought; then tax, where there is any. Their amounts add up to the total. */
  lines: z
    .array(z.strictObject({ text: z.string().min(1), amount: amountSchema }))
    .min(1)
    .max(50),
  total: amountSchema,
});
export type ReceiptData = z.infer<typeof receiptSchema>;

const ofSale = {
  purchaseId: z.string(),
  /** What was sold. */
  title: z.string(),
  amount: amountSchema,
  currency: currencySchema,
};
export const refundNoticeSchema = z.strictObject({ ...ofSale, refundId: z.string(), reason: z.string() });
export type RefundNotice = z.infer<typeof refundNoticeSchema>;
export const disputeNoticeSchema = z.strictObject({
  ...ofSale,
  disputeId: z.string(),
  state: z.enum(disputeStates),
});
export type DisputeNotice = z.infer<typeof disputeNoticeSchema>;

export const passwordNoticeSchema = z.strictObject({
  act: z.enum(['set', 'removed']),
  /** ISO. */
  at: z.string(),
});

interface Link {
  link: string;
  minutes: number;
}

export function signInText({ link, minutes }: Link): MailText {
  return {
    subject: 'Your sign-in link',
    text: lines(
      'Open this link to sign in:',
      '',
      link,
      '',
      `It works once, within ${minutes} minutes. Whoever has it signs in as you: do not pass it on.`,
      'If you did not ask for it, leave it alone; nothing happens.',
    ),
  };
}

/** To the address that the password is of: whoever set it may not be who reads there. */
export function passwordNoticeText({ act, at, url }: z.infer<typeof passwordNoticeSchema> & { url: string }): MailText {
  return {
    subject: act === 'set' ? 'Your password was set' : 'Your password was taken away',
    text: lines(
      `The password of this address for ${url} was ${act === 'set' ? 'set' : 'taken away'} at ${at}.`,
      'Whatever else you were signed in by has ended.',
      '',
      'If that was not you, ask for a sign-in link with this address and set another password: it ends what they are signed in by.',
      'Then tell whoever runs the installation, whose audit log has it.',
    ),
  };
}

export function inviteText({ link, minutes, fleet, role }: Link & { fleet: string; role: string }): MailText {
  const name = oneLine(fleet);
  return {
    subject: `You are invited to ${name}`,
    text: lines(
      `You are invited to ${name} as ${role}. Open this link to sign in:`,
      '',
      link,
      '',
      `It works once, within ${Math.round(minutes / 60)} hours; later, ask for a sign-in link with this address.`,
      'If you did not expect this, leave it alone; nothing happens.',
    ),
  };
}

/** What the mail of an invitation to a guild says. */
export interface InviteMail {
  guild: string;
  inviter: string;
  role: string;
  message: string;
  /** ISO time. */
  until: string;
  reminder: boolean;
}

export function guildInviteText(invite: InviteMail & Pick<Link, 'link'>): MailText {
  const guild = inQuotes(oneLine(invite.guild));
  const message = oneLine(invite.message);
  return {
    subject: `${invite.reminder ? 'Reminder: you' : 'You'} are invited to the group ${guild}`,
    text: lines(
      `${inQuotes(oneLine(invite.inviter))} invites you to the group ${guild} as ${invite.role}.`,
      ...(message === '' ? [] : ['', 'They write:', `  ${inQuotes(message)}`]),
      '',
      'Open this link to see the invitation and to join:',
      '',
      invite.link,
      '',
      `It holds until ${invite.until.slice(0, 16).replace('T', ' ')} UTC, for one person. Whoever has it joins as you: do not pass it on.`,
      'If you did not expect this, leave it alone; nothing happens.',
    ),
  };
}

/** @param again an earlier sending was never confirmed, and a person asked for this one */
export function receiptText(receipt: ReceiptData, { again, url }: { again: boolean; url: string }): MailText {
  const { purchaseId, licenseId, paidAt, currency, total } = receipt;
  const rows = [...receipt.lines.map((row) => [oneLine(row.text), row.amount] as const), ['Total', total] as const];
  const amounts = rows.map(([, amount]) => moneyText({ amount, currency }));
  const width = Math.max(...amounts.map((amount) => amount.length));
  return {
    subject: `${again ? 'Copy of your receipt' : 'Receipt'} ${purchaseId}`,
    text: lines(
      ...(again
        ? ['This is a copy: it could not be confirmed that this receipt reached you before. You were charged once.', '']
        : []),
      `Purchase ${purchaseId}`,
      `Paid     ${paidAt.slice(0, 10)}`,
      `License  ${licenseId}`,
      '',
      ...rows.map(([text], i) => `${amounts[i]!.padStart(width)}  ${text}`),
      '',
      ...howToUse(receipt),
      `Its state now: ${url}/v1/licenses/${licenseId}`,
    ),
  };
}

interface Sending {
  again: boolean;
  url: string;
}

/** To who sold. */
export function refundNoticeText(refund: RefundNotice, { again, url }: Sending): MailText {
  const { purchaseId, refundId, title, reason } = refund;
  return {
    subject: `${again ? 'Copy: refund' : 'Refund'} of ${moneyText(refund)} for ${purchaseId}`,
    text: lines(
      ...copyOf(again),
      `${moneyText(refund)} of what you sold went back to its buyer.`,
      '',
      `Sold     ${oneLine(title)}`,
      `Purchase ${purchaseId}`,
      `Refund   ${refundId}`,
      `Reason   ${oneLine(reason)}`,
      '',
      'What is left of the sale bears it, by what each party still has of it; your part goes with it.',
      `All refunds of it: ${url}/v1/purchases/${purchaseId}/refunds`,
    ),
  };
}

const disputeWords = {
  open: [
    'is disputed',
    'Its buyer has asked their bank for the money back. Your part is set aside, and the license permits nothing,',
    'until it ends. Who runs the marketplace answers it.',
  ],
  won: ['is no longer disputed', 'The bank decided for you: what had been set aside of your part is yours again.'],
  lost: [
    'was lost in a dispute',
    'The bank gave the money to the buyer: your part went with it, and so did the license.',
  ],
} as const;

/** To who sold. */
export function disputeNoticeText(dispute: DisputeNotice, { again, url }: Sending): MailText {
  const { purchaseId, disputeId, title, state } = dispute;
  const [what, ...meaning] = disputeWords[state];
  return {
    subject: `${again ? 'Copy: ' : ''}${moneyText(dispute)} for ${purchaseId} ${what}`,
    text: lines(
      ...copyOf(again),
      `${moneyText(dispute)} of what you sold ${what}.`,
      '',
      `Sold     ${oneLine(title)}`,
      `Purchase ${purchaseId}`,
      `Dispute  ${disputeId}`,
      '',
      ...meaning,
      `Its state now: ${url}/v1/disputes?purchaseId=${purchaseId}`,
    ),
  };
}

function copyOf(again: boolean): string[] {
  return again ? ['This is a copy: it could not be confirmed that it reached you before.', ''] : [];
}

/** Commands that work as they stand, but for the words in capitals. */
function howToUse({ use, licenseId, issuerId }: ReceiptData): string[] {
  if (use === 'redeem')
    return ['Use it, each time under an id of your own:', `  soulfra license redeem ${licenseId} USE-1`];
  const [activation, place] = use === 'activate' ? [' --activation MINE', ' --place MACHINE'] : ['', ''];
  return [
    ...(use === 'activate'
      ? [
          'Put it to use on a machine, under an id of your own:',
          `  soulfra license activate ${licenseId} MINE --place MACHINE`,
        ]
      : []),
    'It can be verified without a network, by the key of who issued it:',
    `  soulfra keys pin --issuer ${issuerId} --for licenses`,
    `  soulfra license file ${licenseId}${activation} -o license.slf`,
    `  soulfra license verify license.slf --issuer ${issuerId}${place}`,
  ];
}

function lines(...text: string[]): string {
  return `${text.join('\n')}\n`;
}
