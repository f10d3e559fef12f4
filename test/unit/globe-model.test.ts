import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, test } from 'vitest';
import { createGlobeActivities, type GlobeDeps } from '../../activities/globe.ts';
import { contentHash } from '../../stores/embeddings.ts';

/** Where each of two memories and their agent began, and where they stood before. */
async function begunFrom(lastModel: string): Promise<{ begun: number[]; stood: number[] }> {
  const ids = ['m1', 'm2', 'a1'];
  const stood = [1, 0, 0, 0, 1, 0, 0, 0, 1];
  const vectors = [Float32Array.of(1, 0), Float32Array.of(0, 1)];
  const hashes = ['one', 'two'].map((said) => contentHash(said));
  let begun: number[] = [];
  const deps = {
    fleet: async () => ({ ownerId: 'usr_1' }),
    globe: {
      last: async () => ({ period: 'before', model: lastModel, digest: Buffer.alloc(32), agents: 1, memories: 2 }),
      agents: async () => ['a1'],
      memoriesOf: async () => hashes.map((hash, i) => ({ id: ids[i], agentId: 'a1', contentHash: hash })),
      places: async () =>
        new Map(ids.map((id, i) => [id, { id, x: stood[i * 3], y: stood[i * 3 + 1], z: stood[i * 3 + 2] }])),
      store: async () => undefined,
    },
    embeddings: {
      serving: async () => ({ model: 'new' }),
      dimensions: async () => 2,
      known: async () => new Map(hashes.map((hash, i) => [hash.toString('hex'), Buffer.from(vectors[i]!.buffer)])),
    },
    placeOnSphere: async ({ before }: { before: Float64Array }) => {
      begun = [...before];
      return Float64Array.from(stood);
    },
  } as unknown as GlobeDeps;
  const activities = createGlobeActivities(deps);
  const placed = await new MockActivityEnvironment().run(() => activities.placeGlobePoints({ period: 'now' }));
  expect(placed).toEqual({ agents: 1, memories: 2, unchanged: false });
  return { begun, stood };
}

test('each begins where it stood, unless that was by the vectors of another model', async () => {
  const same = await begunFrom('new');
  expect(same.begun).toEqual(same.stood);
  const other = await begunFrom('old');
  expect(other.begun).toEqual(Array(9).fill(Number.NaN));
});
