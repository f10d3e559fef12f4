import type { Client, ScheduleSummary } from '@temporalio/client';
import {
  digestScheduleId,
  heartbeatScheduleId,
  reflectScheduleId,
  sourcesScheduleId,
  upkeepScheduleIds,
} from '../domain/ids.ts';
import type { SchedulesSeen } from '../stores/health.ts';

const ours = new Set<string>([...upkeepScheduleIds, sourcesScheduleId, digestScheduleId, heartbeatScheduleId]);
const reflectPrefix = reflectScheduleId('');
const deadlineMs = 5_000;

/** The fleet's Schedules as Temporal lists them; a namespace may hold others. */
export async function readSchedules(client: Client): Promise<SchedulesSeen> {
  return client.withDeadline(Date.now() + deadlineMs, async () => {
    const seen = new Map<string, SchedulesSeen extends ReadonlyMap<string, infer Facts> ? Facts : never>();
    for await (const summary of client.schedule.list()) {
      const { scheduleId } = summary;
      if (ours.has(scheduleId) || scheduleId.startsWith(reflectPrefix)) seen.set(scheduleId, factsOf(summary));
    }
    return seen;
  });
}

function factsOf({ state, info }: ScheduleSummary) {
  const [nextAt = null, afterNextAt = null] = info.nextActionTimes.map(secondsOf);
  const last = info.recentActions.at(-1);
  return {
    paused: state.paused,
    note: state.note ?? '',
    lastAt: last === undefined ? null : secondsOf(last.takenAt),
    nextAt,
    afterNextAt,
  };
}

function secondsOf(at: Date): number {
  return at.getTime() / 1000;
}
