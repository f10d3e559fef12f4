import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { GlobeActivities } from '../activities/globe.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface PlaceGlobeInput {
  /** `call-<requestId>`, or `first-<id>` after a sweep or an embedding in a fleet without one; a scheduled run takes the scheduled time instead. */
  period?: string;
}
export interface PlaceGlobeResult {
  agents: number;
  memories: number;
  unchanged: boolean;
}

const { placeGlobePoints } = proxyActivities<GlobeActivities>({
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '30 seconds',
  // Then the run fails, and the next period begins anew: a Schedule starts none while one is open.
  retry: { maximumInterval: '1 minute', maximumAttempts: 12 },
  summary: 'places agents and memories by what they say',
});

/** Places agents and memories on the globe by what they say, each near to where it stood. */
export async function placeGlobe({ period }: PlaceGlobeInput): Promise<PlaceGlobeResult> {
  const placed = await placeGlobePoints({ period: period ?? scheduledPeriod() });
  setCurrentDetails(
    placed.unchanged ? 'nothing is new' : `${placed.memories} memories and ${placed.agents} agents placed`,
  );
  return placed;
}
