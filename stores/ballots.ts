import { outcomeOf } from '../domain/ballot-outcome.ts';
import { type BallotEffect, optionToWin } from '../domain/ballots.ts';
import { DomainError } from '../domain/errors.ts';
import type { BallotState } from '../domain/states.ts';
import type { Tally } from '../domain/tallies.ts';
import { type BallotRow, clockNow, lockBallot, readBallot } from './ballot-rows.ts';
import { countVotes } from './ballot-counts.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { freezeElectorate } from './electorates.ts';
import { appendEvents } from './events.ts';
import type { Moment } from './license-rows.ts';

/** Where a ballot stands, and what is to be waited for. */
export type BallotStep =
  | { kind: 'discussion'; dueInMs: number }
  | { kind: 'open'; dueInMs: number; asked: string[] }
  | { kind: 'closed'; state: BallotState; effect: BallotEffect['kind'] };

interface EndedEffect {
  state: 'carried_out' | 'effect_failed';
  reason: string;
}

/** The steps of a ballot's workflow; each may be done twice. @param now the database's clock; another one for tests alone */
export function createBallotStore(db: Database, now: Moment = clockNow) {
  return {
    /** Freezes the electorate and opens the vote, once the discussion is over. */
    async openVote(ballotId: string): Promise<BallotStep> {
      return db.transaction().execute(async (tx) => {
        const ballot = await lockBallot(tx, ballotId, now);
        if (ballot.state !== 'discussion') {
          const asked = await tx
            .selectFrom('electors')
            .select('voterId')
            .where('ballotId', '=', ballotId)
            .where('asked', '=', true)
            .orderBy('voterId')
            .execute();
          return stepOf(
            ballot,
            asked.map(({ voterId }) => voterId),
          );
        }
        if (ballot.now < ballot.opensAt) return stepOf(ballot, []);
        const { electors, weight, asked } = await freezeElectorate(tx, ballot);
        const closesAt = ballot.now + ballot.voteSeconds * 1000;
        await tx
          .updateTable('ballots')
          .set({ state: 'open', openedAt: new Date(ballot.now), closesAt: new Date(closesAt), weight })
          .where('id', '=', ballotId)
          .execute();
        const data = { electors, weight, closesAt: new Date(closesAt).toISOString() };
        await appendEvents(tx, [{ ownerId: ballot.ownerId, type: 'ballot.opened', subject: ballotId, data }]);
        // Asked in the order of their ids wherever it is read again.
        return stepOf({ ...ballot, state: 'open', closesAt }, asked.toSorted());
      });
    },

    /**
     * Closes the vote once it is due. Whoever votes holds the row's lock: once it was ours after the end, no vote changes any more,
     * and they are counted without it.
     */
    async closeVote(ballotId: string, onPage?: (voters: number) => void): Promise<BallotStep> {
      const ballot = await db.transaction().execute((tx) => lockBallot(tx, ballotId, now));
      if (ballot.state !== 'open' || ballot.now < ballot.closesAt!) return stepOf(ballot, []);
      const tally = await countVotes(db, ballot, onPage);
      return stepOf(await settle(ballot, tally), []);
    },

    find: (ballotId: string): Promise<BallotRow> => readBallot(db, ballotId, now),

    /**
     * Carries out an effect that is of Postgres alone, and writes down that it is done, in one transaction: so once.
     * @returns what was done, now or before @throws what refuses the effect · CONFLICT where the ballot has not passed
     */
    async carryOut(ballotId: string, apply: (tx: DatabaseTransaction) => Promise<string>): Promise<string> {
      return db.transaction().execute(async (tx) => {
        const ballot = await lockBallot(tx, ballotId, now);
        if (ballot.state === 'carried_out') return ballot.reason;
        if (ballot.state !== 'passed') throw new DomainError('CONFLICT', `${ballotId} is ${ballot.state}`);
        const reason = await apply(tx);
        await end(tx, ballot, { state: 'carried_out', reason });
        return reason;
      });
    },

    /** The effect of a passed ballot is done, or is not to be done. Once ended it stays as it is. */
    async endEffect(ballotId: string, ended: EndedEffect): Promise<BallotState> {
      return db.transaction().execute(async (tx) => {
        const ballot = await lockBallot(tx, ballotId, now);
        if (ballot.state !== 'passed') return ballot.state;
        await end(tx, ballot, ended);
        return ended.state;
      });
    },
  };

  async function end(tx: DatabaseTransaction, { id, ownerId, effect }: BallotRow, ended: EndedEffect): Promise<void> {
    await tx
      .updateTable('ballots')
      .set({ ...ended, endedAt: clockNow })
      .where('id', '=', id)
      .execute();
    const data = { effect: effect.kind, reason: ended.reason };
    await appendEvents(tx, [{ ownerId, type: `ballot.${ended.state}`, subject: id, data }]);
  }

  async function settle(ballot: BallotRow, tally: Tally): Promise<BallotRow> {
    const { id, ownerId, weight, present, effect } = ballot;
    const outcome = outcomeOf(
      tally,
      { weight: weight!, present },
      { ...ballot, optionToWin: optionToWin(effect.kind) },
    );
    const { state, reason: reasonCode, winner } = outcome;
    return db.transaction().execute(async (tx) => {
      const standing = await lockBallot(tx, id, now);
      // Somebody else has counted it, or it was withdrawn meanwhile.
      if (standing.state !== 'open') return standing;
      const isOver = state !== 'passed' || effect.kind === 'none';
      await tx
        .updateTable('ballots')
        .set({
          state,
          reasonCode,
          winner,
          tally: JSON.stringify(tally),
          closedAt: clockNow,
          endedAt: isOver ? clockNow : null,
        })
        .where('id', '=', id)
        .execute();
      const data = { state, reason: reasonCode, winner, voters: tally.voters, present, weight };
      await appendEvents(tx, [{ ownerId, type: 'ballot.closed', subject: id, data }]);
      return { ...standing, state };
    });
  }
}
export type BallotStore = ReturnType<typeof createBallotStore>;

function stepOf({ state, effect, opensAt, closesAt, now }: BallotRow, asked: string[]): BallotStep {
  if (state === 'discussion') return { kind: 'discussion', dueInMs: opensAt - now };
  if (state === 'open') return { kind: 'open', dueInMs: closesAt! - now, asked };
  return { kind: 'closed', state, effect: effect.kind };
}
