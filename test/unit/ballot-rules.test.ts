import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type AskableAgent, chooseAsked } from '../../domain/ballot-asking.ts';
import { closesAfterQuorum, outcomeOf } from '../../domain/ballot-outcome.ts';
import { cappedWeight, lineageCap } from '../../domain/voting-weights.ts';

const totalsArb = fc.array(fc.oneof(fc.nat(20), fc.nat(1_000_000_000)), { minLength: 1, maxLength: 30 });
const percentArb = fc.integer({ min: 1, max: 100 });
const sum = (numbers: readonly number[]) => numbers.reduce((all, each) => all + each, 0);

test('no lineage keeps more than its share of what is left after the cut, and a greater cap would leave one more', () => {
  fc.assert(
    fc.property(totalsArb, percentArb, (totals, percent) => {
      const held = totals.filter((total) => total > 0);
      const cap = lineageCap(totals, percent);
      const isOver = (limit: number) => {
        const kept = held.map((total) => Math.min(total, limit));
        return Math.max(...kept) * 100 > percent * sum(kept);
      };
      if (held.length < 2) expect(cap).toBeNull();
      else if (held.length * percent < 100) {
        // They cannot all stay under it: all alike is the nearest to it, and nothing is cut where they are.
        expect(cap).toBe(Math.min(...held));
      } else if (cap === null) expect(isOver(Infinity)).toBe(false);
      else {
        expect(isOver(cap)).toBe(false);
        expect(isOver(cap + 1)).toBe(true);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('the order of lineages changes no cap, and members of one keep no more together than it may have', () => {
  fc.assert(
    fc.property(
      totalsArb,
      percentArb,
      fc.array(fc.nat(1_000), { minLength: 1, maxLength: 5 }),
      (totals, percent, own) => {
        const total = sum(own);
        const cap = lineageCap([...totals, total], percent);
        expect(lineageCap([total, ...totals.toReversed()], percent)).toBe(cap);
        const kept = sum(own.map((ego) => cappedWeight(ego, total, cap)));
        expect(kept).toBeLessThanOrEqual(Math.min(total, cap ?? total));
        expect(kept).toBeGreaterThan(Math.min(total, cap ?? total) - own.length);
      },
    ),
  );
});

test('two lineages of which one holds nearly all weigh alike; 297 of which one holds half keep it to a tenth', () => {
  expect(lineageCap([1_000_000, 1], 10)).toBe(1);
  const fleet = [296_000_000, ...Array.from({ length: 296 }, () => 1_000_000)];
  const cap = lineageCap(fleet, 10)!;
  expect(cap).toBe(32_888_888);
  expect(cap / (cap + 296_000_000)).toBeCloseTo(0.1, 7);
  expect(lineageCap(fleet.slice(1), 10)).toBeNull();
});

const terms = { quorum: 20, threshold: 50, optionToWin: 1 };
const all = { weight: 100, present: 40 };
test.each([
  [{ leader: 1, scores: [30, 5], base: 35 }, all, terms, 'passed', '', 1],
  [{ leader: 2, scores: [5, 30], base: 35 }, all, terms, 'rejected', 'AGAINST', 2],
  [{ leader: 2, scores: [5, 30], base: 35 }, all, { ...terms, optionToWin: null }, 'passed', '', 2],
  [{ leader: 1, scores: [30, 5], base: 35 }, { ...all, present: 19 }, terms, 'no_quorum', 'NO_QUORUM', null],
  [{ leader: 1, scores: [30, 5], base: 35 }, { ...all, present: 20 }, terms, 'passed', '', 1],
  // Everybody abstained: they took part, and nobody chose.
  [{ leader: null, scores: [0, 0], base: 0 }, all, terms, 'rejected', 'NO_VOTES', null],
  [
    { leader: null, scores: [0, 0], base: 0 },
    { weight: 0, present: 0 },
    { ...terms, quorum: 0 },
    'no_quorum',
    'NO_VOTES',
    null,
  ],
  [{ leader: null, scores: [9, 9], base: 18 }, all, terms, 'rejected', 'TIED', null],
  [{ leader: 1, scores: [40, 39, 21], base: 100 }, all, terms, 'rejected', 'UNDER_THRESHOLD', null],
  [{ leader: 1, scores: [50, 49], base: 100 }, all, terms, 'passed', '', 1],
] as const)('%o of %o under %o is %s %s', (tally, electorate, asked, state, reason, winner) => {
  expect(outcomeOf({ ...tally, scores: [...tally.scores] }, electorate, asked)).toEqual({ state, reason, winner });
});

test('a quorum that comes late moves the end, one that comes early does not', () => {
  expect(closesAfterQuorum(1_000, 990, 100)).toBe(1_090);
  expect(closesAfterQuorum(1_000, 100, 100)).toBe(1_000);
  // Nor beyond what it decides of, and never to before it.
  expect(closesAfterQuorum(1_000, 990, 100, 1_050)).toBe(1_050);
  expect(closesAfterQuorum(1_000, 990, 100, 900)).toBe(1_000);
});

const agentArb: fc.Arbitrary<Omit<AskableAgent, 'voterId'>> = fc.record({
  lineageId: fc.integer({ min: 0, max: 8 }).map((n) => `lineage-${n}`),
  clusterId: fc.option(fc.integer({ min: 0, max: 4 }).map((n) => `cluster-${n}`)),
  weight: fc.nat(5),
});
const agentsArb = fc
  .array(agentArb, { maxLength: 40 })
  .map((agents) => agents.map((agent, i) => ({ ...agent, voterId: `agent-${i}` })));

test('no more are asked than there are places, each once; who follows follows one that is asked, of its lineage or cluster', () => {
  fc.assert(
    fc.property(agentsArb, fc.nat(20), fc.nat(), (agents, most, turn) => {
      const { asked, follows } = chooseAsked(agents, most);
      const byId = new Map(agents.map((agent) => [agent.voterId, agent]));
      expect(asked.length).toBeLessThanOrEqual(most);
      expect(new Set(asked).size).toBe(asked.length);
      for (const id of asked) expect(byId.get(id)!.weight).toBeGreaterThan(0);
      for (const [voter, followed] of follows) {
        expect(asked).toContain(followed);
        expect(asked).not.toContain(voter);
        const [a, b] = [byId.get(voter)!, byId.get(followed)!];
        expect(a.lineageId === b.lineageId || (a.clusterId !== null && a.clusterId === b.clusterId)).toBe(true);
      }
      const places = Math.min(most, agents.length);
      if (asked.length < places) {
        const lineages = new Set(agents.filter(({ weight }) => weight > 0).map(({ lineageId }) => lineageId));
        for (const lineage of lineages) expect(asked.some((id) => byId.get(id)!.lineageId === lineage)).toBe(true);
      }
      const turned = [...agents.slice(turn % (agents.length || 1)), ...agents.slice(0, turn % (agents.length || 1))];
      expect(chooseAsked(turned, most).asked).toEqual(asked);
    }),
    { numRuns: 500 },
  );
});

test('clusters send first, the heaviest first, then lineages that nobody speaks for', () => {
  const agent = (voterId: string, lineageId: string, clusterId: string | null, weight: number) => ({
    voterId,
    lineageId,
    clusterId,
    weight,
  });
  const agents = [
    agent('a', 'a', 'sea', 3),
    agent('b', 'b', 'sea', 2),
    agent('c', 'c', 'hill', 4),
    agent('d', 'c', null, 9),
    agent('e', 'e', null, 1),
    agent('f', 'f', null, 8),
  ];
  const { asked, follows } = chooseAsked(agents, 3);
  expect(asked).toEqual(['a', 'c', 'f']);
  // d is of c's lineage, b of a's cluster; nobody speaks for e.
  expect(Object.fromEntries(follows)).toEqual({ b: 'a', d: 'c' });
  expect(chooseAsked(agents, 0)).toEqual({ asked: [], follows: new Map() });
});
