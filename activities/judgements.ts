import { durationSeconds } from '../domain/durations.ts';
import type { JudgementState } from '../domain/consistency.ts';
import type { JudgementStore } from '../stores/judgements.ts';
import type { FleetReader } from './fleet-view.ts';

export type BegunJudgement =
  | { kind: 'open'; modelId: string; queue: string; samples: number; limits: JudgementTimes }
  | { kind: 'ended' };

/** In milliseconds, fixed when it begins. */
export interface JudgementTimes {
  heartbeatTimeout: number;
  callTimeout: number;
  /** Behind all other work a call may wait long before it is known that nobody takes it. */
  parkedFor: number;
}

export function createJudgementActivities({ judgements, fleet }: { judgements: JudgementStore; fleet: FleetReader }) {
  return {
    async beginJudgement({ ratingId }: { ratingId: string }): Promise<BegunJudgement> {
      const view = await fleet();
      const open = await judgements.open(ratingId);
      if (!open) return { kind: 'ended' };
      const queue = view.queues.get(open.modelId);
      if (queue === undefined) {
        await judgements.end(ratingId, `fleet.yaml names no model ${open.modelId}`);
        return { kind: 'ended' };
      }
      const { limits } = view.fleet;
      return {
        kind: 'open',
        modelId: open.modelId,
        queue,
        samples: open.samples,
        limits: {
          heartbeatTimeout: durationSeconds(limits.heartbeatTimeout) * 1000,
          callTimeout: durationSeconds(limits.callTimeout) * 1000,
          parkedFor: durationSeconds(limits.parkedFor) * 1000,
        },
      };
    },

    async endJudgement({ ratingId, reason }: { ratingId: string; reason: string }): Promise<{ state: JudgementState }> {
      return { state: await judgements.end(ratingId, reason) };
    },
  };
}
export type JudgementActivities = ReturnType<typeof createJudgementActivities>;
