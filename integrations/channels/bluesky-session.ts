import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { fieldsOf, NotReady, type Reply, textOf, unpublished } from './asking.ts';
import type { ChannelAt } from './channel.ts';

/** Sessions are kept: a server lets an account sign in 300 times a day. */
const sessionSchema = z.object({ accessJwt: z.string().min(1), refreshJwt: z.string().min(1), did: z.string().min(1) });
type Session = z.infer<typeof sessionSchema>;

export const collection = 'app.bsky.feed.post';
const profile = 'app.bsky.actor.profile';

type At = ChannelAt<{ server: string; handle: string }, { appPassword: string }>;

export function sessionOf(text: string | undefined): Session | undefined {
  if (text === undefined) return undefined;
  const parsed = sessionSchema.safeParse(JSON.parse(text));
  return parsed.success ? parsed.data : undefined;
}

/**
 * The key of a record as Bluesky orders them (a TID): 13 signs of base 32, of the microsecond it was set on its way and 10 more bits. The
 * microseconds below a millisecond and the bits are of the post's key, so that each post has its own.
 */
export function recordKey(key: string, at: string): string {
  const own = BigInt(`0x${key}`);
  const microseconds = BigInt(Date.parse(at)) * 1_000n + (own % 1_000n);
  let rest = (microseconds << 10n) | ((own >> 20n) & 1_023n);
  let text = '';
  for (let i = 0; i < 13; i += 1) {
    text = '234567abcdefghijklmnopqrstuvwxyz'[Number(rest & 31n)]! + text;
    rest >>= 5n;
  }
  return text;
}

/** The session there is, refreshed where it has run out; else a new one, and the account says that it is a bot. */
export async function openBlueskySession(at: At): Promise<string> {
  const known = sessionOf(at.session);
  if (known !== undefined) {
    const told = await call(at, 'com.atproto.server.getSession', { token: known.accessJwt });
    if (told.status === 200) return at.session!;
    // Too often asked is no sign that it has run out.
    if (told.status === 429) throw refused('the session', told);
    const fresh = await call(at, 'com.atproto.server.refreshSession', {
      token: known.refreshJwt,
      bytes: new Uint8Array(),
    });
    if (fresh.status === 200) return JSON.stringify(parsed(fresh));
  }
  const made = await call(at, 'com.atproto.server.createSession', {
    json: { identifier: at.settings.handle, password: at.secrets.appPassword },
  });
  if (made.status !== 200) throw refused('signing in', made);
  const session = parsed(made);
  await saidToBeBot(at, session);
  return JSON.stringify(session);
}

/** A label of the account's own, as its server has it for automated accounts. */
async function saidToBeBot(at: At, { accessJwt: token, did }: Session): Promise<void> {
  const query = new URLSearchParams({ repo: did, collection: profile, rkey: 'self' }).toString();
  const there = await call(at, `com.atproto.repo.getRecord?${query}`, { token });
  if (there.status !== 200 && textOf(fieldsOf(there.json)['error']) !== 'RecordNotFound')
    throw refused('reading the profile', there);
  const { value, cid } = there.status === 200 ? fieldsOf(there.json) : { value: { $type: profile }, cid: null };
  const record = fieldsOf(value);
  const labels = fieldsOf(record['labels'])['values'];
  const values = Array.isArray(labels) ? (labels as unknown[]) : [];
  if (values.some((label) => fieldsOf(label)['val'] === 'bot')) return;
  const written = await call(at, 'com.atproto.repo.putRecord', {
    token,
    json: {
      repo: did,
      collection: profile,
      rkey: 'self',
      record: {
        ...record,
        labels: { $type: 'com.atproto.label.defs#selfLabels', values: [...values, { val: 'bot' }] },
      },
      // What somebody else changed meanwhile stays.
      swapRecord: cid ?? null,
    },
  });
  if (written.status !== 200) throw refused('labelling the account as a bot', written);
}

/** @param input `bytes` without any: a call that takes no body */
async function call(
  at: At,
  method: string,
  { token, ...input }: { token?: string; json?: unknown; bytes?: Uint8Array },
): Promise<Reply> {
  const asked = await at.ask({
    url: `${at.settings.server}/xrpc/${method}`,
    ...input,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  if (asked.kind === 'reply') return asked;
  throw new NotReady(method, unpublished(asked));
}

function parsed(reply: Reply): Session {
  const session = sessionSchema.safeParse(reply.json);
  if (!session.success) throw new DomainError('REMOTE_FAILED', 'it gave a session that is none');
  return session.data;
}

/** Signing in is let through 300 times a day, so that what is wrong with it is not tried on and on. */
function refused(what: string, reply: Reply): NotReady {
  return new NotReady(what, unpublished(reply, { stopOn: [401, 403] }));
}
