import { proxyActivities } from '@temporalio/workflow';

/** A step that does nothing, so that all the time measured is the server's and the SDK's. */
interface FourStepActivities {
  step(ordinal: number): Promise<number>;
}

const { step } = proxyActivities<FourStepActivities>({ startToCloseTimeout: '30 seconds' });

/** The workflow of `npm run bench -- temporal-flags`: four activities, one after the other. */
export async function fourSteps(): Promise<number> {
  let last = 0;
  for (let ordinal = 1; ordinal <= 4; ordinal += 1) last = await step(ordinal);
  return last;
}
