import { CancellationScope, isCancellation, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { BallotActivities } from '../activities/ballots.ts';
import type { InferenceActivities } from '../activities/inference.ts';
import { restartPriority } from '../domain/ladder.ts';
import { climbLadder, climbSummary, onRung, reasonOf } from './inference-ladder.ts';
import { refusalOf } from './refusals.ts';

export interface AskVoterInput {
  ballotId: string;
  agentId: string;
}
/** late: the vote had closed, or somebody had voted for the agent. */
export interface AskVoterResult {
  vote: 'given' | 'absent' | 'late';
}

const { beginVoter, storeVote, storeAbsence } = proxyLocalActivities<BallotActivities>({
  startToCloseTimeout: '12 seconds',
  retry: { maximumInterval: '2 seconds' },
});
const { climbVoter } = proxyLocalActivities<BallotActivities>({
  startToCloseTimeout: '12 seconds',
  retry: { maximumInterval: '2 seconds' },
  summary: climbSummary,
});
/** A parked voter looks again this often. */
const parkedLookMs = 60_000;

/** Has one agent vote through its model; one that no machine can speak for, or whose model gives no usable answer, is absent. */
export async function askVoter({ ballotId, agentId }: AskVoterInput): Promise<AskVoterResult> {
  const begun = await beginVoter({ ballotId, agentId });
  if (begun.kind === 'ended') return { vote: 'late' };
  const { step, limits } = begun;
  const reason = await decided();
  return stored(reason);

  /** @returns why there is no vote; empty where a machine has brought one */
  async function decided(): Promise<string> {
    try {
      const { result } = await climbLadder({
        step,
        climb: () => climbVoter({ ballotId, agentId }),
        call(rung) {
          const { decideVote } = proxyActivities<InferenceActivities>(onRung(rung, limits));
          return decideVote({ ballotId, agentId, modelId: rung.modelId, queue: rung.queue });
        },
        parkedFor: limits.parkedFor,
        lookEvery: parkedLookMs,
        restartPriority,
      });
      return result.kind === 'none' ? result.reason : '';
    } catch (err) {
      // The ballot has ended without it.
      if (isCancellation(err)) throw err;
      return reasonOf(err);
    }
  }

  async function stored(absence: string): Promise<AskVoterResult> {
    try {
      await CancellationScope.nonCancellable(() =>
        absence === '' ? storeVote({ ballotId, agentId }) : storeAbsence({ ballotId, agentId, reason: absence }),
      );
      return { vote: absence === '' ? 'given' : 'absent' };
    } catch (err) {
      if (refusalOf(err)?.code === 'CONFLICT') return { vote: 'late' };
      throw err;
    }
  }
}
