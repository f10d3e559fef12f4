import { sql } from 'kysely';
import { type ChannelKindName, channelKindNames, channelKindRow } from '../domain/channel-kinds.ts';
import { cleanLine, cleanText } from '../domain/clean-text.ts';
import { happenedAt } from '../domain/sources.ts';
import type { Database } from './database.ts';
import { createMemoryStore } from './memories.ts';

/** Days for which replies to a post are looked for, and posts of one channel at once. */
const days = 14;
const mostPosts = 20;
/** Channels of one sweep. */
const mostChannels = 200;
const mostReplies = 100;
const replyChars = 2_000;
/** How much what a stranger says weighs. */
const replyImportance = 3;

const kindsWithReplies = channelKindNames.filter((kind) => channelKindRow(kind).replies === true);

/** Ten minutes and more apart, further the older the post is. */
const isDue = sql<boolean>`(d.replies_read_at is null
  or d.replies_read_at < now() - greatest(interval '10 minutes', (d.replies_read_at - d.ended_at) / 4))`;

const readNow = { repliesReadAt: sql<Date>`now()` };

export interface AnsweredPost {
  deliveryId: string;
  ownerId: string;
  agentId: string;
  title: string;
  remoteId: string;
}

export interface ReplyChannel {
  id: string;
  ownerId: string;
  kind: ChannelKindName;
  settings: unknown;
  sealed: Buffer | null;
  session: Buffer | null;
}

export interface ToldReply {
  id: string;
  author: string;
  text: string;
  at: string;
}

export function createReplyStore(db: Database) {
  const memories = createMemoryStore(db);
  return {
    /** Channels with posts of agents whose replies are to be looked for. */
    async dueChannels(): Promise<Array<{ channelId: string; kind: ChannelKindName }>> {
      const { rows } = await sql<{ channelId: string; kind: ChannelKindName }>`
        select c.id as "channelId", c.kind from channels c where c.kind = any(${kindsWithReplies}) and c.removed_at is null
          and c.stopped_at is null and exists (select from deliveries d join drops p on p.id = d.drop_id
            where d.channel_id = c.id and d.state = 'published' and d.remote_id is not null and p.agent_id is not null
              and d.ended_at > now() - make_interval(days => ${days}) and ${isDue})
        order by c.id limit ${mostChannels}`.execute(db);
      return rows;
    },

    async duePosts(channelId: string): Promise<{ channel: ReplyChannel; posts: AnsweredPost[] } | undefined> {
      const channel = await db
        .selectFrom('channels')
        .select(['id', 'ownerId', 'kind', 'settings', 'sealed', 'session'])
        .where('id', '=', channelId)
        .where('removedAt', 'is', null)
        .where('stoppedAt', 'is', null)
        .executeTakeFirst();
      if (channel === undefined) return undefined;
      const { rows } = await sql<AnsweredPost>`
        select d.id as "deliveryId", d.owner_id as "ownerId", p.agent_id as "agentId", p.title, d.remote_id as "remoteId"
        from deliveries d join drops p on p.id = d.drop_id
        where d.channel_id = ${channelId} and d.state = 'published' and d.remote_id is not null and p.agent_id is not null
          and d.ended_at > now() - make_interval(days => ${days}) and ${isDue}
        order by d.replies_read_at nulls first limit ${mostPosts}`.execute(db);
      return { channel: { ...channel, kind: channel.kind as ChannelKindName }, posts: rows };
    },

    /** What was replied becomes memories of who spoke, each once; that it was looked for is put down with them. */
    async remember(kind: ChannelKindName, post: AnsweredPost, replies: readonly ToldReply[]): Promise<number> {
      return db.transaction().execute(async (tx) => {
        const now = new Date();
        const told = replies.slice(0, mostReplies).flatMap(({ id, author, text, at }) => {
          const words = cleanText(text).slice(0, replyChars).toWellFormed();
          if (words === '') return [];
          const to = post.title === '' ? 'a drop' : `the drop “${cleanLine(post.title)}”`;
          return [
            {
              agentId: post.agentId,
              kind: 'reply' as const,
              text: `${cleanLine(author).slice(0, 100)} replied to ${to}: ${words}`,
              importance: replyImportance,
              source: `channel:${kind}`,
              externalKey: `reply:${kind}:${id}`.slice(0, 500),
              occurredAt: happenedAt(at, now),
            },
          ];
        });
        const { added } = await memories.add(post.ownerId, told, tx);
        await tx.updateTable('deliveries').set(readNow).where('id', '=', post.deliveryId).execute();
        return added;
      });
    },

    /** They could not be read: others come first at the next sweep. */
    async passOver({ deliveryId }: AnsweredPost): Promise<void> {
      await db.updateTable('deliveries').set(readNow).where('id', '=', deliveryId).execute();
    },
  };
}
export type ReplyStore = ReturnType<typeof createReplyStore>;
