import { type Item, Problem, problemOf } from '../client.ts';
import { text } from '../text.ts';

export type Notice = Item<'GET /v1/inbox'>;

/** What an act carries beside its path, where the API wants something said; `asked` is what a person types first. */
interface Body {
  asked?: 'reference';
  of: (notice: Notice, said: string) => object;
}

const bodies: Partial<Record<Notice['kind'], Body>> = {
  notify_failing: { of: ({ subject }) => ({ destination: subject }) },
  payout_waiting: { asked: 'reference', of: (_, reference) => ({ reference }) },
};
/** An act that is more than a press, done where its words say. */
const elsewhere = /^\/v1\/(?:fleet\/apply|payouts\/accounts|rollouts\/.+)$/;

/** Where in these pages one sees what an act points to. */
const pages: ReadonlyArray<[path: RegExp, to: string]> = [
  [/^\/v1\/fleet\/apply$/, '/fleet/file'],
  [/^\/v1\/(?:machines|fleet|models|runs)(?:\/|$)/, '/fleet'],
  [/^\/v1\/payouts\/accounts$/, '/market/desk'],
  [/^\/v1\/(?:readiness|rollouts)(?:\/|$)/, '/operations/readiness'],
  [/^\/v1\/(?:backups|schedules)(?:\/|$)/, '/operations/schedules'],
  [/^\/v1\/(?:tokens|users)(?:\/|$)/, '/operations/people'],
  [/^\/v1\/(?:drops|channels|deliveries|drop-schedules)(?:\/|$)/, '/drops'],
  [/^\/v1\/payouts$/, '/market/desk'],
  [/^\/v1\/invites(?:\/|$)/, '/guilds'],
  [/^\/v1\/health(?:\/|$)/, '/operations'],
];

/** @returns undefined where no view shows it: then it is read from the API as it is */
export function pageOf({ act }: Notice): string | undefined {
  const [, agentId] = /^\/v1\/agents\/([\w-]+)/.exec(act.call.path) ?? [];
  if (agentId !== undefined) return `/agents/${agentId}`;
  return pages.find(([path]) => path.test(act.call.path))?.[1];
}

/** Whether a press does it; else it is looked at, or done elsewhere. */
export function isPress({ act }: Notice): boolean {
  return act.call.method !== 'GET' && !elsewhere.test(act.call.path);
}

/** What has to be typed before the press. */
export function askedBy({ kind }: Notice): Body['asked'] {
  return bodies[kind]?.asked;
}

/** Does what a notice asks for. @throws Problem */
export async function carryOut(notice: Notice, said = ''): Promise<void> {
  const { method, path } = notice.act.call;
  await send(method, path, bodies[notice.kind]?.of(notice, said));
}

/** The other answer to a notice that has two. */
export const others: Partial<Record<Notice['kind'], (notice: Notice) => Promise<void>>> = {
  delivery_unconfirmed: ({ act }) => send('POST', act.call.path.replace(/\/confirm$/, '/again')),
  drop_waiting: ({ act }) => send('POST', act.call.path.replace(/\/approve$/, '/reject'), {}),
  guild_invite: ({ act }) => send('POST', act.call.path.replace(/\/accept$/, '/decline')),
  whisper_waiting: ({ act }) => send('POST', act.call.path.replace(/\/approve$/, '/refuse'), {}),
};

async function send(method: string, path: string, body?: object): Promise<void> {
  // The path comes with the notice, and leads nowhere but to our own API.
  if (!path.startsWith('/v1/')) throw new Problem(0, { detail: text.problems.noCall(path) });
  const response = await fetch(path, {
    method,
    headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw await problemOf(response);
}
