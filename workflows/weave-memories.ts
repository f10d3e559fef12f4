import { continueAsNew, proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { ThreadActivities } from '../activities/threads.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface WeaveMemoriesInput {
  /** What an earlier execution of this run had done, and the time it went by. */
  resume?: WeaveMemoriesResult;
}
export interface WeaveMemoriesResult {
  /** ISO time by which threads are judged over. */
  now: string;
  woven: number;
  opened: number;
  grown: number;
  split: number;
  ended: number;
  /** Batches around which there was too much to look as far as fleet.yaml says. */
  narrowed: number;
}

/** Memories an activity: also where each has to be embedded first, it ends well within its time. */
const most = 4_000;
function weaving(summary: string) {
  return proxyActivities<ThreadActivities>({
    startToCloseTimeout: '10 minutes',
    heartbeatTimeout: '30 seconds',
    // Then the run fails, and the next period begins anew: a Schedule starts none while one is open.
    retry: { maximumInterval: '1 minute', maximumAttempts: 12 },
    summary,
  });
}
const { weavePending } = weaving('links the next unwoven memories into threads');
const { endQuietThreads } = weaving('ends threads that have not grown for long');

/** Links what agents remember of the same things into threads, until nothing is left unwoven; then ends the quiet ones. */
export async function weaveMemories(input: WeaveMemoriesInput): Promise<WeaveMemoriesResult> {
  const done = input.resume ?? {
    now: scheduledPeriod(),
    woven: 0,
    opened: 0,
    grown: 0,
    split: 0,
    ended: 0,
    narrowed: 0,
  };
  for (;;) {
    const { more, ...woven } = await weavePending({ now: done.now, most });
    for (const [key, count] of Object.entries(woven)) done[key as keyof typeof woven] += count;
    setCurrentDetails(`${done.woven} memories woven: ${done.opened} threads opened, ${done.grown} grown`);
    if (!more) break;
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof weaveMemories>({ resume: done });
  }
  done.ended += (await endQuietThreads({ now: done.now })).ended;
  return done;
}
