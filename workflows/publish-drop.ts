import {
  CancellationScope,
  condition,
  continueAsNew,
  defineSignal,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { DeliveryActivities } from '../activities/deliveries.ts';
import type { DropActivities, OpenDeliveryRef } from '../activities/drops.ts';
import { rowsChangedSignal } from '../domain/messages.ts';
import type { DropState } from '../domain/states.ts';
import { channelQueue } from '../domain/task-queues.ts';

export interface PublishDropInput {
  dropId: string;
  /** This delivery alone: a person has asked for it again. */
  deliveryId?: string;
}
export interface PublishDropResult {
  state: DropState;
}

const { beginPublishing, endPublishing } = proxyLocalActivities<DropActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '2 seconds' },
});
const rowsChanged = defineSignal(rowsChangedSignal);
/** It looks again this often even if nobody tells it to: a signal may be lost where the row was changed. */
const lookEveryMs = 86_400_000;

/** From the moment a drop has a time to the end of its deliveries: what it does is in the rows, this keeps the clock. */
export async function publishDrop(input: PublishDropInput): Promise<PublishDropResult> {
  const { dropId } = input;
  let changed = false;
  setHandler(rowsChanged, () => {
    changed = true;
  });
  for (;;) {
    changed = false;
    const turn = await beginPublishing(input);
    if (turn.kind === 'ended') return { state: turn.state };
    if (turn.kind === 'deliver') {
      setCurrentDetails(`${turn.deliveries.length} deliveries`);
      await deliverAll(turn.deliveries);
      return endPublishing({ dropId });
    }
    setCurrentDetails(turn.reason);
    await condition(() => changed, Math.min(lookEveryMs, turn.seconds === null ? lookEveryMs : turn.seconds * 1000), {
      summary: 'until its time, or the row changes',
    });
    if (workflowInfo().continueAsNewSuggested && !changed) await continueAsNew<typeof publishDrop>(input);
  }

  /** Side by side; one that a person took back while it waited for its next try is not waited for. */
  async function deliverAll(deliveries: readonly OpenDeliveryRef[]): Promise<void> {
    const open = new Map(deliveries.map((delivery) => [delivery.deliveryId, new CancellationScope()]));
    const all = Promise.all(
      deliveries.map(async (delivery) => {
        try {
          await open.get(delivery.deliveryId)!.run(() => deliver(delivery));
        } catch (err) {
          if (!isCancellation(err)) throw err;
        } finally {
          open.delete(delivery.deliveryId);
        }
      }),
    );
    while (open.size > 0) {
      await Promise.race([all, condition(() => changed)]);
      if (!changed || open.size === 0) continue;
      changed = false;
      const turn = await beginPublishing(input);
      const left = turn.kind === 'deliver' ? turn.deliveries.map(({ deliveryId }) => deliveryId) : [];
      for (const [deliveryId, scope] of open) if (!left.includes(deliveryId)) scope.cancel();
    }
    await all;
  }
}

/** On the queue of its kind, which has a rate of its own, as often as it takes. */
async function deliver({ deliveryId, kind }: OpenDeliveryRef): Promise<void> {
  const { tryPost } = proxyActivities<DeliveryActivities>({
    taskQueue: channelQueue(kind),
    startToCloseTimeout: '1 minute',
    heartbeatTimeout: '10 seconds',
    // It says itself when it is to come again; this is for a worker that died, or a database that is away.
    retry: { initialInterval: '1 second', maximumInterval: '1 minute' },
    summary: kind,
  });
  await tryPost({ deliveryId });
}
