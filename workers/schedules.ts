import {
  type Client,
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  type ScheduleOptions,
  type ScheduleOptionsStartWorkflowAction,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import type { Workflow } from '@temporalio/common';
import type { FleetReader, FleetView } from '../activities/fleet-view.ts';
import { skippedDigests } from '../domain/digest-period.ts';
import { wallText } from '../domain/drop-times.ts';
import { durationSeconds } from '../domain/durations.ts';
import {
  backupScheduleId,
  blessingsScheduleId,
  clusterScheduleId,
  consolidateScheduleId,
  driftScheduleId,
  egoScheduleId,
  globeScheduleId,
  paymentsScheduleId,
  payoutsScheduleId,
  dropsScheduleId,
  embeddingScheduleId,
  reconcileScheduleId,
  reflectScheduleId,
  digestScheduleId,
  heartbeatScheduleId,
  mirrorScheduleId,
  licensesScheduleId,
  notifyScheduleId,
  repliesScheduleId,
  restoreDrillScheduleId,
  retentionScheduleId,
  sourcesScheduleId,
  sweepWorkflowId,
  type UpkeepScheduleId,
  readinessScheduleId,
  weaveScheduleId,
} from '../domain/ids.ts';
import { coordinationQueue } from '../domain/task-queues.ts';
import { windowOf, type WorkflowType, type WorkflowWindow } from '../domain/workflow-window.ts';
import { withWindow } from '../integrations/temporal-window.ts';
import type { ReflectFleetInput } from '../workflows/reflect-fleet.ts';

/** What is there, whatever the applied fleet names. */
export interface Living {
  /** That some living agent has, whoever gave birth to it. */
  cadences: () => Promise<string[]>;
  /** Whether a source that the fleet no longer names has yet to be stopped. */
  sources: () => Promise<boolean>;
}

/**
 * Brings Temporal's Schedules to what the applied fleet, its agents and its sources say: one per cadence, and one for all
 * sources where there are any. Made, updated where catch-up differs, orphans removed. Whether a Schedule is paused stays as
 * its operator left it.
 */
export async function reconcileSchedules(client: Client, readFleet: FleetReader, living: Living): Promise<void> {
  const { fleet } = await readFleet();
  for (const [scheduleId, options] of Object.entries(standing)) await ensure(client, scheduleId, options, false);
  await ensure(client, backupScheduleId, backupSchedule(fleet.backup), false);
  // Also for webhooks: it takes up what was received and not given to the agents.
  if (fleet.sources.length > 0 || (await living.sources())) {
    await ensure(client, sourcesScheduleId, sourcesSchedule, false);
  } else await remove(client, sourcesScheduleId);
  const { digest, heartbeat } = fleet.notify;
  if (digest !== undefined) await ensure(client, digestScheduleId, digestSchedule(digest), false);
  else await remove(client, digestScheduleId);
  if (heartbeat !== undefined) await ensure(client, heartbeatScheduleId, heartbeatSchedule(heartbeat), false);
  else await remove(client, heartbeatScheduleId);
  if (fleet.mirror !== undefined) await ensure(client, mirrorScheduleId, mirrorSchedule(fleet.mirror), false);
  else await remove(client, mirrorScheduleId);
  const cadences = new Set(await living.cadences());
  for await (const schedule of client.schedule.list()) {
    if (!schedule.scheduleId.startsWith('reflect-')) continue;
    const cadence = schedule.scheduleId.slice('reflect-'.length);
    if (!cadences.has(cadence)) await remove(client, schedule.scheduleId);
  }
  for (const cadence of cadences) {
    await ensure(
      client,
      reflectScheduleId(cadence),
      optionsOf(cadence, fleet.schedules.catchUp),
      fleet.schedules.paused,
    );
  }
}

/** Makes Schedules again that are gone from Temporal, as the looks at health have seen; one that a person does not want is paused, not deleted. */
export async function remakeSchedules(
  health: { lacksSchedules(): Promise<boolean> },
  reconcile: () => Promise<void>,
): Promise<void> {
  if (await health.lacksSchedules()) await reconcile();
}

async function remove(client: Client, scheduleId: string): Promise<void> {
  try {
    await client.schedule.getHandle(scheduleId).delete();
  } catch (err) {
    // Another worker was faster, or the list still shows what is gone.
    if (!(err instanceof ScheduleNotFoundError)) throw err;
  }
}

/** Made, or updated with whether it is paused left as it is: the list lags behind, and another worker may reconcile too. */
async function ensure(client: Client, scheduleId: string, options: Options, paused: boolean): Promise<void> {
  try {
    await withWindow(options.action, (action) =>
      client.schedule.create({ ...options, action, scheduleId, state: { paused } }),
    );
  } catch (err) {
    if (!(err instanceof ScheduleAlreadyRunning)) throw err;
    await withWindow(options.action, (action) =>
      client.schedule.getHandle(scheduleId).update((current) => ({ ...options, action, state: current.state })),
    );
  }
}

type Action = ScheduleOptionsStartWorkflowAction<Workflow> & WorkflowWindow;
type Options = Omit<ScheduleOptions<Action>, 'scheduleId' | 'state'> & { action: Action };

/**
 * The Schedules every fleet has for its upkeep, by id; each starts one workflow that takes nothing. `schedules` of the file is
 * of reflections: these begin running, and one start that was missed is made up for within a year, the server's own default.
 */
const standing: Readonly<Record<Exclude<UpkeepScheduleId, typeof backupScheduleId>, Options>> = {
  [retentionScheduleId]: startOf('applyRetention', 'apply-retention', { calendars: [{ hour: 3, minute: 30 }] }),
  // A search embeds the few that are new by itself; this is for what came in bulk, and for another model.
  [embeddingScheduleId]: startOf('reembedMemories', 'reembed-memories', { intervals: [{ every: '10 minutes' }] }),
  // Half an hour after the weaving, so that what has just come into a thread is known to be in it.
  [consolidateScheduleId]: startOf('consolidateMemories', 'consolidate-memories', {
    intervals: [{ every: '1 hour', offset: '30 minutes' }],
  }),
  [weaveScheduleId]: startOf('weaveMemories', 'weave-memories', { intervals: [{ every: '1 hour' }] }),
  [driftScheduleId]: startOf('rateDrift', 'drift', { intervals: [{ every: '6 hours' }] }),
  // After the weaving, whose threads it draws.
  [globeScheduleId]: startOf('placeGlobe', 'globe', { intervals: [{ every: '1 hour', offset: '20 minutes' }] }),
  [clusterScheduleId]: startOf('clusterAgents', 'clusters', { calendars: [{ hour: 5 }] }),
  [reconcileScheduleId]: startOf('reconcileLedger', 'reconcile', {
    intervals: [{ every: '1 hour', offset: '15 minutes' }],
  }),
  [paymentsScheduleId]: startOf('resumePayments', 'resume-payments', {
    intervals: [{ every: '1 hour', offset: '45 minutes' }],
  }),
  [payoutsScheduleId]: startOf('payOutCreators', 'pay-out-creators', { calendars: [{ hour: 6 }] }),
  [blessingsScheduleId]: startOf('shareBlessings', 'blessings', { calendars: [{ dayOfWeek: 'MONDAY', hour: 4 }] }),
  [egoScheduleId]: startOf('settleEgo', 'ego', { calendars: [{ hour: 2, minute: 30 }] }),
  [dropsScheduleId]: startOf('composeDrops', 'compose-drops', { intervals: [{ every: '1 minute' }] }),
  [repliesScheduleId]: startOf('collectReplies', 'collect-replies', { intervals: [{ every: '10 minutes' }] }),
  [notifyScheduleId]: startOf('tellNotices', 'tell-notices', { intervals: [{ every: '1 minute' }] }),
  [readinessScheduleId]: startOf('assessReadiness', 'assess-readiness', {
    calendars: [{ dayOfWeek: 'MONDAY', hour: 5, minute: 30 }],
  }),
  [restoreDrillScheduleId]: startOf('drillRestore', 'restore-drill', {
    calendars: [{ dayOfWeek: 'SUNDAY', hour: 4, minute: 45 }],
  }),
  [licensesScheduleId]: startOf('expireLicenses', 'expire-licenses', { intervals: [{ every: '1 hour' }] }),
};

const sourcesSchedule = startOf('pollSources', 'poll-sources', { intervals: [{ every: '1 minute' }] });

function backupSchedule({ at }: FleetView['fleet']['backup']): Options {
  const [hour, minute] = at.split(':').map(Number) as [number, number];
  const start = startOf('backUp', 'back-up', { calendars: [{ hour, minute }] });
  // What was slept through for days is made up for by one.
  return { ...start, policies: { ...start.policies, catchupWindow: '1 day' } };
}

type NotifySettings = FleetView['fleet']['notify'];

const monthNames = [
  'JANUARY',
  'FEBRUARY',
  'MARCH',
  'APRIL',
  'MAY',
  'JUNE',
  'JULY',
  'AUGUST',
  'SEPTEMBER',
  'OCTOBER',
  'NOVEMBER',
  'DECEMBER',
] as const;

function digestSchedule({ at, timeZone }: NonNullable<NotifySettings['digest']>): Options {
  const [hour, minute] = at.split(':').map(Number) as [number, number];
  // A calendar leaves out the day on which the clock skips its time.
  const moved = skippedDigests({ at, timeZone }, new Date()).map((day) => {
    const [date, clock] = wallText(day, timeZone).split(' ') as [string, string];
    const [year, month, dayOfMonth] = date.split('-').map(Number) as [number, number, number];
    const [movedHour, movedMinute] = clock.split(':').map(Number) as [number, number];
    return { year, month: monthNames[month - 1]!, dayOfMonth, hour: movedHour, minute: movedMinute };
  });
  const start = startOf('sendDigest', 'digest', { calendars: [{ hour, minute }, ...moved], timezone: timeZone });
  // Yesterday's news is no news.
  return { ...start, policies: { ...start.policies, catchupWindow: '12 hours' } };
}

function heartbeatSchedule({ every }: NonNullable<NotifySettings['heartbeat']>): Options {
  const start = startOf('sendHeartbeat', 'heartbeat', { intervals: [{ every: durationSeconds(every) * 1000 }] });
  return { ...start, policies: { ...start.policies, catchupWindow: '1 minute' } };
}

function mirrorSchedule({ every }: NonNullable<FleetView['fleet']['mirror']>): Options {
  const start = startOf('mirrorPublic', 'mirror-public', { intervals: [{ every: durationSeconds(every) * 1000 }] });
  // What was missed is in the next one.
  return { ...start, policies: { ...start.policies, catchupWindow: '10 minutes' } };
}

function startOf(workflowType: WorkflowType, workflowId: string, spec: Options['spec']): Options {
  const action = { type: 'startWorkflow' as const, workflowType, workflowId, taskQueue: coordinationQueue, args: [{}] };
  return {
    spec,
    action: { ...action, ...windowOf(workflowType, [{}]) },
    policies: { overlap: ScheduleOverlapPolicy.SKIP },
  };
}

function optionsOf(cadence: string, catchUp: string): Options {
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
      ...windowOf('reflectFleet', [input]),
    },
    policies: {
      overlap: ScheduleOverlapPolicy.SKIP,
      catchupWindow: durationSeconds(catchUp) * 1000,
    },
  };
}
