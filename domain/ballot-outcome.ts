import type { BallotReason } from './ballots.ts';
import type { Tally } from './tallies.ts';

export interface BallotTerms {
  /** Percent of the electorate's weight that must take part. */
  quorum: number;
  /** Percent of `base` that the leading option must have. */
  threshold: number;
  /** The only option that may pass; null: any. */
  optionToWin: number | null;
}

export interface Outcome {
  state: 'passed' | 'rejected' | 'no_quorum';
  reason: BallotReason;
  /** The option, from 1, that won; also where it carries nothing out. */
  winner: number | null;
}

/**
 * What a tally comes to. Who voted or abstained by their own word takes part in the quorum, for or against; the threshold is of the
 * weight that chose. A tie passes nothing. Where one option has to win, any other leaves all as it is.
 * @param weight micro-ego of the whole electorate
 * @param present micro-ego of those who took part
 */
export function outcomeOf(
  { leader, scores, base }: Pick<Tally, 'leader' | 'scores' | 'base'>,
  { weight, present }: { weight: number; present: number },
  { quorum, threshold, optionToWin }: BallotTerms,
): Outcome {
  if (!isQuorate(present, { weight, quorum })) {
    return { state: 'no_quorum', reason: present === 0 ? 'NO_VOTES' : 'NO_QUORUM', winner: null };
  }
  if (leader === null) return { state: 'rejected', reason: base === 0 ? 'NO_VOTES' : 'TIED', winner: null };
  if (scores[leader - 1]! * 100 < threshold * base)
    return { state: 'rejected', reason: 'UNDER_THRESHOLD', winner: null };
  if (optionToWin !== null && leader !== optionToWin) return { state: 'rejected', reason: 'AGAINST', winner: leader };
  return { state: 'passed', reason: '', winner: leader };
}

/** Whole percents of whole micro-ego: exact up to 9 × 10¹³, which is ninety million agents. Without anybody there is no quorum. */
export function isQuorate(present: number, { weight, quorum }: { weight: number | null; quorum: number }): boolean {
  return weight !== null && present > 0 && present * 100 >= quorum * weight;
}

/**
 * When a vote closes after its quorum was reached (OpenZeppelin's GovernorPreventLateQuorum): not before `extension` has passed
 * from then on, so that nobody decides in the last minute alone. Who took part stays, so it is reached, and moves the end, once.
 * All in milliseconds.
 */
export function closesAfterQuorum(closesAt: number, reachedAt: number, extension: number, latest = Infinity): number {
  return Math.max(closesAt, Math.min(latest, reachedAt + extension));
}
