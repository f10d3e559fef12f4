import { isShares } from './ballot-choices.ts';
import type { Count } from './tallies.ts';

/** One round of ranked choice. */
export interface Round {
  /** Micro-ego by option; 0 for one that was eliminated before. */
  scores: number[];
  /** The option, from 1, that goes; null in the last round. */
  eliminated: number | null;
  /** Micro-ego of votes of which no choice stands any more. */
  exhausted: number;
}

/**
 * Ranked choice by instant run-off: each vote counts for the first of its choices that still stands; who has more than half of what
 * counts has won, else the last is eliminated. Of several that are level last, the one goes that had less in the round before, or
 * the one before that, back to the first; where they were level throughout, the one that stands last on the ballot.
 */
export function countRanked(options: number): Count {
  /** Weight by ranking: votes that rank alike are counted as one. */
  const rankings = new Map<string, number>();
  return {
    add({ weight, choice }) {
      if (typeof choice === 'number' || isShares(choice)) throw new TypeError('only a ranking is counted in rounds');
      const key = choice.join(',');
      rankings.set(key, (rankings.get(key) ?? 0) + weight);
    },
    result() {
      const votes = [...rankings].map(([key, weight]) => ({ ranking: key.split(',').map(Number), weight }));
      const standing = new Set(Array.from({ length: options }, (_, i) => i + 1));
      const rounds: Round[] = [];
      for (;;) {
        const round = nextRound(votes, standing, options);
        rounds.push(round);
        const base = round.scores.reduce((sum, score) => sum + score, 0);
        const leader = round.scores.findIndex((score) => score * 2 > base) + 1;
        if (leader > 0 || base === 0 || standing.size === 1)
          return { scores: round.scores, base, leader: leader > 0 ? leader : null, rounds };
        round.eliminated = lastOf(standing, rounds);
        standing.delete(round.eliminated);
      }
    },
  };
}

function nextRound(
  votes: ReadonlyArray<{ ranking: readonly number[]; weight: number }>,
  standing: ReadonlySet<number>,
  options: number,
): Round {
  const scores = Array.from({ length: options }, () => 0);
  let exhausted = 0;
  for (const { ranking, weight } of votes) {
    const first = ranking.find((option) => standing.has(option));
    if (first === undefined) exhausted += weight;
    else scores[first - 1]! += weight;
  }
  return { scores, eliminated: null, exhausted };
}

function lastOf(standing: ReadonlySet<number>, rounds: readonly Round[]): number {
  let level = [...standing];
  for (const { scores } of rounds.toReversed()) {
    const least = Math.min(...level.map((option) => scores[option - 1]!));
    level = level.filter((option) => scores[option - 1] === least);
  }
  return Math.max(...level);
}
