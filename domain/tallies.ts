import type { Choice } from './ballot-choices.ts';
import type { VotingMethod } from './ballots.ts';
import { countChosen, countDivided } from './tally-sums.ts';
import { countRanked, type Round } from './tally-rounds.ts';

/**
 * Counts votes. The same votes give the same tally to the last bit, in whatever order they are read: what is added up is added
 * up in whole numbers, and what needs roots is added up from the least to the greatest.
 */

/** One vote as it is counted. */
export interface CountedVote {
  /** Of an agent, its lineage; anybody else is their own. */
  lineageId: string;
  /** Whole micro-ego, frozen as the vote opened. */
  weight: number;
  /** Null: abstained. */
  choice: Choice | null;
}

export interface Tally {
  method: VotingMethod;
  /** Micro-ego by option, in the order of the options; ranked: of the last round. */
  scores: number[];
  /** What a share of the vote is a share of: the weight that chose; ranked: what still stood in the last round. */
  base: number;
  /** Micro-ego that abstained. */
  abstained: number;
  /** Voters that are counted, abstentions and those who follow another included. */
  voters: number;
  /** The option, from 1, that is ahead of every other; null where none is. */
  leader: number | null;
  /** Of ranked choice alone, the first first. */
  rounds: Round[];
}

/** What one method makes of the votes that chose. */
export interface Count {
  add(vote: { lineageId: string; weight: number; choice: Choice }): void;
  /** @param cast micro-ego of all that were added */
  result(cast: number): Pick<Tally, 'scores' | 'base' | 'leader' | 'rounds'>;
}

/** A count that votes are given to one by one, so that nobody needs to hold them all. */
export function openTally(method: VotingMethod, options: number): { add(vote: CountedVote): void; result(): Tally } {
  const count = countOf(method, options);
  let cast = 0;
  let abstained = 0;
  let voters = 0;
  return {
    add({ lineageId, weight, choice }) {
      if (!Number.isSafeInteger(weight) || weight < 0) throw new RangeError(`${weight} is no weight in micro-ego`);
      voters += 1;
      if (choice === null) abstained += weight;
      else {
        cast += weight;
        count.add({ lineageId, weight, choice });
      }
    },
    result() {
      if (!Number.isSafeInteger(cast + abstained)) throw new RangeError('the weights add up to no safe integer');
      const { scores, base, leader, rounds } = count.result(cast);
      return { method, scores, base, abstained, voters, leader, rounds };
    },
  };
}

export function tallyOf(method: VotingMethod, options: number, votes: Iterable<CountedVote>): Tally {
  const tally = openTally(method, options);
  for (const vote of votes) tally.add(vote);
  return tally.result();
}

function countOf(method: VotingMethod, options: number): Count {
  switch (method) {
    case 'single':
    case 'approval':
      return countChosen(options);
    case 'weighted':
      return countDivided(options, 'sum');
    case 'quadratic':
      return countDivided(options, 'root');
    case 'ranked':
      return countRanked(options);
  }
}
