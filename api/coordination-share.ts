import type { Client } from '@temporalio/client';
import { isGrpcServiceError } from '@temporalio/client';

/** Histories read at once, so that a look back does not disturb the work that goes on. */
const atOnce = 8;
/** A share needs no more than this many workflows to be told. */
const mostWorkflows = 2_000;

/**
 * Share of workflow tasks that each machine answered, over whole chains of continue-as-new; read from the identity
 * `machine/role/pid` of the events, so it is what happened and not what was planned.
 */
export async function coordinationShare(
  client: Client,
  workflowIds: readonly string[],
): Promise<Record<string, number>> {
  const tasks = new Map<string, number>();
  const waiting = workflowIds.slice(0, mostWorkflows);
  const readers = Array.from({ length: atOnce }, async () => {
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) await countTasks(client, id, tasks);
  });
  await Promise.all(readers);
  const total = [...tasks.values()].reduce((sum, count) => sum + count, 0);
  return Object.fromEntries(
    [...tasks]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([machine, count]) => [machine, Math.round((count / total) * 1e4) / 1e4]),
  );
}

async function countTasks(client: Client, workflowId: string, tasks: Map<string, number>): Promise<void> {
  let runId: string | undefined;
  do {
    const history = await historyOf(client, workflowId, runId);
    runId = undefined;
    for (const event of history?.events ?? []) {
      const identity = event.workflowTaskStartedEventAttributes?.identity;
      if (identity) {
        const machine = identity.split('/')[0]!;
        tasks.set(machine, (tasks.get(machine) ?? 0) + 1);
      }
      runId = event.workflowExecutionStartedEventAttributes?.continuedExecutionRunId || runId;
    }
  } while (runId !== undefined);
}

async function historyOf(client: Client, workflowId: string, runId: string | undefined) {
  try {
    return await client.workflow.getHandle(workflowId, runId).fetchHistory();
  } catch (err) {
    // Past retention, or never started: its tasks are not known, those of the others are.
    if ((isGrpcServiceError(err) && err.code === 5) || (err instanceof Error && err.name === 'WorkflowNotFoundError')) {
      return undefined;
    }
    throw err;
  }
}
