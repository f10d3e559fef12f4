import { z } from 'zod';
import { amountSchema, currencySchema, moneyText } from './money.ts';
import type { MailTemplate } from './mails.ts';

/** The words of every mail. Plain text alone: there is no markup that somebody's words could break out into. */

export interface MailText {
  subject: string;
  text: string;
}

/** Of the words, by template: what stands in a row says by which it was written. */
export const mailTextVersions: Readonly<Record<MailTemplate, number>> = { sign_in: 1, invite: 1, receipt: 1 };

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
