import { Context } from '@temporalio/activity';
import { durationSeconds } from '../domain/durations.ts';
import type { RetentionSeconds, RetentionStore } from '../stores/retention.ts';
import type { UnsaidVectorStore, VectorPlace } from '../stores/unsaid-vectors.ts';
import type { FleetReader } from './fleet-view.ts';

export interface RetentionDeps {
  retention: RetentionStore;
  unsaidVectors: UnsaidVectorStore;
  fleet: FleetReader;
}

/** How far the walk is, in its heartbeats. */
interface Walked {
  deleted: number;
  next: VectorPlace | null;
}

export function createRetentionActivities({ retention, unsaidVectors, fleet }: RetentionDeps) {
  return {
    /** Deletes what has outlived fleet.yaml's retention, in batches. */
    async deleteExpired(): Promise<{ deleted: number }> {
      const keep = (await fleet()).fleet.retention;
      const seconds = Object.entries(keep).map(([table, duration]) => [table, durationSeconds(duration)]);
      return { deleted: await retention.deleteBatch(Object.fromEntries(seconds) as RetentionSeconds) };
    },

    /** Looks at each vector older than a day once and deletes those that nothing says any more; goes on where an execution before it died. */
    async deleteUnsaidVectors(): Promise<{ deleted: number }> {
      const context = Context.current();
      const before = context.info.heartbeatDetails as Walked | undefined;
      const walked: Walked = before ?? { deleted: 0, next: null };
      do {
        const { deleted, next } = await unsaidVectors.deletePage(walked.next);
        walked.deleted += deleted;
        walked.next = next;
        context.heartbeat(walked);
        context.cancellationSignal.throwIfAborted();
      } while (walked.next !== null);
      return { deleted: walked.deleted };
    },
  };
}
export type RetentionActivities = ReturnType<typeof createRetentionActivities>;
