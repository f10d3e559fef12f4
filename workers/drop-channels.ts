import { Worker } from '@temporalio/worker';
import { createDeliveryActivities } from '../activities/deliveries.ts';
import type { FleetReader } from '../activities/fleet-view.ts';
import { activityInterceptors } from '../activities/interceptors.ts';
import { createReplyActivities } from '../activities/replies.ts';
import { channelKindNames, channelKindRow } from '../domain/channel-kinds.ts';
import { channelQueue } from '../domain/task-queues.ts';
import { createPosting } from '../integrations/channels/posting.ts';
import { createGuardedFetch } from '../integrations/guarded-fetch.ts';
import { secretBoxOf } from '../integrations/secret-box.ts';
import { createChannelStore } from '../stores/channels.ts';
import type { Database } from '../stores/database.ts';
import { createDeliveryStore } from '../stores/deliveries.ts';
import { createReplyStore } from '../stores/replies.ts';
import { pollers, type SharedByWorkers } from './coordination.ts';

export interface DropChannelDeps {
  db: Database;
  fleet: FleetReader;
  /** 32 bytes, base64url: what secrets of channels are sealed under. */
  webhookKey: string | undefined;
  /** The one before, by which it still opens. */
  webhookKeyOld?: string | undefined;
  /** For tests: what to wait in place of what was ruled. */
  waitSeconds?: (ruled: number) => number;
}

/** Of this worker, on each kind: services answer slowly, and waiting costs little. */
const postSlots = 8;

/** The workers of the kinds of channels, one each: a service that hangs holds up no other, and each has the rate of its kind. */
export function createDropChannelWorkers(
  { interceptors = activityInterceptors, ...shared }: SharedByWorkers,
  identityOf: (kind: string) => string,
  { db, fleet, webhookKey, webhookKeyOld, waitSeconds }: DropChannelDeps,
): Promise<Worker[]> {
  const channels = createChannelStore(db);
  const posting = createPosting({
    guardedFetch: createGuardedFetch(),
    box: secretBoxOf(webhookKey, webhookKeyOld),
    // The hosts are of who runs the fleet: nobody else's channel reaches them.
    allowPrivate: async (owner) => {
      const { ownerId, fleet: applied } = await fleet();
      return owner === ownerId ? applied.drops.allowPrivate : [];
    },
  });
  const activities = {
    ...createDeliveryActivities({
      deliveries: createDeliveryStore(db),
      channels,
      posting,
      fleet,
      ...(waitSeconds === undefined ? {} : { waitSeconds }),
    }),
    ...createReplyActivities({ replies: createReplyStore(db), channels, posting }),
  };
  return Promise.all(
    channelKindNames.map((kind) =>
      Worker.create({
        ...shared,
        identity: identityOf(kind),
        taskQueue: channelQueue(kind),
        activities,
        interceptors: { activity: interceptors },
        activityTaskPollerBehavior: pollers(1),
        maxConcurrentActivityTaskExecutions: postSlots,
        // Over all workers; the same figure from each.
        maxTaskQueueActivitiesPerSecond: channelKindRow(kind).queuePerSecond,
        shutdownGraceTime: '15 seconds',
      }),
    ),
  );
}
