import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Candidates, cosineShare, evenWeights, recencyPerHour, retrieve } from '../../domain/retrieval.ts';

interface Plain {
  hours: number;
  importance: number;
  cosine: number;
  text?: number;
}

function candidates(memories: readonly Plain[]): Candidates {
  return {
    count: memories.length,
    hoursSinceUse: (i) => memories[i]!.hours,
    importance: (i) => memories[i]!.importance,
    cosine: memories.map((memory) => memory.cosine),
    textRank: new Map(memories.flatMap(({ text }, i) => (text === undefined ? [] : [[i, text] as const]))),
    order: (i) => i,
  };
}
const places = (memories: readonly Plain[], limit = 10) =>
  retrieve(candidates(memories), evenWeights, limit).map(({ place }) => place);

test('each part is scaled to [0, 1] over the candidates, and the score is their weighted sum', () => {
  const memories = [
    { hours: 0, importance: 1, cosine: 0.2 },
    { hours: 100, importance: 10, cosine: 0.9, text: 0.5 },
    { hours: 10, importance: 4, cosine: 0.5, text: 0.25 },
  ];
  const found = retrieve(candidates(memories), { recency: 1, importance: 2, relevance: 3 }, 3);
  const recency = (recencyPerHour ** 10 - recencyPerHour ** 100) / (1 - recencyPerHour ** 100);
  const relevance = cosineShare * ((0.5 - 0.2) / (0.9 - 0.2)) + (1 - cosineShare) * 0.5;
  const third = found.find(({ place }) => place === 2)!;
  expect(third.recency).toBeCloseTo(recency, 12);
  expect(third.importance).toBeCloseTo(3 / 9, 12);
  expect(third.relevance).toBeCloseTo(relevance, 12);
  expect(third.score).toBeCloseTo(recency + 2 / 3 + 3 * relevance, 12);
  expect(found.map(({ place }) => place)).toEqual([1, 2, 0]);
});

test('a memory without a vector counts as the least alike, and its words still find it', () => {
  const found = retrieve(
    candidates([
      { hours: 1, importance: 5, cosine: Number.NaN, text: 1 },
      { hours: 1, importance: 5, cosine: 0.1 },
      { hours: 1, importance: 5, cosine: 0.9 },
    ]),
    { recency: 0, importance: 0, relevance: 1 },
    3,
  );
  expect(found.map(({ place, relevance }) => [place, relevance])).toEqual([
    [2, cosineShare],
    [0, 1 - cosineShare],
    [1, 0],
  ]);
});

test('what is alike scores 0.5 and ties go to the later memory, in the same order each time', () => {
  const alike = Array.from({ length: 6 }, () => ({ hours: 3, importance: 5, cosine: 0.4 }));
  expect(retrieve(candidates(alike), evenWeights, 1)[0]).toMatchObject({ recency: 0.5, importance: 0.5 });
  expect(places(alike)).toEqual([5, 4, 3, 2, 1, 0]);
  expect(places(alike, 2)).toEqual([5, 4]);
});

test('an old memory is never lost: relevance alone can bring it up', () => {
  const memories = Array.from({ length: 50 }, (_, i) => ({ hours: i, importance: 5, cosine: 0.1 }));
  memories.push({ hours: 24 * 242, importance: 5, cosine: 0.95 });
  const [first] = retrieve(candidates(memories), { recency: 1, importance: 1, relevance: 2 }, 3);
  expect(first).toMatchObject({ place: 50, recency: 0 });
});

test('nothing to remember is no error', () => {
  expect(retrieve(candidates([]), evenWeights, 10)).toEqual([]);
});

test('the best are those that sorting everything would bring, in that order', () => {
  const memory = fc.record({
    hours: fc.integer({ min: 0, max: 40 }),
    importance: fc.integer({ min: 1, max: 10 }),
    cosine: fc.constantFrom(0.1, 0.2, 0.5, 0.9, Number.NaN),
    text: fc.option(fc.constantFrom(0.1, 0.2), { nil: undefined as unknown as number }),
  });
  fc.assert(
    fc.property(fc.array(memory, { maxLength: 40 }), fc.integer({ min: 1, max: 12 }), (memories, limit) => {
      const all = retrieve(candidates(memories), evenWeights, memories.length + 1);
      expect(all).toHaveLength(memories.length);
      const sorted = [...all].sort((a, b) => b.score - a.score || b.place - a.place);
      expect(all).toEqual(sorted);
      expect(retrieve(candidates(memories), evenWeights, limit)).toEqual(sorted.slice(0, limit));
    }),
  );
});
