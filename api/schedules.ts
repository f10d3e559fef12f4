import type { Client, ScheduleSummary } from '@temporalio/client';
import { reflectScheduleId, scheduleIds } from '../domain/ids.ts';

export interface ScheduleView {
  id: string;
  /** Of a sweep of reflections; null: its work is another. */
  cadence: string | null;
  /** Null: by the calendar. */
  everySeconds: number | null;
  paused: boolean;
  note: string;
  nextRunAt: string | null;
  lastRunAt: string | null;
}

const prefix = reflectScheduleId('');
const deadlineMs = 3_000;
/** Lists of agents ask for the next run of each; Temporal is asked once in this time. */
const freshMs = 5_000;
/** A list of agents waits no longer than this for it. */
const waitMs = 500;

const known: ReadonlySet<string> = new Set(scheduleIds);

/** The Schedules of the fleet, as Temporal has them; whatever else has one in its namespace has no place here. */
export function createScheduleReader(client: Client) {
  let kept: { at: number; schedules: Promise<ScheduleView[]> } | undefined;

  async function read(): Promise<ScheduleView[]> {
    const schedules = await client.withDeadline(Date.now() + deadlineMs, async () => {
      const found: ScheduleView[] = [];
      for await (const summary of client.schedule.list()) {
        if (summary.scheduleId.startsWith(prefix) || known.has(summary.scheduleId)) found.push(viewOf(summary));
      }
      return found;
    });
    return schedules.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  return {
    list: read,

    /** Next run by cadence; empty while Temporal does not answer, since agents are shown all the same. */
    async nextRuns(): Promise<ReadonlyMap<string, string>> {
      if (kept === undefined || Date.now() - kept.at > freshMs) {
        // What Temporal lacks is named by /v1/health/ready; a list of agents is no place to fail for it.
        kept = { at: Date.now(), schedules: read().catch(() => []) };
      }
      const schedules = await inTime(kept.schedules, []);
      const running = schedules.filter((schedule) => !schedule.paused && schedule.nextRunAt !== null);
      return new Map(
        running.flatMap(({ cadence, nextRunAt }) => (cadence === null ? [] : [[cadence, nextRunAt!] as const])),
      );
    },
  };
}

async function inTime<T>(answer: Promise<T>, otherwise: T): Promise<T> {
  const late = Promise.withResolvers<T>();
  const timer = setTimeout(() => late.resolve(otherwise), waitMs);
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function viewOf(summary: ScheduleSummary): ScheduleView {
  const { scheduleId: id, spec } = summary;
  const everyMs = spec?.calendars?.length ? undefined : spec?.intervals?.[0]?.every;
  return {
    id,
    cadence: id.startsWith(prefix) ? id.slice(prefix.length) : null,
    everySeconds: everyMs === undefined ? null : everyMs / 1000,
    paused: summary.state.paused,
    note: summary.state.note ?? '',
    nextRunAt: summary.info.nextActionTimes[0]?.toISOString() ?? null,
    lastRunAt: summary.info.recentActions.at(-1)?.takenAt.toISOString() ?? null,
  };
}
