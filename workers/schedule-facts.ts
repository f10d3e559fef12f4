import { type Client, type ScheduleSummary, WorkflowFailedError } from '@temporalio/client';
import type { ScheduleFacts } from '../domain/health-rules.ts';
import { reflectScheduleId, scheduleIds } from '../domain/ids.ts';
import type { SchedulesSeen } from '../stores/health.ts';

const ours = new Set<string>(scheduleIds);
const reflectPrefix = reflectScheduleId('');
const deadlineMs = 5_000;

/** The fleet's Schedules as Temporal lists them; a namespace may hold others. */
export async function readSchedules(client: Client): Promise<SchedulesSeen> {
  return client.withDeadline(Date.now() + deadlineMs, async () => {
    const seen = new Map<string, SchedulesSeen extends ReadonlyMap<string, infer Facts> ? Facts : never>();
    const started = new Map<string, string[]>();
    for await (const summary of client.schedule.list()) {
      const { scheduleId } = summary;
      if (!ours.has(scheduleId) && !scheduleId.startsWith(reflectPrefix)) continue;
      seen.set(scheduleId, factsOf(summary));
      started.set(scheduleId, summary.info.recentActions.map(({ action }) => action.workflow.workflowId).reverse());
    }
    for (const [scheduleId, came] of await endsOf(client, started))
      seen.set(scheduleId, { ...seen.get(scheduleId)!, ...came });
    return seen;
  });
}

type Ends = Pick<ScheduleFacts, 'ends' | 'lastFailure'>;
const mostFailure = 200;

/** How what Schedules started came out, of those alone that started what failed: for all others one question is enough. */
async function endsOf(client: Client, started: ReadonlyMap<string, readonly string[]>): Promise<Map<string, Ends>> {
  const failed = await statesOf(
    client,
    [...started.values()].flat(),
    " and ExecutionStatus in ('Failed', 'TimedOut', 'Terminated')",
  );
  const ends = new Map<string, Ends>();
  for (const [scheduleId, workflowIds] of started) {
    if (!workflowIds.some((id) => failed.has(id))) continue;
    const states = await statesOf(client, workflowIds);
    const closed = workflowIds.flatMap((id) => {
      const last = states.get(id);
      const end = last === undefined ? undefined : endOf(last.status);
      return last === undefined || end === undefined ? [] : [{ id, runId: last.runId, end, status: last.status }];
    });
    const bad = closed.find(({ end }) => end === 'failed');
    ends.set(scheduleId, {
      ends: closed.map(({ end }) => end),
      lastFailure: bad === undefined ? '' : (await failureOf(client, bad)).slice(0, mostFailure),
    });
  }
  return ends;
}

function endOf(status: string): 'done' | 'failed' | undefined {
  if (status === 'COMPLETED') return 'done';
  return status === 'FAILED' || status === 'TIMED_OUT' || status === 'TERMINATED' ? 'failed' : undefined;
}

/** The last execution of each id. */
async function statesOf(
  client: Client,
  ids: readonly string[],
  more = '',
): Promise<Map<string, { runId: string; status: string }>> {
  const states = new Map<string, { runId: string; status: string; startedAt: number }>();
  if (ids.length === 0) return states;
  const named = ids.map((id) => `'${id.replaceAll("'", "''")}'`).join(', ');
  for await (const { workflowId, runId, status, startTime } of client.workflow.list({
    query: `WorkflowId in (${named})${more}`,
  })) {
    const startedAt = startTime.getTime();
    if ((states.get(workflowId)?.startedAt ?? 0) <= startedAt)
      states.set(workflowId, { runId, status: status.name, startedAt });
  }
  return states;
}

/** In the words of what failed first. */
async function failureOf(
  client: Client,
  { id, runId, status }: { id: string; runId: string; status: string },
): Promise<string> {
  if (status !== 'FAILED') return status.toLowerCase().replaceAll('_', ' ');
  try {
    await client.workflow.getHandle(id, runId, { followRuns: false }).result();
    return '';
  } catch (err) {
    if (!(err instanceof WorkflowFailedError)) throw err;
    let cause: Error | undefined = err.cause;
    while (cause?.cause instanceof Error) cause = cause.cause;
    return cause?.message ?? '';
  }
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
    ends: [],
    lastFailure: '',
  };
}

function secondsOf(at: Date): number {
  return at.getTime() / 1000;
}
