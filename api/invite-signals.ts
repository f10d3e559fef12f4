import { WorkflowNotFoundError } from '@temporalio/client';
import { inviteWorkflowId } from '../domain/ids.ts';
import { inviteChangedSignal } from '../domain/invites.ts';
import type { ApiDeps } from './types.ts';

const deadlineMs = 2_000;
const atOnce = 100;

/**
 * Has the workflows of invitations read their rows again, after the transaction that changed them. The row is the truth and
 * they look by themselves once a day, so a signal that cannot be sent fails nobody's request.
 */
export function createInviteTeller({ temporal, log }: Pick<ApiDeps, 'temporal' | 'log'>) {
  async function tell(inviteId: string): Promise<void> {
    try {
      await temporal.withDeadline(Date.now() + deadlineMs, () =>
        temporal.workflow.getHandle(inviteWorkflowId(inviteId)).signal(inviteChangedSignal),
      );
    } catch (err) {
      if (!(err instanceof WorkflowNotFoundError)) log.warn({ err, inviteId }, 'a workflow was not told at once');
    }
  }
  return async (inviteIds: readonly string[]): Promise<void> => {
    for (let from = 0; from < inviteIds.length; from += atOnce)
      await Promise.all(inviteIds.slice(from, from + atOnce).map(tell));
  };
}
