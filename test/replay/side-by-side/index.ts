import { condition, proxyLocalActivities } from '@temporalio/workflow';
import { inTurn } from '../../../workflows/in-turn.ts';

export interface SideBySideActivities {
  work: (which: 1 | 2 | 3) => Promise<void>;
  look: () => Promise<void>;
}

const local = proxyLocalActivities<SideBySideActivities>({ startToCloseTimeout: '10 seconds' });

/** Looks again after each end, as whoever goes by rows does. */
async function lookAfterEach({ work, look }: SideBySideActivities): Promise<void> {
  let changed = false;
  let open = 3;
  const ended = () => {
    open -= 1;
    changed = true;
  };
  const all = Promise.all([work(1).then(ended), work(2).then(ended), work(3).then(ended)]);
  while (open > 0) {
    await condition(() => changed);
    changed = false;
    await look();
  }
  await all;
}

/** The way not to do it. */
export const inFlight = () => lookAfterEach(local);
export const oneAfterTheOther = () => lookAfterEach(inTurn(local));
