import {
  ActivityFailure,
  ApplicationFailure,
  condition,
  defineSignal,
  isCancellation,
  ParentClosePolicy,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  startChild,
} from '@temporalio/workflow';
import type { BallotEffectActivities } from '../activities/ballot-effects.ts';
import type { BallotActivities } from '../activities/ballots.ts';
import { askVoterWorkflowId } from '../domain/ids.ts';
import { rowsChangedSignal } from '../domain/messages.ts';
import type { BallotState } from '../domain/states.ts';
import { childWindow } from './child-window.ts';
import { askVoter } from './ask-voter.ts';
import { reasonOf } from './inference-ladder.ts';

export interface HoldBallotInput {
  ballotId: string;
}
export interface HoldBallotResult {
  state: BallotState;
}

const { openVote, endEffect } = proxyLocalActivities<BallotActivities>({
  startToCloseTimeout: '12 seconds',
  retry: { maximumInterval: '5 seconds' },
});
const { closeVote } = proxyActivities<BallotActivities>({
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '30 seconds',
  retry: { maximumInterval: '30 seconds' },
  summary: 'counts the votes, once they are due',
});
/**
 * Tried so often, which takes an hour; then it is said to have failed, and why. Tries are counted, and not the hour: while no worker is
 * there nothing was tried.
 */
const { carryOut } = proxyActivities<BallotEffectActivities>({
  startToCloseTimeout: '1 minute',
  heartbeatTimeout: '10 seconds',
  retry: { initialInterval: '500 milliseconds', maximumInterval: '1 minute', maximumAttempts: 66 },
  summary: 'what was voted for',
});

/** The clocks of Temporal and of Postgres differ by a little; what is not due yet is asked for again no sooner. */
const leastWaitMs = 50;

/**
 * A ballot's clock, close and effect: the discussion ends, the vote opens and agents are asked, it closes when the row says, and what
 * was decided is carried out. Votes are rows that the API writes; they are in time by the database's clock, however late this is.
 */
export async function holdBallot({ ballotId }: HoldBallotInput): Promise<HoldBallotResult> {
  let changed = false;
  setHandler(defineSignal(rowsChangedSignal), () => {
    changed = true;
  });
  const step = await opened();
  if (step.kind === 'open') {
    setCurrentDetails(
      `**The vote is open**; ${step.asked.length} agents are asked\n\n\`soulfra ballots show ${ballotId}\``,
    );
    // Each has its own ladder to climb. A vote that ends before they have answered takes them with it.
    for (const agentId of step.asked)
      await startChild(askVoter, {
        ...childWindow('askVoter', { ballotId, agentId }),
        workflowId: askVoterWorkflowId(ballotId, agentId),
        args: [{ ballotId, agentId }],
        parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      });
    await waited(step.dueInMs);
  }
  const { state, effect } = await closed();
  if (state !== 'passed' || effect === 'none') return { state };
  return { state: await endEffect({ ballotId, ...(await effected()) }) };

  /** Waits until due, or until the row has changed before. */
  async function waited(dueInMs: number): Promise<void> {
    await condition(() => changed, Math.max(leastWaitMs, dueInMs), { summary: 'until it is due, or the row changes' });
    changed = false;
  }

  async function opened() {
    for (;;) {
      const at = await openVote({ ballotId });
      if (at.kind !== 'discussion') return at;
      setCurrentDetails(`**Under discussion**; the vote opens when that ends\n\n\`soulfra ballots show ${ballotId}\``);
      await waited(at.dueInMs);
    }
  }

  async function closed() {
    for (;;) {
      const at = await closeVote({ ballotId });
      if (at.kind === 'closed') return at;
      // A quorum that came late has moved the end.
      await waited(at.dueInMs);
    }
  }

  async function effected(): Promise<{ state: 'carried_out' | 'effect_failed'; reason: string }> {
    setCurrentDetails('Passed; its effect is being carried out');
    try {
      return { state: 'carried_out', reason: await carryOut({ ballotId }) };
    } catch (err) {
      if (isCancellation(err)) throw err;
      return { state: 'effect_failed', reason: whyOf(err) };
    }
  }
}

/** What a time-out hides is why the last attempt failed. */
function whyOf(err: unknown): string {
  const cause = err instanceof ActivityFailure ? err.cause : undefined;
  const last = cause?.cause instanceof ApplicationFailure ? `${cause.cause.message} (${cause.message})` : undefined;
  return last ?? reasonOf(err);
}
