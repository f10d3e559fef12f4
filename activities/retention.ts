import { durationSeconds } from '../domain/durations.ts';
import type { RetentionStore } from '../stores/retention.ts';
import type { FleetReader } from './fleet-view.ts';

export function createRetentionActivities({ retention, fleet }: { retention: RetentionStore; fleet: FleetReader }) {
  return {
    /** Deletes what has outlived fleet.yaml's retention, in batches. */
    async deleteExpired(): Promise<{ deleted: number }> {
      const keep = (await fleet()).fleet.retention;
      const seconds = {
        events: durationSeconds(keep.events),
        runs: durationSeconds(keep.runs),
        stepResults: durationSeconds(keep.stepResults),
        notices: durationSeconds(keep.notices),
        plans: durationSeconds(keep.plans),
        tokens: durationSeconds(keep.tokens),
      };
      return { deleted: await retention.deleteBatch(seconds) };
    },
  };
}
export type RetentionActivities = ReturnType<typeof createRetentionActivities>;
