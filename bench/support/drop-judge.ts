import { sql } from 'kysely';
import type { Database } from '../../stores/database.ts';
import type { Posted } from '../../test/support/channels/double.ts';

export interface DropVerdict {
  drops: number;
  published: number;
  unconfirmed: number;
  failed: number;
  /** Of kinds with a key: not there, and nobody says that it may not be. */
  exactLost: number;
  exactTwice: number;
  /** Of kinds without one. */
  otherTwice: number;
  /** Said to be there and not; said not to be there and there; or in doubt without an open notice. */
  doubtfulUnlisted: number;
  faultLines: string[];
}

const exactKinds = new Set(['webhook', 'mastodon', 'discord_bot']);

/** Holds what the services have against what the rows say; knows nothing of how it came about. */
export async function judgeDrops(db: Database, posts: readonly Posted[]): Promise<DropVerdict> {
  const { rows } = await sql<{ dropId: string; kind: string; state: string; listed: boolean }>`
    select d.drop_id as "dropId", c.kind, d.state, exists (select from notices n
      where n.key = 'delivery:' || d.id and n.resolved_at is null) as listed
    from drops p left join deliveries d on d.drop_id = p.id left join channels c on c.id = d.channel_id`.execute(db);
  const copies = new Map<string, number>();
  for (const { text } of posts) {
    const dropId = /drp_[0-9a-f-]{36}/.exec(text)?.[0] ?? '';
    copies.set(dropId, (copies.get(dropId) ?? 0) + 1);
  }
  const verdict: DropVerdict = {
    drops: rows.length,
    published: rows.filter(({ state }) => state === 'published').length,
    unconfirmed: rows.filter(({ state }) => state === 'unconfirmed').length,
    failed: rows.filter(({ state }) => state === 'failed').length,
    exactLost: 0,
    exactTwice: 0,
    otherTwice: 0,
    doubtfulUnlisted: 0,
    faultLines: [],
  };
  for (const { dropId, kind, state, listed } of rows) {
    const there = copies.get(dropId) ?? 0;
    const exact = exactKinds.has(kind);
    const lost = exact && there === 0 && !((state === 'unconfirmed' || state === 'failed') && listed);
    const twice = there > 1;
    const wrong =
      (state === 'published' && there === 0) ||
      (state === 'failed' && (there > 0 || !listed)) ||
      (state === 'unconfirmed' && !listed) ||
      !['published', 'failed', 'unconfirmed'].includes(state);
    if (lost) verdict.exactLost += 1;
    if (twice && exact) verdict.exactTwice += 1;
    if (twice && !exact) verdict.otherTwice += 1;
    if (wrong) verdict.doubtfulUnlisted += 1;
    if (lost || twice || wrong)
      verdict.faultLines.push(`${dropId} on ${kind}: ${state}, listed ${listed}, there ${there} times`);
  }
  return verdict;
}
