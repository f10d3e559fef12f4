import type { CompositionState } from '../domain/compositions.ts';
import { durationSeconds } from '../domain/durations.ts';
import { DomainError } from '../domain/errors.ts';
import { backgroundPriority, type LadderStep } from '../domain/ladder.ts';
import { isPrivate } from '../domain/sources.ts';
import type { CompositionStore, OpenComposition } from '../stores/compositions.ts';
import type { DropScheduleStore } from '../stores/drop-schedules.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { PlanStore } from '../stores/plans.ts';
import type { RunStore } from '../stores/runs.ts';
import type { FleetReader } from './fleet-view.ts';
import { createLadder } from './ladder.ts';

/** In milliseconds. */
export interface CompositionLimits {
  heartbeatTimeout: number;
  callTimeout: number;
  scheduleToStart: number;
  parkedFor: number;
}

export type BegunComposition =
  | { kind: 'open'; step: LadderStep; limits: CompositionLimits }
  | { kind: 'ended'; state: CompositionState };

export interface CompositionInput {
  compositionId: string;
}

export function createCompositionActivities(deps: {
  compositions: CompositionStore;
  dropSchedules: DropScheduleStore;
  machines: MachineStore;
  plans: PlanStore;
  runs: RunStore;
  fleet: FleetReader;
}) {
  const { compositions, dropSchedules, fleet } = deps;
  const decide = createLadder(deps);

  return {
    /** @returns schedules that were due, and scheduled drops that are over their time */
    async claimDropSchedules(): Promise<{ claimed: number; overdue: string[] }> {
      const { drops } = (await fleet()).fleet;
      const claimed = await dropSchedules.claimDue({ missedAfter: durationSeconds(drops.missedAfter) });
      await dropSchedules.resumePublishing();
      return { claimed, overdue: await dropSchedules.overdueDrops() };
    },

    /** Who speaks and of what, and where on the speaker's ladder it is written. */
    async beginComposition({ compositionId }: CompositionInput): Promise<BegunComposition> {
      const { fleet: settings } = await fleet();
      const open = settings.sources.filter((source) => !isPrivate(source)).map(({ id }) => id);
      const turn = await compositions.begin(compositionId, open);
      if (turn.kind === 'ended') return turn;
      const step = await stepOf(turn.composition);
      const { limits } = settings;
      return {
        kind: 'open',
        // What only begins has waited for nobody yet.
        step: step.kind === 'work' ? { kind: 'work', rung: { ...step.rung, priority: backgroundPriority } } : step,
        limits: {
          heartbeatTimeout: durationSeconds(limits.heartbeatTimeout) * 1000,
          callTimeout: durationSeconds(limits.callTimeout) * 1000,
          scheduleToStart: durationSeconds(limits.scheduleToStart) * 1000,
          parkedFor: durationSeconds(limits.parkedFor) * 1000,
        },
      };
    },

    /** Nobody took it in time, or it was parked: where it stands on the speaker's ladder now. */
    async climbComposition({ compositionId }: CompositionInput): Promise<LadderStep> {
      const composition = await compositions.underWay(compositionId);
      if (composition === undefined) throw new DomainError('CONFLICT', `${compositionId} has ended`);
      return stepOf(composition);
    },

    async endComposition({
      compositionId,
      ...end
    }: CompositionInput & ({ degraded: boolean } | { reason: string })): Promise<{ state: CompositionState }> {
      const state =
        'reason' in end
          ? await compositions.fail(compositionId, end.reason)
          : await compositions.complete(compositionId, end);
      return { state };
    },
  };

  async function stepOf({ agent }: OpenComposition): Promise<LadderStep> {
    const view = await fleet();
    const queue = view.queues.get(agent.modelId);
    if (queue === undefined) return { kind: 'park', reason: `fleet.yaml names no model ${agent.modelId}` };
    return decide({ agentId: agent.id, wantedModelId: agent.modelId, queue }, view);
  }
}
export type CompositionActivities = ReturnType<typeof createCompositionActivities>;
