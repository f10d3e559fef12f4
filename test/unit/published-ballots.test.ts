import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { Choice } from '../../domain/ballot-choices.ts';
import type { VotingMethod } from '../../domain/ballots.ts';
import { tallyOf } from '../../domain/tallies.ts';
import { lacks } from '../support/not-run.ts';

/** Votes and scores as snapshot.js publishes them with its own tests (test/examples), beside the checkout and not in it. */
const folder = fileURLToPath(new URL('../../../shared/data/ballots/', import.meta.url));

interface Published {
  choices: number;
  total: number;
  scores: number[];
  votes: Array<{ choice: number | Record<string, number>; weight: number }>;
}

/** One published vote is so many micro-ego, and shares are whole numbers: some are published as tenths. */
const one = 1_000_000;
const wholeShares = (choice: Published['votes'][number]['choice']): Choice =>
  typeof choice === 'number'
    ? choice
    : Object.fromEntries(Object.entries(choice).map(([option, share]) => [option, Math.round(share * 1_000)]));

for (const [name, method] of [
  ['single-choice', 'single'],
  ['weighted', 'weighted'],
  ['quadratic', 'quadratic'],
] as const satisfies ReadonlyArray<[string, VotingMethod]>) {
  const file = `${folder}${name}.json`;
  const title = `the published example of ${name} comes out the same to 1e-9`;
  const row = { test: title, needs: `../shared/data/ballots/${name}.json`, command: 'copy it there', excused: true };
  test.skipIf(lacks(row, existsSync(file)))(title, () => {
    const published = JSON.parse(readFileSync(file, 'utf8')) as Published;
    const votes = published.votes.map(({ choice, weight }, i) => ({
      lineageId: `voter-${i}`,
      weight: weight * one,
      choice: wholeShares(choice),
    }));
    const { scores, base } = tallyOf(method, published.choices, votes);
    expect(base / one).toBe(published.total);
    expect(published.scores).toHaveLength(published.choices);
    for (const [i, score] of published.scores.entries()) expect(Math.abs(scores[i]! / one - score)).toBeLessThan(1e-9);
  });
}
