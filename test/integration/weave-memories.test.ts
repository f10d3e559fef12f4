import { WorkflowIdReusePolicy } from '@temporalio/client';
import { sql } from 'kysely';
import { afterEach, expect, test } from 'vitest';
import { createThreadActivities, type ThreadDeps } from '../../activities/threads.ts';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { DomainError } from '../../domain/errors.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { worldMemories } from '../../domain/world.ts';
import { createEmbeddingStore } from '../../stores/embeddings.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import type { NewMemory } from '../../stores/memories.ts';
import { createThreadStore } from '../../stores/threads.ts';
import { createWeavingStore } from '../../stores/weaving.ts';
import type { WeaveMemoriesResult } from '../../workflows/weave-memories.ts';
import { testFleet } from '../support/fleets.ts';
import { hashedEmbedder } from '../support/hashed-embedder.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';
import { threadFaults, threadRows, threadsByContent } from '../support/threads.ts';

let stages: Stage[] = [];
afterEach(async () => {
  for (const stage of stages) await stage.close();
  stages = [];
});

/** A stage on which the thread activities may be changed: their stores, their embedder, how much goes into one transaction. */
async function open(change: (deps: ThreadDeps) => Partial<ThreadDeps> = () => ({}), agents = 6): Promise<Stage> {
  let stage: Stage | undefined;
  const late = () => {
    const { db } = stage!;
    const deps: ThreadDeps = {
      threads: createThreadStore(db),
      weaving: createWeavingStore(db),
      embeddings: createEmbeddingStore(db),
      embedderOf: () => hashedEmbedder,
      fleet: createFleetReader(createFleetStore(db)),
    };
    return createThreadActivities({ ...deps, ...change(deps) });
  };
  let made: ReturnType<typeof createThreadActivities> | undefined;
  stage = await openStage(testFleet({ heavy: 0, light: agents }), () => ({
    weavePending: (input) => (made ??= late()).weavePending(input),
    endQuietThreads: (input) => (made ??= late()).endQuietThreads(input),
  }));
  stages.push(stage);
  return stage;
}

function startWeave(stage: Stage, id: string) {
  return stage.client.workflow.start('weaveMemories', {
    workflowId: `weave:call-${id}`,
    taskQueue: coordinationQueue,
    args: [{}],
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
  });
}
let calls = 0;
async function weave(stage: Stage): Promise<WeaveMemoriesResult> {
  calls += 1;
  return (await (await startWeave(stage, String(calls))).result()) as WeaveMemoriesResult;
}

const today = Date.now() - 12 * 3_600_000;
function memory(agent: number, hour: number, text: string): NewMemory {
  return {
    agentId: `light-00${agent}`,
    externalKey: text.slice(0, 40),
    kind: 'observation',
    text,
    importance: 5,
    source: 'test',
    occurredAt: new Date(today + hour * 3_600_000).toISOString(),
  };
}
const crack = 'In the harbour tower the great bell cracked while Osk Bramley was ringing it.';
const cracked = 'Osk Bramley rang in the harbour tower, and I saw the great bell get its crack.';
const cracking = 'I stood in the harbour tower with Osk Bramley when the great bell cracked.';
/** An hour and more apart from the first, so that only what stands between links them. */
const chain = [memory(1, 0, crack), memory(2, 1.5, cracked), memory(3, 3, cracking)];

/** The shipped world in the places of the test's few agents. */
function world(days: number): NewMemory[] {
  const agents = Array.from({ length: 6 }, (_, i) => ({
    id: `light-00${i + 1}`,
    name: `Una${i} Light`,
    archetypeId: 'light',
    traits: ['steady'],
  }));
  return [...worldMemories(agents, { seed: 5, endsAt: new Date().toISOString(), days })];
}

const idOf = async (stage: Stage, text: string) =>
  (await stage.db.selectFrom('memories').select('id').where('text', '=', text).executeTakeFirstOrThrow()).id;
const events = async (stage: Stage) =>
  (await stage.db.selectFrom('events').select('type').where('type', 'like', 'thread.%').orderBy('id').execute()).map(
    ({ type }) => type,
  );

test('links what different agents remember, once: a second weaving changes nothing', async () => {
  const stage = await open();
  await stage.remember(world(20));
  const first = await weave(stage);
  expect(first.woven).toBeGreaterThan(250);
  expect(first.opened).toBeGreaterThan(10);
  expect(await threadFaults(stage.db)).toEqual([]);
  const rows = await threadRows(stage.db);
  const second = await weave(stage);
  expect(second).toMatchObject({ woven: 0, opened: 0, grown: 0, split: 0, ended: 0 });
  expect(await threadRows(stage.db)).toBe(rows);
});

test('the outcome is the same whatever died where: before or after each commit, in the model, twice at once', async () => {
  const plain = await open((_deps) => ({ batch: 75 }));
  await plain.remember(world(4));
  await weave(plain);
  const expected = await threadsByContent(plain.db);
  expect(expected.length).toBeGreaterThan(5);

  let commits = 0;
  let calls = 0;
  const broken = await open(({ threads }) => ({
    batch: 75,
    threads: {
      ...threads,
      async weave(input) {
        commits += 1;
        if (commits % 3 === 0) throw new Error('killed before the commit');
        const woven = await threads.weave(input);
        if (commits % 3 === 1) throw new Error('killed after the commit');
        return woven;
      },
    },
    embedderOf: () => ({
      model: hashedEmbedder.model,
      embed(texts) {
        calls += 1;
        if (calls % 4 === 0) return Promise.reject(new DomainError('EMBEDDINGS_FAILED', 'it does not answer'));
        return hashedEmbedder.embed(texts);
      },
    }),
  }));
  await broken.remember(world(4));
  // Two weavings at the same time: each batch is woven by one of them.
  const both = await Promise.all([startWeave(broken, 'a'), startWeave(broken, 'b')]);
  await Promise.all(both.map((handle) => handle.result()));
  expect(commits).toBeGreaterThan(4);
  expect(await threadsByContent(broken.db)).toEqual(expected);
  expect(await threadFaults(broken.db)).toEqual([]);
}, 120_000);

test('what commits late, behind what has been woven, is woven by the next', async () => {
  const stage = await open();
  const [first, between, last] = chain;
  await stage.remember([first!, last!]);
  expect(await weave(stage)).toMatchObject({ woven: 2, opened: 0 });
  await stage.remember([between!]);
  expect(await weave(stage)).toMatchObject({ woven: 1, opened: 1, grown: 0 });
  expect(await threadsByContent(stage.db)).toHaveLength(1);
});

test('a thread grows, is one with another that it turns out to belong to, and keeps its id', async () => {
  const stage = await open();
  await stage.remember([memory(1, 0, crack), memory(2, 0.2, cracked)]);
  await weave(stage);
  const [opened] = await stage.db.selectFrom('threads').select(['id', 'titleMemoryId']).execute();
  await stage.remember([
    memory(3, 3, cracking),
    memory(4, 3.2, 'With Osk Bramley I saw in the harbour tower that the great bell cracked.'),
  ]);
  expect(await weave(stage)).toMatchObject({ opened: 1 });
  // In between, and near enough to both.
  await stage.remember([memory(5, 1.6, 'The great bell cracked under Osk Bramley in the harbour tower, I saw it.')]);
  expect(await weave(stage)).toMatchObject({ woven: 1, grown: 1, ended: 1 });
  const threads = await stage.db.selectFrom('threads').selectAll().orderBy('id').execute();
  expect(threads).toMatchObject([
    { id: opened!.id, state: 'live', memories: 5, agents: 5, titleMemoryId: opened!.titleMemoryId },
    { state: 'ended', endedBy: 'merged', mergedInto: opened!.id, memories: 0 },
  ]);
  expect(await events(stage)).toEqual(['thread.opened', 'thread.opened', 'thread.grown', 'thread.ended']);
  expect(await threadFaults(stage.db)).toEqual([]);
});

test('what is deleted leaves its thread, which splits where nothing else holds it; forgotten text stands nowhere', async () => {
  const stage = await open();
  await stage.remember([
    memory(4, -0.3, 'The great bell cracked in the harbour tower; Osk Bramley let go of the rope.'),
    ...chain,
    memory(5, 3.2, 'In the harbour tower Osk Bramley stood by the great bell, and it had cracked.'),
  ]);
  await weave(stage);
  const [whole] = await stage.db.selectFrom('threads').selectAll().execute();
  expect(whole).toMatchObject({ memories: 5 });
  await stage.memories.delete(testOwner, await idOf(stage, cracked), 'a mistake');
  const parts = await stage.db.selectFrom('threads').selectAll().orderBy('id').execute();
  expect(parts).toMatchObject([
    { id: whole!.id, memories: 2, state: 'live' },
    { parentId: whole!.id, memories: 2, state: 'live' },
  ]);
  expect(await events(stage)).toEqual(['thread.opened', 'thread.opened', 'thread.split']);
  expect(await threadFaults(stage.db)).toEqual([]);

  await stage.memories.forget(testOwner, await idOf(stage, cracking), 'she asked');
  expect(await threadFaults(stage.db)).toEqual([]);
  const left = await stage.db.selectFrom('threads').select(['state', 'endedBy']).orderBy('id').execute();
  expect(left.filter(({ endedBy }) => endedBy === 'emptied')).toHaveLength(1);
  expect(await threadRows(stage.db)).not.toContain('Bramley');
  // Not woven again either.
  await stage.remember([memory(6, 3.1, 'Osk Bramley and the great bell of the harbour tower: it cracked before us.')]);
  await weave(stage);
  expect(await threadFaults(stage.db)).toEqual([]);
});

test('memories that come, go and are forgotten while it weaves: no deadlock, nothing left over, nothing held wrongly', async () => {
  const stage = await open((_deps) => ({ batch: 25 }));
  const all = world(3);
  await stage.remember(all.slice(0, 150));
  const ids = (await stage.db.selectFrom('memories').select('id').orderBy('id').execute()).map(({ id }) => id);
  const going = startWeave(stage, 'storm-a').then((handle) => handle.result());
  const also = startWeave(stage, 'storm-b').then((handle) => handle.result());
  const coming = (async () => {
    for (let from = 150; from < all.length; from += 15) await stage.remember(all.slice(from, from + 15));
  })();
  const leaving = Promise.all(
    ids
      .filter((_, i) => i % 5 === 0)
      .map((id, i) =>
        i % 2 === 0 ? stage.memories.delete(testOwner, id, 'gone') : stage.memories.forget(testOwner, id, 'asked'),
      ),
  );
  await Promise.all([going, also, coming, leaving]);
  await weave(stage);
  const { count } = await stage.db
    .selectFrom('unwovenMemories')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  expect(count).toBe(0);
  expect(await threadFaults(stage.db)).toEqual([]);
}, 60_000);

test('a thread to which nothing comes ends; what comes late to it finds it again', async () => {
  const stage = await open();
  const old = -20 * 24;
  await stage.remember([
    memory(1, old, crack),
    memory(2, old + 0.5, cracked),
    memory(3, 0, 'The ferry sailed with nobody on it.'),
  ]);
  expect(await weave(stage)).toMatchObject({ opened: 1, ended: 1 });
  const [ended] = await stage.db.selectFrom('threads').selectAll().execute();
  expect(ended).toMatchObject({ state: 'ended', endedBy: 'quiet' });
  await stage.remember([memory(4, old + 0.7, cracking)]);
  expect(await weave(stage)).toMatchObject({ opened: 0, grown: 1, ended: 0 });
  expect(await stage.db.selectFrom('threads').selectAll().execute()).toMatchObject([
    { id: ended!.id, state: 'ended', endedAt: ended!.endedAt, memories: 3 },
  ]);
  // One of today ends when its time has come, by the period and not by the clock.
  await stage.remember([
    memory(5, 1, 'The weir broke open; Jory Pell stood in the water at the mill race.'),
    memory(6, 1.2, 'Jory Pell stood at the mill race in the water, for the weir broke.'),
  ]);
  expect(await weave(stage)).toMatchObject({ opened: 1, ended: 0 });
  expect(await stage.threads.endQuiet(testOwner, new Date(today + 2 * 3_600_000), 10)).toBe(1);
  expect(await stage.threads.endQuiet(testOwner, new Date(today + 2 * 3_600_000), 10)).toBe(0);
});

test('narrower windows in fleet.yaml: links that span more hold no longer once their thread is touched', async () => {
  const stage = await open();
  await stage.remember(chain);
  await weave(stage);
  const fleet = testFleet({ heavy: 0, light: 6 });
  fleet.threads.eventWindow = '30m';
  await stage.apply(fleet);
  await stage.remember([memory(4, 3.1, 'The great bell of the harbour tower cracked before Osk Bramley and me.')]);
  await weave(stage);
  expect(await threadFaults(stage.db)).toEqual([]);
  const threads = await stage.db.selectFrom('threads').select(['state', 'memories']).execute();
  expect(threads).toEqual([{ state: 'live', memories: 2 }]);
});

test('a reflection, what was inherited or superseded, and a copy are not woven', async () => {
  const stage = await open();
  await stage.remember([
    memory(1, 0, crack),
    { ...memory(2, 0.2, cracked), kind: 'reflection' },
    { ...memory(3, 0, crack), externalKey: 'copy' },
    {
      ...memory(5, 0.1, 'Osk Bramley rang the great bell of the harbour tower until it cracked.'),
      source: 'inherited:light-009',
    },
    memory(4, 0.3, cracking),
  ]);
  await stage.memories.supersede(testOwner, await idOf(stage, cracking), {
    externalKey: 'corrected',
    text: 'I was at home that day and saw nothing.',
    importance: 5,
    source: 'test',
    occurredAt: new Date(today + 3_600_000).toISOString(),
  });
  await weave(stage);
  expect(await threadsByContent(stage.db)).toEqual([]);
  expect((await sql`select from unwoven_memories`.execute(stage.db)).rows).toEqual([]);
});
