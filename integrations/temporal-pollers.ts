import type { Client } from '@temporalio/client';

const deadlineMs = 5_000;
/** TASK_QUEUE_TYPE_ACTIVITY */
const activityQueue = 2;

/** Workers that have asked for activities of a queue within the last minutes. */
export async function activityPollers(client: Client, queue: string): Promise<number> {
  const { namespace } = client.options;
  const { pollers } = await client.withDeadline(Date.now() + deadlineMs, () =>
    client.workflowService.describeTaskQueue({ namespace, taskQueue: { name: queue }, taskQueueType: activityQueue }),
  );
  return pollers?.length ?? 0;
}
