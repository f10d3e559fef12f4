import { expect, test } from 'vitest';
import type { Choice } from '../../domain/ballot-choices.ts';
import { tallyOf } from '../../domain/tallies.ts';
import { publishedBallots } from '../support/published-ballots.ts';

/** One published vote is so many micro-ego, and shares are whole numbers: some are published as tenths. */
const one = 1_000_000;

/** @returns each voter's choice */
function choicesIn(votes: string): Choice[] {
  return votes.split(';').flatMap((group) => {
    const [, times = '1', choice] = /^\s*(?:(\d+)\s+x\s+)?(.+)$/s.exec(group)!;
    return Array.from({ length: Number(times) }, () => choiceIn(choice!.trim()));
  });
}

function choiceIn(written: string): Choice {
  if (!written.includes('=')) return Number(written);
  const shares = written.split(/\s+/).map((share) => share.split('='));
  return Object.fromEntries(shares.map(([option, share]) => [option, Math.round(Number(share) * 1_000)]));
}

test.each(publishedBallots)(
  'the published example of $method comes out the same to 1e-9',
  ({ method, options, voters, scores: published, votes }) => {
    const choices = choicesIn(votes);
    expect(choices).toHaveLength(voters);
    const { scores, base } = tallyOf(
      method,
      options,
      choices.map((choice, i) => ({ lineageId: `voter-${i}`, weight: one, choice })),
    );
    expect(base / one).toBe(voters);
    expect(published).toHaveLength(options);
    for (const [i, score] of published.entries()) expect(Math.abs(scores[i]! / one - score)).toBeLessThan(1e-9);
  },
);
