import { getExternalWorkflowHandle, log, proxyLocalActivities } from '@temporalio/workflow';
import type { CompositionActivities } from '../activities/compositions.ts';
import { dropWorkflowId } from '../domain/ids.ts';
import { rowsChangedSignal } from '../domain/messages.ts';

export interface ComposeDropsResult {
  claimed: number;
}

const { claimDropSchedules } = proxyLocalActivities<CompositionActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '5 seconds' },
});
/** So many pages at most; the next minute goes on. */
const mostPages = 20;

/** Takes up the schedules of drops that are due; what each composes is a workflow of its own. Wakes drops that have overslept. */
export async function composeDrops(): Promise<ComposeDropsResult> {
  let claimed = 0;
  for (let page = 0; page < mostPages; page += 1) {
    const due = await claimDropSchedules();
    claimed += due.claimed;
    if (page === 0) await Promise.all(due.overdue.map(wake));
    if (due.claimed === 0) break;
  }
  return { claimed };
}

async function wake(dropId: string): Promise<void> {
  try {
    await getExternalWorkflowHandle(dropWorkflowId(dropId)).signal(rowsChangedSignal);
  } catch (err) {
    // Its intent is not relayed yet, or it has just ended.
    log.info('a drop could not be woken', { dropId, err: String(err) });
  }
}
