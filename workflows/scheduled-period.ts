import { workflowInfo } from '@temporalio/workflow';

/** The time a Schedule meant, never the clock: what starts late is still the work of its hour. */
export function scheduledPeriod(): string {
  const scheduled = workflowInfo().searchAttributes['TemporalScheduledStartTime']?.[0];
  return (scheduled instanceof Date ? scheduled : workflowInfo().startTime).toISOString();
}
