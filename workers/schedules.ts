import { type Client, ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import type { FleetReader } from '../activities/fleet-view.ts';
import { durationSeconds } from '../domain/fleet.ts';
import { fleetAgents } from '../domain/fleet.ts';
import { reflectScheduleId, sweepWorkflowId } from '../domain/ids.ts';
import { coordinationQueue } from '../domain/task-queues.ts';
import type { ReflectFleetInput } from '../workflows/reflect-fleet.ts';

/**
 * Brings Temporal's Schedules to what the applied fleet says: one per cadence that some agent has. Made, updated where
 * catch-up differs, orphans removed. Whether a Schedule is paused stays as its operator left it.
 */
export async function reconcileSchedules(client: Client, readFleet: FleetReader): Promise<void> {
  const { fleet } = await readFleet();
  const cadences = new Set(fleetAgents(fleet).map((agent) => agent.cadence));
  const existing = new Set<string>();
  for await (const schedule of client.schedule.list()) {
    if (!schedule.scheduleId.startsWith('reflect-')) continue;
    const cadence = schedule.scheduleId.slice('reflect-'.length);
    if (cadences.has(cadence)) existing.add(cadence);
    else await client.schedule.getHandle(schedule.scheduleId).delete();
  }
  for (const cadence of cadences) {
    const options = optionsOf(cadence, fleet.schedules.catchUp);
    if (!existing.has(cadence)) {
      try {
        await client.schedule.create({
          ...options,
          scheduleId: reflectScheduleId(cadence),
          state: { paused: fleet.schedules.paused },
        });
        continue;
      } catch (err) {
        // The list lags behind, and another worker may reconcile too: what is there is updated.
        if (!(err instanceof ScheduleAlreadyRunning)) throw err;
      }
    }
    await client.schedule
      .getHandle(reflectScheduleId(cadence))
      .update((current) => ({ ...options, state: current.state }));
  }
}

function optionsOf(cadence: string, catchUp: string) {
  const seconds = durationSeconds(cadence);
  const input: ReflectFleetInput = { cadence, trigger: 'schedule' };
  return {
    spec: { intervals: [{ every: seconds * 1000 }] },
    action: {
      type: 'startWorkflow' as const,
      workflowType: 'reflectFleet',
      workflowId: sweepWorkflowId(cadence),
      taskQueue: coordinationQueue,
      workflowTaskTimeout: '2 seconds' as const,
      args: [input],
    },
    policies: {
      overlap: ScheduleOverlapPolicy.SKIP,
      catchupWindow: durationSeconds(catchUp) * 1000,
    },
  };
}
