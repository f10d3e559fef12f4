import { proxyActivities } from '@temporalio/workflow';
import type { NotifyActivities } from '../activities/notifications.ts';
import { channelQueues } from '../domain/task-queues.ts';

export interface SendHeartbeatResult {
  /** Empty: it was heard. */
  reason: string;
}

const { beat } = proxyActivities<NotifyActivities>({
  taskQueue: channelQueues.notify,
  // A late heartbeat is worth nothing; the next one comes by itself.
  scheduleToCloseTimeout: '1 minute',
  startToCloseTimeout: '30 seconds',
  retry: { maximumAttempts: 2 },
  summary: 'tells the watcher outside that the fleet is alive',
});

/** Asks the address that somebody outside watches, as long as the fleet works: that this runs says that Temporal and Postgres do. */
export async function sendHeartbeat(): Promise<SendHeartbeatResult> {
  return beat();
}
