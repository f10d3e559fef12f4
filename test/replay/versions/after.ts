import { condition, defineSignal, patched, proxyActivities, setHandler } from '@temporalio/workflow';
import type { ElsewhereActivities, VersionActivities } from './before.ts';

/** As the next one has it: a step more, on a queue that no version is asked of. Who began before it goes on without a fault. */
export async function inTwoSteps(elsewhereQueue: string): Promise<string[]> {
  let isTold = false;
  setHandler(defineSignal('go'), () => void (isTold = true));
  const { note } = proxyActivities<VersionActivities>({ startToCloseTimeout: '10 seconds' });
  const { elsewhere } = proxyActivities<ElsewhereActivities>({
    taskQueue: elsewhereQueue,
    startToCloseTimeout: '10 seconds',
  });
  const by = [await note('first')];
  await condition(() => isTold);
  if (patched('a-step-more')) by.push(await elsewhere());
  by.push(await note('second'));
  return by;
}
