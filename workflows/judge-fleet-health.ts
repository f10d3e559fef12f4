import {
  ActivityFailure,
  continueAsNew,
  isCancellation,
  log,
  proxyLocalActivities,
  setCurrentDetails,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { FleetHealthActivities } from '../activities/fleet-health.ts';
import { healthEverySeconds } from '../domain/health.ts';

const { judgeHealth } = proxyLocalActivities<FleetHealthActivities>({
  startToCloseTimeout: '10 seconds',
  // The next round is the next try.
  retry: { maximumAttempts: 1 },
});

/**
 * Takes the looks at how all does, for ever: apart from checkFleetHealth, since leases wait for no look. Never ends: whatever
 * closes it, the next worker start begins it anew.
 */
export async function judgeFleetHealth(): Promise<never> {
  let failing = false;
  while (!workflowInfo().continueAsNewSuggested) {
    try {
      await judgeHealth();
      if (failing) setCurrentDetails('');
      failing = false;
    } catch (err) {
      if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
      // The API says since when nobody has looked.
      failing = true;
      setCurrentDetails(`The last look failed: ${err.cause?.message ?? err.message}`);
      log.warn('health was not judged', { cause: err.cause?.message });
    }
    await sleep(`${healthEverySeconds} seconds`, { summary: 'next look at how all does' });
  }
  return continueAsNew<typeof judgeFleetHealth>();
}
