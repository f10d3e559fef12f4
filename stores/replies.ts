import { sql } from 'kysely';
import { type ChannelKindName, channelKindNames, channelKindRow } from '../domain/channel-kinds.ts';
import { cleanLine, cleanText } from '../domain/clean-text.ts';
import { happenedAt } from '../domain/sources.ts';
import { repliesNotice } from './channels.ts';
import type { Database } from './database.ts';
import { leaveAlone } from './destinations.ts';
import { newId } from './ids.ts';
import { createMemoryStore } from './memories.ts';
import { openNotice } from './notices.ts';

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

/** Its server may be asked now: it is not left alone for a while, and nobody has to look first. */
const isAskable = sql<boolean>`(c.removed_at is null and c.stopped_at is null and c.replies_stopped_at is null and not exists (
  select from destinations t where t.owner_id = c.owner_id and t.key = c.destination and t.not_before > now()))`;

/** Where it says `too often` and not for how long. */
const leastWaitSeconds = 60;

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
  name: string;
  kind: ChannelKindName;
  destination: string;
  settings: unknown;
  sealed: Buffer | null;
  session: Buffer | null;
}

/** What its server answered in place of replies. */
interface Refusal {
  status?: number | undefined;
  waitSeconds?: number | undefined;
  ofService?: boolean | undefined;
  stopChannel?: boolean | undefined;
  reason: string;
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
        select c.id as "channelId", c.kind from channels c where c.kind = any(${kindsWithReplies}) and ${isAskable}
          and exists (select from deliveries d join drops p on p.id = d.drop_id
            where d.channel_id = c.id and d.state = 'published' and d.remote_id is not null and p.agent_id is not null
              and d.ended_at > now() - make_interval(days => ${days}) and ${isDue})
        order by c.id limit ${mostChannels}`.execute(db);
      return rows;
    },

    async duePosts(channelId: string): Promise<{ channel: ReplyChannel; posts: AnsweredPost[] } | undefined> {
      const channel = await db
        .selectFrom('channels as c')
        .select(['id', 'ownerId', 'name', 'kind', 'destination', 'settings', 'sealed', 'session'])
        .where('id', '=', channelId)
        .where(isAskable)
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

    /**
     * What its server wants, as it refused to tell replies: to be left alone for a while, or not to be asked any more as the channel is set up.
     * Posts may go out all the same, so that those are not stopped for it.
     */
    async obey(
      { id, ownerId, name, kind, destination, sealed }: ReplyChannel,
      { status, waitSeconds, ofService, stopChannel = false, reason }: Refusal,
    ): Promise<void> {
      const seconds = waitSeconds ?? (status === 429 ? leastWaitSeconds : undefined);
      if (seconds !== undefined) await leaveAlone(db, { ownerId, kind, destination }, { seconds, ofService, reason });
      if (!stopChannel) return;
      await db.transaction().execute(async (tx) => {
        // Under other secrets than these nobody has been refused.
        const { numAffectedRows } =
          await sql`update channels set replies_stopped_at = now(), replies_stop_reason = ${reason.slice(0, 300)}
          where id = ${id} and removed_at is null and replies_stopped_at is null and sealed is not distinct from ${sealed}`.execute(
            tx,
          );
        if ((numAffectedRows ?? 0n) === 0n) return;
        await openNotice(tx, {
          id: newId('notice'),
          ownerId,
          kind: 'replies_stopped',
          key: repliesNotice(id),
          subject: id,
          title: `Replies on ${name} are not read any more: it refuses to tell them`,
          detail: reason,
          action: `soulfra channels resume ${id}, or soulfra channels secrets ${id} with a token that may read`,
        });
      });
    },

    /** They could not be read: others come first at the next sweep. */
    async passOver({ deliveryId }: AnsweredPost): Promise<void> {
      await db.updateTable('deliveries').set(readNow).where('id', '=', deliveryId).execute();
    },
  };
}
export type ReplyStore = ReturnType<typeof createReplyStore>;
