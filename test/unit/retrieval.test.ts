import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Candidates, cosineShare, evenWeights, recencyPerHour, retrieve } from '../../domain/retrieval.ts';

interface Plain {
  hours: number;
  importance: number;
  cosine: number;
  text?: number;
}

function candidates(memories: readonly Plain[]): Candidates & { asked: number[] } {
  const asked: number[] = [];
  return {
    asked,
    count: memories.length,
    hoursSinceUse: (i) => memories[i]!.hours,
    importance: (i) => memories[i]!.importance,
    cosine: memories.map((memory) => memory.cosine),
    textMatch(wanted) {
      asked.push(...wanted);
      return Promise.resolve(
        new Map(
          wanted.flatMap((i) => {
            const { text } = memories[i]!;
            return text === undefined ? [] : [[i, text] as const];
          }),
        ),
      );
    },
    order: (i) => i,
  };
}
const places = async (memories: readonly Plain[], limit = 10) =>
  (await retrieve(candidates(memories), evenWeights, limit)).map(({ place }) => place);

test('each part is scaled to [0, 1] over the candidates, and the score is their weighted sum', async () => {
  const memories = [
    { hours: 0, importance: 1, cosine: 0.2 },
    { hours: 100, importance: 10, cosine: 0.9, text: 0.5 },
    { hours: 10, importance: 4, cosine: 0.5, text: 0.25 },
  ];
  const found = await retrieve(candidates(memories), { recency: 1, importance: 2, relevance: 3 }, 3);
  const recency = (recencyPerHour ** 10 - recencyPerHour ** 100) / (1 - recencyPerHour ** 100);
  const relevance = cosineShare * ((0.5 - 0.2) / (0.9 - 0.2)) + (1 - cosineShare) * 0.25;
  const third = found.find(({ place }) => place === 2)!;
  expect(third.recency).toBeCloseTo(recency, 12);
  expect(third.importance).toBeCloseTo(3 / 9, 12);
  expect(third.relevance).toBeCloseTo(relevance, 12);
  expect(third.score).toBeCloseTo(recency + 2 / 3 + 3 * relevance, 12);
  expect(found.map(({ place }) => place)).toEqual([1, 2, 0]);
});

test('a memory without a vector counts as the least alike, and its words still find it', async () => {
  const found = await retrieve(
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

test('what is alike scores 0.5 and ties go to the later memory, in the same order each time', async () => {
  const alike = Array.from({ length: 6 }, () => ({ hours: 3, importance: 5, cosine: 0.4 }));
  expect((await retrieve(candidates(alike), evenWeights, 1))[0]).toMatchObject({ recency: 0.5, importance: 0.5 });
  expect(await places(alike)).toEqual([5, 4, 3, 2, 1, 0]);
  expect(await places(alike, 2)).toEqual([5, 4]);
});

test('an old memory is never lost: relevance alone can bring it up', async () => {
  const memories = Array.from({ length: 50 }, (_, i) => ({ hours: i, importance: 5, cosine: 0.1 }));
  memories.push({ hours: 24 * 242, importance: 5, cosine: 0.95 });
  const [first] = await retrieve(candidates(memories), { recency: 1, importance: 1, relevance: 2 }, 3);
  expect(first).toMatchObject({ place: 50, recency: 0 });
});

test('nothing to remember is no error', async () => {
  expect(await retrieve(candidates([]), evenWeights, 10)).toEqual([]);
});

test('where nothing was compared the words are all of relevance', async () => {
  const plain = [
    { hours: 1, importance: 5, cosine: 0, text: 0.5 },
    { hours: 1, importance: 5, cosine: 0 },
  ];
  const found = await retrieve({ ...candidates(plain), cosine: undefined }, evenWeights, 2);
  expect(found.map(({ place, relevance }) => [place, relevance])).toEqual([
    [0, 0.5],
    [1, 0],
  ]);
});

test('words are looked at only where they could still lift a memory into the best', async () => {
  const memories = Array.from({ length: 5_000 }, (_, i) => ({ hours: 0, importance: 5, cosine: i / 5_000, text: 0.1 }));
  const many = candidates(memories);
  const found = await retrieve(many, evenWeights, 5);
  expect(found.map(({ place }) => place)).toEqual([4_999, 4_998, 4_997, 4_996, 4_995]);
  expect(many.asked.length).toBeGreaterThan(5);
  expect(many.asked.length).toBeLessThan(2_500);
});

test('the best are those that scoring and sorting everything would bring, in that order', async () => {
  const memory = fc.record({
    hours: fc.integer({ min: 0, max: 400 }),
    importance: fc.integer({ min: 1, max: 10 }),
    cosine: fc.oneof(fc.constant(Number.NaN), fc.double({ min: -1, max: 1, noNaN: true })),
    text: fc.option(fc.constantFrom(0.1, 0.2, 1), { nil: undefined as unknown as number }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(memory, { maxLength: 700 }),
      fc.integer({ min: 1, max: 12 }),
      fc.boolean(),
      async (memories, limit, compared) => {
        const given = { ...candidates(memories), ...(compared ? {} : { cosine: undefined }) };
        const all = await retrieve(given, evenWeights, memories.length + 1);
        expect(all).toHaveLength(memories.length);
        const share = compared ? cosineShare : 0;
        const least = Math.min(...memories.map(({ cosine }) => (Number.isNaN(cosine) ? Infinity : cosine)));
        const most = Math.max(...memories.map(({ cosine }) => (Number.isNaN(cosine) ? -Infinity : cosine)));
        for (const { place, relevance } of all) {
          const { cosine, text } = memories[place]!;
          const scaled = Number.isNaN(cosine) ? 0 : most > least ? (cosine - least) / (most - least) : 0.5;
          expect(relevance).toBeCloseTo(share * scaled + (1 - share) * (text ?? 0), 9);
        }
        const sorted = [...all].sort((a, b) => b.score - a.score || b.place - a.place);
        expect(all).toEqual(sorted);
        expect(await retrieve(given, evenWeights, limit)).toEqual(sorted.slice(0, limit));
      },
    ),
  );
});
