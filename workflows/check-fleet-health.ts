import {
  ActivityFailure,
  continueAsNew,
  isCancellation,
  log,
  patched,
  proxyLocalActivities,
  setCurrentDetails,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { FleetHealthActivities } from '../activities/fleet-health.ts';
import { healthEverySeconds } from '../domain/health.ts';

const { judgeLeases } = proxyLocalActivities<FleetHealthActivities>({
  startToCloseTimeout: '5 seconds',
  // By default a database that was away for half a minute would leave the leases unjudged for another.
  retry: { maximumInterval: '2 seconds' },
});
const { judgeHealth } = proxyLocalActivities<FleetHealthActivities>({
  startToCloseTimeout: '10 seconds',
  // The next round is the next try: leases wait for no one.
  retry: { maximumAttempts: 1 },
});

/** Judges every machine's lease every 5 s for ever, and how all else does. Never ends: whatever closes it, the next worker start begins it anew. */
export async function checkFleetHealth(): Promise<never> {
  let lastLost = 'none since this run began';
  while (!workflowInfo().continueAsNewSuggested) {
    const { lost } = await judgeLeases();
    if (lost.length > 0) {
      lastLost = lost.join(', ');
      setCurrentDetails(`Last lost: ${lastLost}`);
    }
    const pause = sleep(`${healthEverySeconds} seconds`, { summary: 'next look at the leases' });
    // In the pause, so that leases keep their time.
    if (patched('health')) await Promise.all([pause, judgeAll()]);
    else await pause;
  }
  return continueAsNew<typeof checkFleetHealth>();
}

/** How all but the leases does: without it leases are judged all the same, and the API says since when nobody has looked. */
async function judgeAll(): Promise<void> {
  try {
    await judgeHealth();
  } catch (err) {
    if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
    log.warn('health was not judged', { cause: err.cause?.message });
  }
}
