import { condition, defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';

export interface VersionActivities {
  /** Says which worker did it. */
  note(step: string): Promise<string>;
}
export interface ElsewhereActivities {
  elsewhere(): Promise<string>;
}

/** As a released version has it. */
export async function inTwoSteps(): Promise<string[]> {
  let isTold = false;
  setHandler(defineSignal('go'), () => void (isTold = true));
  const { note } = proxyActivities<VersionActivities>({ startToCloseTimeout: '10 seconds' });
  const by = [await note('first')];
  await condition(() => isTold);
  by.push(await note('second'));
  return by;
}
