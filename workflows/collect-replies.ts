import { isCancellation, log, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { ReplyActivities, ReplySweepActivities } from '../activities/replies.ts';
import { channelQueue } from '../domain/task-queues.ts';

export interface CollectRepliesResult {
  channels: number;
  added: number;
}

const { replyChannels } = proxyLocalActivities<ReplySweepActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '5 seconds' },
});

/** What others replied to drops becomes memories of the agents that spoke; each channel is read on the queue of its kind. */
export async function collectReplies(): Promise<CollectRepliesResult> {
  const due = await replyChannels();
  const read = await Promise.all(
    due.map(({ channelId, kind }) => {
      const { readReplies } = proxyActivities<ReplyActivities>({
        taskQueue: channelQueue(kind),
        // Nobody who polls the kind: the next sweep looks again.
        scheduleToCloseTimeout: '9 minutes',
        startToCloseTimeout: '5 minutes',
        heartbeatTimeout: '10 seconds',
        summary: kind,
      });
      return readReplies({ channelId }).catch((err: unknown) => {
        if (isCancellation(err)) throw err;
        log.warn('replies of a channel were not read', { channelId, err: String(err) });
        return { added: 0 };
      });
    }),
  );
  return { channels: due.length, added: read.reduce((sum, { added }) => sum + added, 0) };
}
