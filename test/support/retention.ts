import { MockActivityEnvironment } from '@temporalio/testing';
import { createRetentionActivities } from '../../activities/retention.ts';
import type { FleetView } from '../../activities/fleet-view.ts';
import type { Database } from '../../stores/database.ts';
import { createRetentionStore } from '../../stores/retention.ts';
import { createUnsaidVectorStore } from '../../stores/unsaid-vectors.ts';
import { testFleet } from './fleets.ts';

/** Deletes what has outlived the retention that a fleet has by default, as the workflow does: until nothing is left to. */
export async function applyRetention(db: Database): Promise<void> {
  const activities = createRetentionActivities({
    retention: createRetentionStore(db),
    unsaidVectors: createUnsaidVectorStore(db),
    fleet: () => Promise.resolve({ fleet: testFleet() } as FleetView),
  });
  while ((await activities.deleteExpired()).deleted > 0);
  await new MockActivityEnvironment().run(() => activities.deleteUnsaidVectors());
}
