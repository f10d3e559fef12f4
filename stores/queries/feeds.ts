import { sql } from 'kysely';
import type { Executor } from '../database.ts';

export interface FeedEntry {
  /** Of the delivery. */
  id: string;
  title: string;
  text: string;
  author: string;
  publishedAt: Date;
}

export interface KeptFeed {
  settings: unknown;
  createdAt: Date;
  /** The last published first. */
  entries: FeedEntry[];
}

const mostEntries = 50;

/** A feed as everybody may read it: what was published there, rehearsals and what is under way left out. */
export async function findFeed(db: Executor, channelId: string): Promise<KeptFeed | undefined> {
  const channel = await db
    .selectFrom('channels')
    .select(['settings', 'createdAt'])
    .where('id', '=', channelId)
    .where('kind', '=', 'feed')
    .where('removedAt', 'is', null)
    .executeTakeFirst();
  if (channel === undefined) return undefined;
  const { rows } = await sql<FeedEntry>`
    select d.id, p.title, coalesce(d.text, '') as text, coalesce(a.name, '') as author, d.ended_at as "publishedAt"
    from deliveries d join drops p on p.id = d.drop_id left join agents a on a.id = p.agent_id
    where d.channel_id = ${channelId} and d.state = 'published' and not d.rehearsal
    order by d.ended_at desc, d.id desc limit ${mostEntries}`.execute(db);
  return { ...channel, entries: rows };
}
