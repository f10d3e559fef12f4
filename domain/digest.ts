import { cleanLine } from './clean-text.ts';
import { wallText } from './drop-times.ts';
import { moneyText } from './money.ts';
import { type Severity, severities } from './notices.ts';
import type { NotifyContent } from './notify-texts.ts';

/** A day of a fleet on one screen. */
export interface DigestFigures {
  /** ISO times; the day ends with the second. */
  since: string;
  until: string;
  machines: Record<string, number>;
  agents: Record<string, number>;
  /** Runs that ended, by state. */
  runs: Record<string, number>;
  degraded: number;
  reflections: number;
  tokens: number;
  /** Runs that wait for a model as the day ends. */
  parked: number;
  /** Why runs failed, the most frequent first, and an agent of each. */
  failures: Array<{ reason: string; count: number; agentId: string }>;
  /** What waits for a person as the day ends: all, and the first of it. */
  open: number;
  waits: Array<{ severity: Severity; title: string; command: string }>;
  /** Notices that opened and that closed. */
  opened: number;
  closed: number;
  money: Array<{ what: 'sales' | 'refunds' | 'payouts'; count: number; amount: number; currency: string }>;
  /** Places where the books do not add up. */
  discrepancies: number;
  /** Posts that ended, by state. */
  posts: Record<string, number>;
  /** Drops that wait for their time. */
  scheduled: number;
}

const mostReason = 90;

function counts(of: Record<string, number>, none: string): string {
  const all = Object.entries(of).filter(([, count]) => count > 0);
  return all.length === 0 ? none : all.map(([state, count]) => `${count} ${state.replaceAll('_', ' ')}`).join(', ');
}

function short(text: string): string {
  const line = cleanLine(text);
  return line.length <= mostReason ? line : `${line.slice(0, mostReason - 1).toWellFormed()}…`;
}

/** Some twenty lines: what ran, what failed, what waits, money, drops. Times are those of the place. */
export function digestContent(fleet: string, day: DigestFigures, timeZone: string): NotifyContent {
  const failed = day.runs['failed'] ?? 0;
  const severity = severities.findLast((one) => day.waits.some((wait) => wait.severity === one)) ?? 'info';
  const more = day.open - day.waits.length;
  const lines = [
    `${wallText(new Date(day.since), timeZone)} to ${wallText(new Date(day.until), timeZone)} ${timeZone}`,
    '',
    `Machines  ${counts(day.machines, 'none')}`,
    `Agents    ${counts(day.agents, 'none')}`,
    `Runs      ${counts(day.runs, 'none ended')}${day.degraded > 0 ? `, ${day.degraded} degraded` : ''}${day.parked > 0 ? `; ${day.parked} parked now` : ''}`,
    `          ${day.reflections} reflections, ${day.tokens} tokens`,
    ...day.failures.map(({ reason, count, agentId }) => `  failed  ${count} × ${short(reason)} (${agentId})`),
    `Posts     ${counts(day.posts, 'none')}${day.scheduled > 0 ? `; ${day.scheduled} scheduled` : ''}`,
    ...(day.money.length === 0
      ? ['Money     nothing moved']
      : day.money.map(({ what, count, ...money }) => `Money     ${count} ${what}, ${moneyText(money)}`)),
    ...(day.discrepancies > 0 ? [`          the books differ in ${day.discrepancies} places`] : []),
    '',
    day.open === 0
      ? 'Nothing waits for you.'
      : `${day.open} wait for you (${day.opened} opened, ${day.closed} closed):`,
    ...day.waits.map(({ title, command }) => `● ${short(title)}  → ${command}`),
    ...(more > 0 ? [`and ${more} more: soulfra inbox`] : []),
  ];
  const head = day.open === 0 ? 'all is well' : `${day.open} wait for you`;
  return {
    title: `${cleanLine(fleet)}, the day: ${head}${failed > 0 ? `, ${failed} runs failed` : ''}`,
    text: lines.join('\n'),
    severity,
    notices: [],
  };
}
