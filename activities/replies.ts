import type { ChannelKindName } from '../domain/channel-kinds.ts';
import { isDomainError } from '../domain/errors.ts';
import { NotReady } from '../integrations/channels/asking.ts';
import type { Posting } from '../integrations/channels/posting.ts';
import type { ChannelStore } from '../stores/channels.ts';
import type { ReplyStore } from '../stores/replies.ts';
import { beating } from './beating.ts';

/** What it came to, and why no further. */
export interface ReadReplies {
  posts: number;
  added: number;
  reason: string;
}

export function createReplySweepActivities({ replies }: { replies: ReplyStore }) {
  return {
    async replyChannels(): Promise<Array<{ channelId: string; kind: ChannelKindName }>> {
      return replies.dueChannels();
    },
  };
}
export type ReplySweepActivities = ReturnType<typeof createReplySweepActivities>;

export function createReplyActivities({
  replies,
  channels,
  posting,
}: {
  replies: ReplyStore;
  channels: ChannelStore;
  posting: Posting;
}) {
  return {
    /** Reads what was replied to the posts of a channel; what cannot be read now is read at the next sweep. Done again it adds nothing twice. */
    async readReplies({ channelId }: { channelId: string }): Promise<ReadReplies> {
      return beating(async () => {
        const due = await replies.duePosts(channelId);
        const read: ReadReplies = { posts: 0, added: 0, reason: '' };
        if (due === undefined || due.posts.length === 0) return read;
        const { channel, posts } = due;
        try {
          const { session, keep } = await posting.prepare(channel);
          if (keep) await channels.keepSession(channelId, { sealed: channel.sealed, session: keep });
          for (const post of posts) {
            // Put down first: one that cannot be read, as it was deleted there, holds up no other for ever.
            await replies.passOver(post);
            const found = await posting.replies(channel, session, post.remoteId);
            if (found === undefined) return read;
            read.added += await replies.remember(channel.kind, post, found);
            read.posts += 1;
          }
          return read;
        } catch (err) {
          if (!isDomainError(err)) throw err;
          if (err instanceof NotReady) await replies.obey(channel, err.answer);
          return { ...read, reason: err.message };
        }
      });
    },
  };
}
export type ReplyActivities = ReturnType<typeof createReplyActivities>;
