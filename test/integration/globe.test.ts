import { WorkflowIdReusePolicy } from '@temporalio/client';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { angleBetween, type Place } from '../../domain/globe.ts';
import { callPeriod, earlyGlobePeriod, globeWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { contentHash } from '../../stores/embeddings.ts';
import { createGlobeStore } from '../../stores/globe.ts';
import { readGlobe } from '../../stores/queries/globe.ts';
import type { PlaceGlobeResult } from '../../workflows/place-globe.ts';
import { testFleet } from '../support/fleets.ts';
import { hashedEmbedder } from '../support/hashed-embedder.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

const count = 12;
const agentIds = Array.from({ length: count }, (_, i) => `light-${String(i + 1).padStart(3, '0')}`);
/** Remembers nothing. */
const silent = `light-${String(count + 1).padStart(3, '0')}`;
const topics = ['the ferry bell rang', 'bread rose in the oven', 'rain fell on the orchard'];
let stage: Stage;
let dies = false;

beforeAll(async () => {
  stage = await openStage(testFleet({ heavy: 0, light: count + 1 }), (shipped) => ({
    placeGlobePoints: async (input) => {
      const placed = await shipped.placeGlobePoints(input);
      if (dies) {
        dies = false;
        throw new Error('died after the globe was stored');
      }
      return placed;
    },
  }));
  await stage.embeddings.models(testOwner, { kind: 'built-in' });
});
afterAll(() => stage?.close());
beforeEach(() => {
  dies = false;
});

async function place(period: string): Promise<PlaceGlobeResult> {
  const handle = await stage.client.workflow.start('placeGlobe', {
    workflowId: globeWorkflowId(period),
    taskQueue: coordinationQueue,
    args: [{ period }],
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
  });
  return (await handle.result()) as PlaceGlobeResult;
}

/** Told in order, a minute each, with their vectors. */
async function tell(said: ReadonlyArray<{ agentId: string; text: string; at: number }>): Promise<void> {
  await stage.remember(
    said.map(({ agentId, text, at }) => ({
      agentId,
      externalKey: `${agentId}-${text}`,
      kind: 'observation' as const,
      text,
      importance: 5,
      source: 'test',
      occurredAt: new Date(Date.UTC(2026, 0, 1) + at * 60_000).toISOString(),
    })),
  );
  const texts = [...new Set(said.map(({ text }) => text))];
  const vectors = await hashedEmbedder.embed(texts);
  await stage.embeddings.put(
    hashedEmbedder.model,
    texts.map((text, i) => ({ ownerId: testOwner, contentHash: contentHash(text), vector: vectors[i]! })),
  );
}

const globe = () => readGlobe(stage.db, testOwner);
const eventCount = async () =>
  (await stage.db.selectFrom('events').select('id').where('type', '=', 'globe.placed').execute()).length;
type Globe = Awaited<ReturnType<typeof globe>>;
const placeOf = ({ memories, agents }: Globe, id: string): Place => {
  const of = memories.ids.includes(id) ? memories : agents;
  const at = of.ids.indexOf(id) * 3;
  const [x, y, z] = of.places.slice(at, at + 3) as [number, number, number];
  const length = Math.hypot(x, y, z);
  return [x / length, y / length, z / length];
};
const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

test('without memories there is no globe', async () => {
  expect(await place('empty')).toEqual({ agents: 0, memories: 0, unchanged: true });
  expect(await globe()).toMatchObject({ placedAt: null, from: null, to: null, arcs: [], regions: [] });
});

test('memories stand with their like and agents with what they say; a crash after the storing places once', async () => {
  await tell(
    agentIds.flatMap((agentId, i) =>
      [0, 1, 2].map((n) => ({ agentId, text: `${topics[i % 3]!} at ${i} of ${n}`, at: i * 3 + n })),
    ),
  );
  dies = true;
  expect(await place('first')).toEqual({ agents: count, memories: count * 3, unchanged: false });
  expect(await eventCount()).toBe(1);
  const seen = await globe();
  expect(seen.agents.ids).toEqual(agentIds);
  expect(seen.memories.ids).toHaveLength(count * 3);
  expect(seen.from).toBe('2026-01-01T00:00:00.000Z');
  expect(seen.to).toBe('2026-01-01T00:35:00.000Z');
  expect(seen.memories.times).toEqual(seen.memories.times.toSorted((a, b) => a - b));
  const apart = { same: [] as number[], other: [] as number[] };
  for (const [a, id] of seen.memories.ids.entries()) {
    for (const [b, other] of seen.memories.ids.entries()) {
      if (a >= b) continue;
      const isSame = seen.memories.agents[a]! % 3 === seen.memories.agents[b]! % 3;
      apart[isSame ? 'same' : 'other'].push(angleBetween(placeOf(seen, id), placeOf(seen, other)));
    }
  }
  expect(mean(apart.same)).toBeLessThan(mean(apart.other) / 2);
});

test('nothing new moves nobody; what is new moves the others little', async () => {
  const before = await globe();
  expect(await place('second')).toEqual({ agents: count, memories: count * 3, unchanged: true });
  expect(await globe()).toEqual(before);
  expect(await eventCount()).toBe(1);

  await tell([{ agentId: agentIds[0]!, text: `${topics[0]!} once more`, at: 50 }]);
  expect(await place('third')).toMatchObject({ memories: count * 3 + 1, unchanged: false });
  const after = await globe();
  expect(after.to).toBe('2026-01-01T00:50:00.000Z');
  expect(mean(before.memories.ids.map((id) => angleBetween(placeOf(before, id), placeOf(after, id))))).toBeLessThan(
    0.25,
  );
});

test('an early one that ends after one of all changes nothing', async () => {
  const before = await globe();
  expect(await place(earlyGlobePeriod)).toEqual({ agents: count, memories: count * 3 + 1, unchanged: true });
  await createGlobeStore(stage.db).store(testOwner, {
    period: earlyGlobePeriod,
    model: hashedEmbedder.model,
    digest: Buffer.from('early'),
    agents: [],
    memories: [],
  });
  expect(await globe()).toEqual(before);
});

test('two at once follow one another', async () => {
  await tell([{ agentId: agentIds[1]!, text: `${topics[1]!} again`, at: 51 }]);
  const both = await Promise.all([place('one-of-two'), place('two-of-two')]);
  expect(both.map(({ memories }) => memories)).toEqual([count * 3 + 2, count * 3 + 2]);
  expect((await globe()).memories.ids).toHaveLength(count * 3 + 2);
});

test('who remembers nothing stands by its persona, as soon as that has a vector', async () => {
  const before = await globe();
  expect(before.agents.ids).not.toContain(silent);
  const { persona } = await stage.db
    .selectFrom('agents')
    .select('persona')
    .where('id', '=', silent)
    .executeTakeFirstOrThrow();
  const [vector] = await hashedEmbedder.embed([persona]);
  await stage.embeddings.put(hashedEmbedder.model, [
    { ownerId: testOwner, contentHash: contentHash(persona), vector: vector! },
  ]);
  expect(await place('persona')).toMatchObject({ agents: count + 1, unchanged: false });
  expect((await globe()).agents.ids).toContain(silent);
});

test('asked for by hand it is of all that is remembered by now, also of what no Schedule has embedded yet', async () => {
  const { memories } = await place('before-by-hand');
  const text = `${topics[2]!} and nobody has embedded it`;
  await stage.remember([
    {
      agentId: agentIds[2]!,
      externalKey: 'by-hand',
      kind: 'observation' as const,
      text,
      importance: 9,
      source: 'test',
      occurredAt: '2026-01-01T00:52:00Z',
    },
  ]);
  expect(await place('after-by-hand')).toMatchObject({ memories, unchanged: true });
  expect(await place(callPeriod('by-hand'))).toMatchObject({ memories: memories + 1, unchanged: false });
  expect((await globe()).memories.texts).toContain(text);
});

test('a damaged vector is left out until it is whole again', async () => {
  const { memories } = await place('whole');
  const text = `${topics[0]!} once more`;
  const damaged = stage.db
    .updateTable('embeddings')
    .where('ownerId', '=', testOwner)
    .where('contentHash', '=', contentHash(text));
  const { vector } = await stage.db
    .selectFrom('embeddings')
    .select('vector')
    .where('contentHash', '=', contentHash(text))
    .executeTakeFirstOrThrow();
  await damaged.set({ vector: vector.subarray(4) }).execute();
  expect(await place('damaged')).toMatchObject({ memories: memories - 1, unchanged: false });
  await damaged.set({ vector }).execute();
  expect(await place('mended')).toMatchObject({ memories, unchanged: false });
});

test('a thread is an arc from memory to memory, a cluster a region, and what is forgotten is told no more', async () => {
  const { memories } = await globe();
  const [a, b, c] = [memories.ids[0]!, memories.ids[9]!, memories.ids[18]!];
  const thread = 'thr_01900000-0000-7000-8000-000000000001';
  await stage.db
    .insertInto('threads')
    .values({ id: thread, ownerId: testOwner, kind: 'same_event', memories: 3, agents: 3 })
    .execute();
  await stage.db
    .insertInto('threadMemories')
    .values([c, a, b].map((memoryId) => ({ memoryId, kind: 'same_event', threadId: thread, score: 1 })))
    .execute();
  await stage.db
    .insertInto('threadLinks')
    .values(
      [
        [a, b],
        [a, c],
        [b, c],
      ].map(([memoryId, otherId]) => ({
        kind: 'same_event',
        memoryId: memoryId!,
        otherId: otherId!,
        score: 1,
        cosine: 1,
        overlap: 1,
        hours: 0,
      })),
    )
    .execute();
  await stage.clusters.store({
    ownerId: testOwner,
    period: 'globe',
    model: hashedEmbedder.model,
    agents: count,
    sampledShare: 1,
    memoryLimitMib: 256,
    seconds: 0,
    skipped: false,
    reason: '',
    clusters: [{ members: agentIds.filter((_, i) => i % 3 === 0), terms: [{ term: 'ferry', outputs: [] }] }],
  });
  const seen = await globe();
  const at = (id: string) => seen.memories.ids.indexOf(id);
  expect(seen.arcs).toEqual([
    { threadId: thread, kind: 'same_event', from: at(a), to: at(b) },
    { threadId: thread, kind: 'same_event', from: at(b), to: at(c) },
  ]);
  expect(seen.regions).toMatchObject([{ terms: ['ferry'], members: 4 }]);

  await stage.memories.delete(testOwner, b, 'asked');
  const later = await globe();
  expect(later.memories.ids).not.toContain(b);
  expect(later.memories.ids).toHaveLength(seen.memories.ids.length - 1);
  expect(later.arcs).toEqual([
    { threadId: thread, kind: 'same_event', from: later.memories.ids.indexOf(a), to: later.memories.ids.indexOf(c) },
  ]);
  expect(await readGlobe(stage.db, 'usr_other')).toMatchObject({ placedAt: null, regions: [], arcs: [] });
});
