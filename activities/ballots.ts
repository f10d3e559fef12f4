import { Context } from '@temporalio/activity';
import type { VoteStep } from '../domain/ballot-answers.ts';
import { ballotStep } from '../domain/ballots.ts';
import { durationSeconds } from '../domain/durations.ts';
import { DomainError } from '../domain/errors.ts';
import { backgroundPriority, type LadderStep } from '../domain/ladder.ts';
import type { BallotState } from '../domain/states.ts';
import type { BallotStep, BallotStore } from '../stores/ballots.ts';
import type { Database } from '../stores/database.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { PlanStore } from '../stores/plans.ts';
import type { RunStore } from '../stores/runs.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import type { AskedVoter, VoterStore } from '../stores/voters.ts';
import type { VoteStore } from '../stores/votes.ts';
import type { FleetReader, FleetView } from './fleet-view.ts';
import { createLadder } from './ladder.ts';

/** Times that a voter may be put into its queue anew because nobody took it: its history must not outgrow its limit in the two years a vote may take. */
const mostQueued = 200;

/** In milliseconds, fixed when an agent is asked. */
export interface VoterLimits {
  heartbeatTimeout: number;
  callTimeout: number;
  scheduleToStart: number;
  /** Without a machine for so long the agent counts as absent; never past the middle of what is left of the vote. */
  parkedFor: number;
}
export type BegunVoter = { kind: 'open'; step: LadderStep; limits: VoterLimits } | { kind: 'ended' };

interface BallotRef {
  ballotId: string;
}
interface VoterRef extends BallotRef {
  agentId: string;
}

export function createBallotActivities(deps: {
  db: Database;
  ballots: BallotStore;
  votes: VoteStore;
  voters: VoterStore;
  machines: MachineStore;
  plans: PlanStore;
  runs: RunStore;
  steps: StepResultStore;
  fleet: FleetReader;
}) {
  const { db, ballots, votes, voters, steps, fleet } = deps;
  const decide = createLadder(deps);

  return {
    openVote: ({ ballotId }: BallotRef): Promise<BallotStep> => ballots.openVote(ballotId),

    /** Counts page by page, which may take longer than a transaction. */
    async closeVote({ ballotId }: BallotRef): Promise<BallotStep> {
      const context = Context.current();
      context.heartbeat();
      return ballots.closeVote(ballotId, (voters) => {
        context.cancellationSignal.throwIfAborted();
        context.heartbeat({ voters });
      });
    },

    endEffect: ({
      ballotId,
      ...end
    }: BallotRef & { state: 'carried_out' | 'effect_failed'; reason: string }): Promise<BallotState> =>
      ballots.endEffect(ballotId, end),

    /** Where an asked agent's vote begins on its ladder. */
    async beginVoter({ ballotId, agentId }: VoterRef): Promise<BegunVoter> {
      const voter = await voters.open(ballotId, agentId);
      if (!voter) return { kind: 'ended' };
      const view = await fleet();
      const { limits } = view.fleet;
      return {
        kind: 'open',
        step: await stand(voter, view),
        limits: {
          heartbeatTimeout: durationSeconds(limits.heartbeatTimeout) * 1000,
          callTimeout: durationSeconds(limits.callTimeout) * 1000,
          scheduleToStart: Math.ceil(
            Math.max(durationSeconds(limits.scheduleToStart) * 1000, voter.leftMs / mostQueued),
          ),
          parkedFor: Math.ceil(Math.min(durationSeconds(limits.parkedFor) * 1000, voter.leftMs / 2)),
        },
      };
    },

    async climbVoter({ ballotId, agentId }: VoterRef): Promise<LadderStep> {
      const voter = await voters.open(ballotId, agentId);
      if (!voter) throw new DomainError('CONFLICT', `${ballotId} asks ${agentId} no more`);
      return stand(voter, await fleet());
    },

    /** The vote that a machine brought, given in one transaction with the agent's memory of it. */
    async storeVote({ ballotId, agentId }: VoterRef): Promise<void> {
      const step = await steps.read<VoteStep>({ workId: ballotId, step: ballotStep(agentId) });
      if (!step) throw new DomainError('INTERNAL', `no vote of ${agentId} on ${ballotId} was brought`);
      const { choice, reason, evidence, modelId, promptVersion } = step;
      const vote = { ballotId, voterId: agentId, choice, reason, evidence, modelId, promptVersion };
      await db.transaction().execute((tx) => votes.cast(tx, { ...vote, origin: 'model', madeBy: 'holdBallot' }, null));
    },

    /** It was asked and could not be reached: it abstains, and takes no part in the quorum. */
    async storeAbsence({ ballotId, agentId, reason }: VoterRef & { reason: string }): Promise<void> {
      const vote = { ballotId, voterId: agentId, choice: null, reason, evidence: [] };
      await db.transaction().execute((tx) => votes.cast(tx, { ...vote, origin: 'absent', madeBy: 'holdBallot' }, null));
    },
  };

  async function stand({ agentId, wantedModelId }: AskedVoter, view: FleetView): Promise<LadderStep> {
    const queue = view.queues.get(wantedModelId);
    if (queue === undefined) return { kind: 'park', reason: `fleet.yaml names no model ${wantedModelId}` };
    const step = await decide({ agentId, wantedModelId, queue }, view);
    return step.kind === 'park' ? step : { kind: 'work', rung: { ...step.rung, priority: backgroundPriority } };
  }
}
export type BallotActivities = ReturnType<typeof createBallotActivities>;
