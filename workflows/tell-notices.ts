import { proxyLocalActivities, setCurrentDetails, sleep } from '@temporalio/workflow';
import type { NotificationActivities } from '../activities/notifications.ts';

export interface TellNoticesResult {
  messages: number;
}

const { gatherNotifications } = proxyLocalActivities<NotificationActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '5 seconds' },
});
/** So often at most; the next minute goes on. */
const mostLooks = 5;

/** Makes messages of what waits for a person, once it has waited for what comes with it; each is sent by a workflow of its own. */
export async function tellNotices(): Promise<TellNoticesResult> {
  let messages = 0;
  for (let look = 0; look < mostLooks; look += 1) {
    const gathered = await gatherNotifications();
    messages += gathered.messages;
    if (gathered.againInSeconds === null) break;
    setCurrentDetails(`waits ${gathered.againInSeconds} s for what comes with what has just come`);
    await sleep(gathered.againInSeconds * 1000, { summary: 'for what comes together' });
  }
  return { messages };
}
