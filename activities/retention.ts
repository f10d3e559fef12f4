import { durationSeconds } from '../domain/durations.ts';
import type { RetentionSeconds, RetentionStore } from '../stores/retention.ts';
import type { FleetReader } from './fleet-view.ts';

export function createRetentionActivities({ retention, fleet }: { retention: RetentionStore; fleet: FleetReader }) {
  return {
    /** Deletes what has outlived fleet.yaml's retention, in batches. */
    async deleteExpired(): Promise<{ deleted: number }> {
      const keep = (await fleet()).fleet.retention;
      const seconds = Object.entries(keep).map(([table, duration]) => [table, durationSeconds(duration)]);
      return { deleted: await retention.deleteBatch(Object.fromEntries(seconds) as RetentionSeconds) };
    },
  };
}
export type RetentionActivities = ReturnType<typeof createRetentionActivities>;
