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
  retry: { maximumAttempts: 1 },
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
    const pause = sleep(`${healthEverySeconds} seconds`, { summary: 'next look at the leases' });
    // The looks are judgeFleetHealth's: here a slow one held up the next judgement of leases.
    if (!patched('looks-apart') && patched('health')) await Promise.all([pause, judgeAll()]);
    else await pause;
  }
  return continueAsNew<typeof checkFleetHealth>();
}

/** As executions do that were begun before the looks were apart. */
async function judgeAll(): Promise<void> {
  try {
    await judgeHealth();
  } catch (err) {
    if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
    log.warn('health was not judged', { cause: err.cause?.message });
  }
}
