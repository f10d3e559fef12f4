import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Choice } from '../../domain/ballot-choices.ts';
import { choiceSchema } from '../../domain/ballot-choices.ts';
import { type VotingMethod, votingMethods } from '../../domain/ballots.ts';
import { type CountedVote, tallyOf } from '../../domain/tallies.ts';

const ego = 1_000_000;
const options = 4;
const optionArb = fc.integer({ min: 1, max: options });
const sharesArb = fc
  .dictionary(optionArb.map(String), fc.integer({ min: 1, max: 1_000_000 }), { minKeys: 1, maxKeys: options })
  .map((shares): Choice => ({ ...shares }));
const rankingArb = fc.uniqueArray(optionArb, { minLength: 1, maxLength: options });
const choices: Record<VotingMethod, fc.Arbitrary<Choice>> = {
  single: optionArb,
  approval: rankingArb.map((chosen) => chosen.toSorted((a, b) => a - b)),
  ranked: rankingArb,
  weighted: sharesArb,
  quadratic: sharesArb,
};
const voteArb = (method: VotingMethod): fc.Arbitrary<CountedVote> =>
  fc.record({
    lineageId: fc.integer({ min: 0, max: 5 }).map((n) => `lineage-${n}`),
    weight: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 1_000 * ego })),
    choice: fc.option(choices[method], { freq: 8 }),
  });
const votesArb = (method: VotingMethod, least = 0) => fc.array(voteArb(method), { minLength: least, maxLength: 30 });
const shuffledArb = <T>(items: readonly T[]) => fc.shuffledSubarray([...items], { minLength: items.length });
const shareOf = ({ scores, base }: ReturnType<typeof tallyOf>, option: number) =>
  base === 0 ? 0 : scores[option - 1]! / base;

describe.each(votingMethods)('%s', (method) => {
  test('the order of votes changes no bit', () => {
    fc.assert(
      fc.property(
        votesArb(method).chain((votes) => fc.tuple(fc.constant(votes), shuffledArb(votes))),
        ([votes, shuffled]) => {
          expect(tallyOf(method, options, shuffled)).toStrictEqual(tallyOf(method, options, votes));
        },
      ),
    );
  });

  test('the names of lineages change no bit', () => {
    fc.assert(
      fc.property(votesArb(method), (votes) => {
        const renamed = votes.map((vote) => ({ ...vote, lineageId: `${99 - Number(vote.lineageId.slice(-1))}` }));
        expect(tallyOf(method, options, renamed)).toStrictEqual(tallyOf(method, options, votes));
      }),
    );
  });

  test('abstentions and votes without weight move no score', () => {
    fc.assert(
      fc.property(votesArb(method), voteArb(method), (votes, other) => {
        const { scores, leader } = tallyOf(method, options, votes);
        const abstained = tallyOf(method, options, [...votes, { ...other, choice: null }]);
        expect(abstained).toMatchObject({ scores, leader, voters: votes.length + 1 });
        expect(tallyOf(method, options, [...votes, { ...other, weight: 0 }]).scores).toEqual(scores);
      }),
    );
  });

  test('scores are of the weight that chose: none is under 0, and those that divide it add up to it', () => {
    fc.assert(
      fc.property(votesArb(method), (votes) => {
        const tally = tallyOf(method, options, votes);
        const cast = votes.reduce((sum, { weight, choice }) => sum + (choice === null ? 0 : weight), 0);
        expect(tally.scores.every((score) => score >= 0)).toBe(true);
        const sum = tally.scores.reduce((all, score) => all + score, 0);
        if (method === 'ranked') expect(sum + tally.rounds.at(-1)!.exhausted).toBe(cast);
        else if (method === 'single') expect(sum).toBe(cast);
        else if (method !== 'approval') expect(Math.abs(sum - cast)).toBeLessThanOrEqual(1e-9 * cast + 1e-7);
      }),
    );
  });

  test('a vote for the leading option alone never takes the lead from it', () => {
    fc.assert(
      fc.property(votesArb(method, 1), voteArb(method), (votes, { lineageId, weight }) => {
        const { leader } = tallyOf(method, options, votes);
        if (leader === null) return;
        const only: Record<VotingMethod, Choice> = {
          single: leader,
          approval: [leader],
          ranked: [leader],
          weighted: { [leader]: 1 },
          quadratic: { [leader]: 1 },
        };
        // Under quadratic voting a lineage's further weight counts less, and never against.
        const more = tallyOf(method, options, [...votes, { lineageId, weight, choice: only[method] }]);
        expect(more.leader).toBe(leader);
      }),
      { numRuns: 500 },
    );
  });

  test('members of one lineage who vote alike come to no more than one of them with all their weight', () => {
    fc.assert(
      fc.property(
        votesArb(method),
        voteArb(method),
        fc.array(fc.nat(1_000), { minLength: 2, maxLength: 6 }),
        (votes, { lineageId, weight, choice }, cuts) => {
          const total = cuts.reduce((sum, cut) => sum + cut, 0);
          if (choice === null || total === 0) return;
          const parts = cuts.map((cut) => Math.floor((weight * cut) / total));
          parts[0]! += weight - parts.reduce((sum, part) => sum + part, 0);
          const one = tallyOf(method, options, [...votes, { lineageId, weight, choice }]);
          const split = tallyOf(method, options, [
            ...votes,
            ...parts.map((part) => ({ lineageId, weight: part, choice })),
          ]);
          for (let option = 1; option <= options; option += 1) {
            // Cut to whole grains, of which a micro-ego has 2³²: the parts are never more, and less by no more than that.
            const [whole, sum] = [one.scores[option - 1]!, split.scores[option - 1]!];
            expect(Math.abs(whole - sum)).toBeLessThanOrEqual(1e-8 * Math.max(1, whole));
          }
          if (method !== 'weighted' && method !== 'quadratic') expect(split.scores).toEqual(one.scores);
        },
      ),
    );
  });
});

test.each(['weighted', 'quadratic'] as const)('%s: more share for an option never gives it less', (method) => {
  fc.assert(
    fc.property(
      votesArb(method, 1),
      optionArb,
      fc.nat(),
      fc.integer({ min: 1, max: 1_000 }),
      (votes, option, at, more) => {
        const place = at % votes.length;
        const { choice } = votes[place]!;
        if (choice === null) return;
        const shares = choice as Record<string, number>;
        const raised = votes.map((vote, i) =>
          i === place ? { ...vote, choice: { ...shares, [option]: (shares[option] ?? 0) + more } } : vote,
        );
        const [before, after] = [tallyOf(method, options, votes), tallyOf(method, options, raised)];
        expect(shareOf(after, option)).toBeGreaterThanOrEqual(shareOf(before, option) - 1e-12);
      },
    ),
    { numRuns: 500 },
  );
});

test.each(['single', 'approval'] as const)('%s: naming an option raises its score by the whole weight', (method) => {
  fc.assert(
    fc.property(votesArb(method), voteArb(method), (votes, vote) => {
      if (vote.choice === null) return;
      const [before, after] = [tallyOf(method, options, votes), tallyOf(method, options, [...votes, vote])];
      const named = typeof vote.choice === 'number' ? [vote.choice] : (vote.choice as number[]);
      for (let option = 1; option <= options; option += 1)
        expect(after.scores[option - 1]).toBe(before.scores[option - 1]! + (named.includes(option) ? vote.weight : 0));
    }),
  );
});

test('quadratic: where splitting would gain, as it does between outsiders, a lineage gains nothing', () => {
  const against: CountedVote[] = [{ lineageId: 'rival', weight: 5 * ego, choice: { 2: 1 } }];
  const children = (lineageOf: (i: number) => string): CountedVote[] =>
    Array.from({ length: 4 }, (_, i) => ({ lineageId: lineageOf(i), weight: ego, choice: { 1: 1 } }));
  const whole = tallyOf('quadratic', 2, [...against, { lineageId: 'house', weight: 4 * ego, choice: { 1: 1 } }]);
  // The same four as strangers win; (4·√1)² = 16 against 5. This test would see a count by voter.
  expect(tallyOf('quadratic', 2, [...against, ...children((i) => `stranger-${i}`)]).leader).toBe(1);
  expect(tallyOf('quadratic', 2, [...against, ...children(() => 'house')])).toMatchObject({
    leader: 2,
    scores: whole.scores,
  });
});

test('ranked: the last goes, its votes move on, and who has more than half of what still counts wins', () => {
  const vote = (weight: number, ...choice: number[]): CountedVote => ({ lineageId: 'x', weight, choice });
  // The ferry, the bridge, the tunnel: nobody has half, the tunnel's votes decide.
  const tally = tallyOf('ranked', 3, [vote(45, 1), vote(35, 2), vote(20, 3, 2)]);
  expect(tally).toMatchObject({ leader: 2, scores: [45, 55, 0], base: 100 });
  expect(tally.rounds.map(({ eliminated }) => eliminated)).toEqual([3, null]);
  const spent = tallyOf('ranked', 3, [vote(45, 1), vote(35, 2), vote(20, 3)]);
  expect(spent).toMatchObject({ leader: 1, base: 80 });
  expect(spent.rounds.at(-1)!.exhausted).toBe(20);
});

test('ranked: of those level last the one goes that had less before, else the one that stands last', () => {
  const vote = (weight: number, ...choice: number[]): CountedVote => ({ lineageId: 'x', weight, choice });
  // Round 1: 40, 25, 20, 15. The fourth goes, its votes bring the third level with the second at 25 and 10 to the first.
  const level = tallyOf('ranked', 4, [vote(40, 1), vote(25, 2), vote(20, 3), vote(5, 4, 3), vote(10, 4, 1)]);
  expect(level.rounds.map(({ scores }) => scores)).toEqual([
    [40, 25, 20, 15],
    [50, 25, 25, 0],
    [50, 25, 0, 0],
  ]);
  expect(level.rounds[1]!.eliminated).toBe(3);
  expect(tallyOf('ranked', 3, [vote(10, 1), vote(10, 2), vote(10, 3)]).rounds.map((r) => r.eliminated)).toEqual([
    3,
    2,
    null,
  ]);
  expect(tallyOf('ranked', 3, []).leader).toBeNull();
});

test('ranked: what stands below a choice never harms it', () => {
  fc.assert(
    fc.property(votesArb('ranked', 1), fc.nat(), optionArb, (votes, at, more) => {
      const place = at % votes.length;
      const { choice } = votes[place]!;
      const ranking = choice as number[] | null;
      const { leader } = tallyOf('ranked', options, votes);
      if (ranking === null || ranking.includes(more) || leader === null || !ranking.includes(leader)) return;
      const longer = votes.map((vote, i) => (i === place ? { ...vote, choice: [...ranking, more] } : vote));
      expect(tallyOf('ranked', options, longer).leader).toBe(leader);
    }),
    { numRuns: 1_000 },
  );
});

test('two that are level lead nothing', () => {
  const votes: CountedVote[] = [
    { lineageId: 'a', weight: 7, choice: { 1: 1 } },
    { lineageId: 'b', weight: 7, choice: { 2: 1 } },
  ];
  expect(tallyOf('quadratic', 2, votes).leader).toBeNull();
  expect(tallyOf('weighted', 2, votes).leader).toBeNull();
});

test('a choice that is none of its method is refused by rule', () => {
  const refuses = (method: VotingMethod, choice: unknown) =>
    choiceSchema(method, 3).safeParse(choice).success === false;
  for (const method of votingMethods) expect(refuses(method, 'yes')).toBe(true);
  expect(refuses('single', 4)).toBe(true);
  expect(refuses('single', [1])).toBe(true);
  expect(refuses('approval', [])).toBe(true);
  expect(refuses('approval', [1, 1])).toBe(true);
  expect(refuses('ranked', [0])).toBe(true);
  expect(refuses('weighted', { 1: 0 })).toBe(true);
  expect(refuses('weighted', { 4: 1 })).toBe(true);
  expect(refuses('quadratic', { 1: -1 })).toBe(true);
  expect(refuses('quadratic', { 1: 0.5 })).toBe(true);
  expect(choiceSchema('approval', 3).parse([3, 1])).toEqual([1, 3]);
  expect(choiceSchema('weighted', 3).parse({ 1: 0, 2: 5 })).toEqual({ 2: 5 });
  expect(choiceSchema('ranked', 3).parse([3, 1])).toEqual([3, 1]);
});

test('weights that no number holds exactly are refused, not rounded', () => {
  const huge = { lineageId: 'x', weight: Number.MAX_SAFE_INTEGER, choice: 1 };
  expect(() => tallyOf('single', 2, [huge, huge])).toThrow('no safe integer');
  expect(() => tallyOf('single', 2, [{ ...huge, weight: 0.5 }])).toThrow('no weight');
});
