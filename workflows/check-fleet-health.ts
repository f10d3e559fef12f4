import { continueAsNew, proxyLocalActivities, setCurrentDetails, sleep, workflowInfo } from '@temporalio/workflow';
import type { FleetHealthActivities } from '../activities/fleet-health.ts';
import { healthEverySeconds } from '../domain/health.ts';

const { judgeLeases } = proxyLocalActivities<FleetHealthActivities>({
  startToCloseTimeout: '5 seconds',
  // By default a database that was away for half a minute would leave the leases unjudged for another.
  retry: { maximumInterval: '2 seconds' },
});

/** Judges every machine's lease every 5 s for ever. Never ends: whatever closes it, the next worker start begins it anew. */
export async function checkFleetHealth(): Promise<never> {
  let lastLost = 'none since this run began';
  while (!workflowInfo().continueAsNewSuggested) {
    const { lost } = await judgeLeases();
    if (lost.length > 0) {
      lastLost = lost.join(', ');
      setCurrentDetails(`Last lost: ${lastLost}`);
    }
    await sleep(`${healthEverySeconds} seconds`, { summary: 'next look at the leases' });
  }
  return continueAsNew<typeof checkFleetHealth>();
}
