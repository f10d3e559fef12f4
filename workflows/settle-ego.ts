import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { EgoActivities, EgoOfDay } from '../activities/ego.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface SettleEgoInput {
  /** `2026-11-22`; a scheduled run takes the day of the scheduled time, in UTC. */
  day?: string;
}
export type SettleEgoResult = EgoOfDay;

const { settleEgoDay } = proxyActivities<EgoActivities>({
  startToCloseTimeout: '1 hour',
  heartbeatTimeout: '30 seconds',
  // Then the run fails, and the next day makes up for it: facts wait, and fading counts days.
  retry: { maximumInterval: '1 minute', maximumAttempts: 12 },
  summary: 'mints the ego (voting weight) of the day, and has the rest fade',
});

/** Mints the ego (voting weight) that was earned, and has what is over the opening of a lineage fade. */
export async function settleEgo({ day }: SettleEgoInput): Promise<SettleEgoResult> {
  const result = await settleEgoDay({ day: day ?? scheduledPeriod().slice(0, 10) });
  setCurrentDetails(`${result.facts} facts, ${result.minted} micro-ego minted, ${result.decayed} faded`);
  return result;
}
