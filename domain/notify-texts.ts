import { z } from 'zod';
import { cutText } from './channel-texts.ts';
import { cleanLine } from './clean-text.ts';
import type { NoticeAct } from './notice-acts.ts';
import { type Severity, severities } from './notices.ts';
import { mostEventBytes } from './webhooks.ts';

/** The words of what a fleet tells its people: plain text, as a row keeps it. */

export const toldKinds = ['opened', 'reminder', 'resolved'] as const;
export type ToldKind = (typeof toldKinds)[number];

export interface ToldNotice {
  what: ToldKind;
  id: string;
  kind: string;
  severity: Severity;
  subject: string;
  title: string;
  detail: string;
  act: NoticeAct;
  /** ISO times. */
  openedAt: string;
  resolvedAt: string | null;
}

export interface NotifyContent {
  title: string;
  text: string;
  severity: Severity;
  /** What programs read; of a digest and a test none. */
  notices: ToldNotice[];
  /** Notices that it counts and does not name. */
  left?: number;
}

/** What lists show of a row. */
export const notifyContentSchema = z.object({ title: z.string(), text: z.string() });

const heads: Readonly<Record<ToldKind, string>> = {
  opened: 'new',
  reminder: 'still open',
  resolved: 'resolved',
};
const mostDetail = 200;
const mostNamed = 100;

function counted(notices: readonly ToldNotice[], what: ToldKind): string[] {
  const count = notices.filter((notice) => notice.what === what).length;
  return count === 0 ? [] : [`${count} ${heads[what]}`];
}

function told({ what, severity, title, detail, act, openedAt, resolvedAt }: ToldNotice): string {
  const since = `${openedAt.slice(0, 16).replace('T', ' ')} UTC`;
  if (what === 'resolved')
    return `✔ ${cleanLine(title)}: resolved (${since} to ${resolvedAt?.slice(11, 16) ?? ''} UTC)`;
  const more = cleanLine(detail);
  return [
    `● ${severity}${what === 'reminder' ? `, open since ${since}` : ''}: ${cleanLine(title)}`,
    ...(more === '' ? [] : [`  ${cutText(more, ({ length }) => length <= mostDetail)}`]),
    `  → ${cleanLine(act.say)} ${act.command}`,
  ].join('\n');
}

/** One message of all that is to be told now: what matters most first, what has ended last. */
export function noticesContent(fleet: string, notices: readonly ToldNotice[]): NotifyContent {
  const order = (notice: ToldNotice) =>
    (notice.what === 'resolved' ? 100 : notice.what === 'reminder' ? 10 : 0) - severities.indexOf(notice.severity);
  const sorted = [...notices].sort((a, b) => order(a) - order(b) || (a.openedAt < b.openedAt ? -1 : 1));
  const open = sorted.filter(({ what }) => what !== 'resolved');
  const severity = severities.findLast((one) => open.some((notice) => notice.severity === one)) ?? 'info';
  const counts = (['opened', 'reminder', 'resolved'] as const).flatMap((what) => counted(sorted, what)).join(', ');
  const named = sorted.slice(0, mostNamed);
  const left = sorted.length - named.length;
  const [only] = sorted;
  const subject =
    sorted.length === 1 && only ? `${only.what === 'resolved' ? 'resolved: ' : ''}${cleanLine(only.title)}` : counts;
  return {
    title: `${cleanLine(fleet)}: ${subject}`,
    text: [...named.map(told), ...(left > 0 ? [`and ${left} more`] : []), 'All that waits: soulfra inbox'].join('\n\n'),
    severity,
    notices: named,
    ...(left > 0 ? { left } : {}),
  };
}

export function testContent(fleet: string, destination: string): NotifyContent {
  return {
    title: `${cleanLine(fleet)}: a test`,
    text: `This is what ${destination} is told by. Nothing is wrong.`,
    severity: 'info',
    notices: [],
  };
}

/** What a webhook gets: as many notices as fit what receivers take, and how many were left out. */
export function webhookBody(
  message: { type: string; at: string; fleet: string },
  { title, text, severity, notices, left = 0 }: NotifyContent,
): string {
  const { type, at, fleet } = message;
  for (let count = notices.length; ; count -= 1) {
    const data = {
      fleet,
      title,
      severity,
      notices: notices.slice(0, count),
      left: left + notices.length - count,
      text: cutText(text, ({ length }) => length <= 4_000),
    };
    const body = JSON.stringify({ type: `fleet.${type}`, timestamp: at, data });
    if (count === 0 || new TextEncoder().encode(body).length <= mostEventBytes) return body;
  }
}
