import { proxyActivities, setCurrentDetails, sleep } from '@temporalio/workflow';
import type { MailActivities } from '../activities/mails.ts';
import type { MailState } from '../domain/mails.ts';
import { channelQueues } from '../domain/task-queues.ts';

export interface SendMailInput {
  mailId: string;
}
export interface SendMailResult {
  state: MailState;
}

const { tryMail } = proxyActivities<MailActivities>({
  taskQueue: channelQueues.mail,
  startToCloseTimeout: '2 minutes',
  heartbeatTimeout: '10 seconds',
  // A try is never made anew by a retry: whoever comes next finds what was begun, and judges it. This is for a worker that died.
  retry: { maximumInterval: '1 minute' },
});

/** Sends one mail, again only where it was surely not taken, or where a second copy does no harm: domain/mails.ts. */
export async function sendMail({ mailId }: SendMailInput): Promise<SendMailResult> {
  for (;;) {
    const { state, againInSeconds } = await tryMail({ mailId });
    setCurrentDetails(againInSeconds === undefined ? state : `${state}; again in ${againInSeconds} s`);
    if (againInSeconds === undefined) return { state };
    await sleep(againInSeconds * 1000, { summary: 'until the next try' });
  }
}
