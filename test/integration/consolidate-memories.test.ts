import { createHash } from 'node:crypto';
import { MockActivityEnvironment } from '@temporalio/testing';
import { sql } from 'kysely';
import { afterEach, expect, test } from 'vitest';
import { createConsolidationActivities, type ConsolidationDeps } from '../../activities/consolidation.ts';
import { createFleetReader } from '../../activities/fleet-view.ts';
import type { Fleet } from '../../domain/fleet.ts';
import { driftLimits } from '../../domain/drift.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createConsolidationStore } from '../../stores/consolidation.ts';
import { createEmbeddingStore } from '../../stores/embeddings.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { newId } from '../../stores/ids.ts';
import { createMemoryStore, type NewMemory } from '../../stores/memories.ts';
import { createMemorySearch } from '../../stores/memory-search.ts';
import { createWeavingStore } from '../../stores/weaving.ts';
import type { ConsolidateMemoriesResult } from '../../workflows/consolidate-memories.ts';
import { testFleet } from '../support/fleets.ts';
import { hashedEmbedder } from '../support/hashed-embedder.ts';
import { applyRetention } from '../support/retention.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';
import { threadFaults } from '../support/threads.ts';

let stages: Stage[] = [];
afterEach(async () => {
  for (const stage of stages) await stage.close();
  stages = [];
});

function fleetOf(limit = 100): Fleet {
  return testFleet({ heavy: 0, light: 3, limits: { memoriesPerAgent: limit } });
}
async function open(change: (deps: ConsolidationDeps) => Partial<ConsolidationDeps> = () => ({})): Promise<Stage> {
  let stage: Stage | undefined;
  let made: ReturnType<typeof createConsolidationActivities> | undefined;
  const late = () => {
    const { db } = stage!;
    const deps: ConsolidationDeps = {
      consolidation: createConsolidationStore(db),
      weaving: createWeavingStore(db),
      embeddings: createEmbeddingStore(db),
      fleet: createFleetReader(createFleetStore(db)),
    };
    return createConsolidationActivities({ ...deps, ...change(deps) });
  };
  stage = await openStage(fleetOf(), () => ({
    consolidateAgents: (input) => (made ??= late()).consolidateAgents(input),
  }));
  stages.push(stage);
  return stage;
}
let calls = 0;
async function consolidate(stage: Stage): Promise<ConsolidateMemoriesResult> {
  calls += 1;
  return (await stage.client.workflow.execute('consolidateMemories', {
    workflowId: `consolidate-memories:test-${calls}`,
    taskQueue: coordinationQueue,
    args: [{}],
  })) as ConsolidateMemoriesResult;
}

const agentId = 'light-001';
/** Every tenth says the same; importance rises with the number. */
function memories(count: number, agent = agentId): NewMemory[] {
  return Array.from({ length: count }, (_, i) => ({
    agentId: agent,
    externalKey: `m-${i}`,
    kind: 'observation' as const,
    text:
      i % 10 === 0
        ? 'The tide came in as ever.'
        : `Boat ${i} of ${agent} came to pier ${i % 9} with word${i} and word${i * 7}.`,
    importance: 1 + (i % 9),
    source: 'test',
    occurredAt: new Date(Date.UTC(2026, 0, 1) + i * 3_600_000).toISOString(),
  }));
}
const living = async (stage: Stage, agent = agentId) =>
  stage.db
    .selectFrom('memories')
    .selectAll()
    .where('agentId', '=', agent)
    .where('deletedAt', 'is', null)
    .where('supersededAt', 'is', null)
    .orderBy('seq')
    .execute();
async function embedAll(stage: Stage): Promise<void> {
  const embeddings = createEmbeddingStore(stage.db);
  const { model } = hashedEmbedder;
  await embeddings.models(testOwner, { kind: 'built-in' });
  const missing = await embeddings.missing({ ownerId: testOwner, model, limit: 5_000 });
  const vectors = await hashedEmbedder.embed(missing.map(({ text }) => text));
  await embeddings.put(
    model,
    missing.map((each, i) => ({ ...each, vector: vectors[i]! })),
  );
}
/** Rows that point to each other as they should, whatever has happened. */
async function faults(stage: Stage): Promise<string[]> {
  const { rows } = await sql<{ fault: string }>`
    select 'superseded by what is not there or another agent’s: ' || m.id as fault from memories m
      left join memories s on s.id = m.superseded_by
      where m.superseded_by is not null and (s.id is null or s.agent_id <> m.agent_id)
    union all
    select 'behind the count of its agent: ' || a.id from agents a
      where a.memory_seq <> (select coalesce(max(seq), 0) from memories m where m.agent_id = a.id)
        or a.memory_rev <> (select coalesce(max(rev), 0) from memories m where m.agent_id = a.id)
    union all
    select 'evidence was taken: ' || m.id from reflection_evidence e join memories m on m.id = e.memory_id
      where m.superseded_by is not null or m.deleted_at is not null
    union all
    select 'a quotation is to be woven: ' || m.id from unwoven_memories u join memories m on m.id = u.memory_id
      where m.source = 'consolidated'`.execute(stage.db);
  return [...rows.map(({ fault }) => fault), ...(await threadFaults(stage.db))];
}
/** A reflection that rests on these, as the memory of this id; without one the run that reads them is still open. */
async function reflectOn(stage: Stage, memoryIds: string[], ownId?: string): Promise<void> {
  const state = ownId === undefined ? 'running' : 'done';
  const runId = newId('run');
  await sql`insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, state, wanted_model_id, model_id, queue, expected_tokens, from_seq, to_seq, ended_at)
    values (${runId}, ${testOwner}, ${agentId}, ${runId}, 'call', 'p', ${state}, 'light_q4', 'light_q4', 'q', 1, 0, 1, ${state === 'done' ? new Date() : null})`.execute(
    stage.db,
  );
  if (ownId === undefined) return;
  await sql`update memories set kind = 'reflection', depth = 1 where id = ${ownId}`.execute(stage.db);
  const id = newId('reflection');
  await sql`insert into reflections (id, owner_id, agent_id, memory_id, run_id, ordinal, text, model_id, source, prompt_version, degraded, machine_id, tokens, seconds)
    values (${id}, ${testOwner}, ${agentId}, ${ownId}, ${runId}, 0, 'it comes back', 'light_q4', 'model', 'v', false, 'pc2', 1, 1)`.execute(
    stage.db,
  );
  await sql`insert into reflection_evidence (reflection_id, ordinal, memory_id)
    select ${id}, (n - 1)::smallint, memory_id from unnest(${memoryIds}::text[]) with ordinality as e (memory_id, n)`.execute(
    stage.db,
  );
}

test('brings an agent under its limit, the least useful first; what it drops is quoted, and searches see it', async () => {
  const stage = await open();
  await stage.remember([...memories(150), ...memories(80, 'light-002')]);
  await embedAll(stage);
  const search = createMemorySearch({
    db: stage.db,
    embedderOf: () => hashedEmbedder,
    settings: () => Promise.resolve({ kind: 'built-in' }),
    cacheBytes: () => 1 << 24,
    onFailure: (err) => {
      throw err;
    },
  });
  const ask = () =>
    search.search({ ownerId: testOwner, agentId, text: 'the tide', limit: 200, now: new Date(), used: false });
  expect((await ask()).scored).toBe(150);
  expect(await consolidate(stage)).toMatchObject({ agents: 1, freed: 60, over: 0, busy: 0 });
  const left = await living(stage);
  expect(left).toHaveLength(90);
  expect(await faults(stage)).toEqual([]);
  // What was said fifteen times stands in quotations, in its own words.
  const quotations = left.filter(({ source }) => source === 'consolidated');
  expect(quotations.length).toBeGreaterThan(1);
  for (const { id, text, importance, occurredAt } of quotations) {
    const members = await stage.db.selectFrom('memories').selectAll().where('supersededBy', '=', id).execute();
    for (const member of members) expect(text).toContain(member.text);
    expect(importance).toBe(Math.max(...members.map((member) => member.importance)));
    expect(occurredAt.getTime()).toBe(Math.min(...members.map((member) => member.occurredAt.getTime())));
  }
  const found = await ask();
  expect(found.scored).toBe(90);
  expect(found.found.map(({ id }) => id).sort()).toEqual(left.map(({ id }) => id).sort());
  expect(await living(stage, 'light-002')).toHaveLength(80);
  // Within its limit nothing is touched again.
  expect(await consolidate(stage)).toMatchObject({ agents: 0, freed: 0 });
});

test('evidence of a reflection, members of a live thread and reflections stay; what cannot give way is told', async () => {
  const stage = await open();
  await stage.remember(memories(140));
  const all = await living(stage);
  await reflectOn(
    stage,
    all.slice(0, 60).map(({ id }) => id),
    all[139]!.id,
  );
  await stage.remember([{ ...memories(1)[0]!, externalKey: 'theirs', agentId: 'light-002', text: 'The same tide.' }]);
  const [theirs] = await living(stage, 'light-002');
  const threadId = newId('thread');
  await sql`insert into threads (id, owner_id, kind) values (${threadId}, ${testOwner}, 'same_event')`.execute(
    stage.db,
  );
  const threaded = all.slice(60, 110).map(({ id }) => id);
  await sql`insert into thread_memories (memory_id, kind, thread_id, score)
    select id, 'same_event', ${threadId}, 1 from unnest(${[...threaded, theirs!.id]}::text[]) id`.execute(stage.db);

  expect(await consolidate(stage)).toMatchObject({ agents: 1, over: 1 });
  const kept = new Set((await living(stage)).map(({ id }) => id));
  for (const { id } of [...all.slice(0, 110), all[139]!]) expect(kept.has(id)).toBe(true);
  const notice = await stage.openNotice(`memory_limit:${agentId}`);
  expect(notice).toMatchObject({ kind: 'memory_limit', subject: agentId });

  // Once the thread has ended its members may go, and the notice with them.
  await sql`update threads set state = 'ended', ended_at = now(), ended_by = 'quiet'`.execute(stage.db);
  expect(await consolidate(stage)).toMatchObject({ agents: 1, over: 0 });
  expect((await living(stage)).length).toBeLessThanOrEqual(100);
  expect(await stage.openNotice(`memory_limit:${agentId}`)).toBeUndefined();
  const evidence = await stage.db.selectFrom('reflectionEvidence').select('memoryId').execute();
  const now = new Set((await living(stage)).map(({ id }) => id));
  expect(evidence.every(({ memoryId }) => now.has(memoryId))).toBe(true);

  // Nothing rests on a reflection that was itself taken away.
  await stage.memories.delete(testOwner, all[139]!.id, 'it was wrong');
  await stage.remember(
    memories(60).map((each) => ({ ...each, externalKey: `more-${each.externalKey}`, importance: 9 })),
  );
  expect(await consolidate(stage)).toMatchObject({ agents: 1, over: 0 });
  const rest = new Set((await living(stage)).map(({ id }) => id));
  expect(evidence.every(({ memoryId }) => rest.has(memoryId))).toBe(false);
});

test('quotations of what has been reflected on are not new; of what has not, they are', async () => {
  const stage = await open();
  await stage.remember(memories(130));
  const store = createMemoryStore(stage.db);
  // A run that kept an insight: its memory lies behind what was read.
  await sql`update agents set reflected_to_seq = 120 where id = ${agentId}`.execute(stage.db);
  expect(await consolidate(stage)).toMatchObject({ freed: 40 });
  const quotations = (await living(stage)).filter(({ source }) => source === 'consolidated');
  expect(quotations.length).toBeGreaterThan(0);
  const due = await store.between(agentId, 120, 10_000);
  const { rows: unread } = await sql<{ id: string }>`
    select distinct coalesce(superseded_by, id) as id from memories where agent_id = ${agentId} and deleted_at is null
      and source <> 'consolidated' and seq > 120`.execute(stage.db);
  expect(new Set(due.map(({ id }) => id))).toEqual(new Set(unread.map(({ id }) => id)));
  expect(due.filter(({ source }) => source === 'consolidated').length).toBeLessThan(quotations.length);
});

test('an agent that fails again and again is passed over and told of; the next one is consolidated', async () => {
  const stage = await open();
  await stage.remember([...memories(130), ...memories(130, 'light-003')]);
  const consolidation = createConsolidationStore(stage.db);
  let broken = true;
  const activities = createConsolidationActivities({
    consolidation: {
      ...consolidation,
      consolidate: (ownerId, agent, groups) =>
        broken && agent === agentId
          ? Promise.reject(new Error('a bad row'))
          : consolidation.consolidate(ownerId, agent, groups),
    },
    weaving: createWeavingStore(stage.db),
    embeddings: createEmbeddingStore(stage.db),
    fleet: createFleetReader(createFleetStore(stage.db)),
  });
  const run = (attempt: number) =>
    new MockActivityEnvironment({ attempt }).run(
      (input: { now: string; after: string }) => activities.consolidateAgents(input),
      { now: new Date().toISOString(), after: '' },
    );
  const notices = () =>
    stage.db
      .selectFrom('notices')
      .select(['subject', 'detail'])
      .where('kind', '=', 'consolidation_failing')
      .where('resolvedAt', 'is', null)
      .execute();
  await expect(run(1)).rejects.toThrow('a bad row');
  expect(await run(8)).toMatchObject({ agents: 1, freed: 40 });
  expect(await notices()).toEqual([{ subject: agentId, detail: 'a bad row' }]);
  broken = false;
  expect(await run(1)).toMatchObject({ freed: 40 });
  expect(await notices()).toEqual([]);
});

test('while a reflection reads, nothing is touched', async () => {
  const stage = await open();
  await stage.remember(memories(130));
  await reflectOn(stage, []);
  expect(await consolidate(stage)).toMatchObject({ agents: 1, freed: 0, busy: 1, over: 0 });
  expect(await living(stage)).toHaveLength(130);
  await sql`update runs set state = 'done', ended_at = now()`.execute(stage.db);
  expect(await consolidate(stage)).toMatchObject({ freed: 40, busy: 0 });
});

test('killed before or after each commit, twice at once, while memories come and go: within the limit, nothing lost', async () => {
  let commits = 0;
  const stage = await open(({ consolidation }) => ({
    consolidation: {
      ...consolidation,
      async consolidate(...input) {
        commits += 1;
        if (commits % 3 === 1) throw new Error('killed before the commit');
        const done = await consolidation.consolidate(...input);
        if (commits % 3 === 2) throw new Error('killed after the commit');
        return done;
      },
    },
  }));
  await stage.remember([...memories(400), ...memories(180, 'light-003')]);
  await embedAll(stage);
  const before = await living(stage);
  const going = [consolidate(stage), consolidate(stage)];
  const coming = (async () => {
    for (let i = 0; i < 10; i += 1) {
      await stage.remember([{ ...memories(1)[0]!, externalKey: `late-${i}`, text: `A late boat, the ${i}th.` }]);
      await stage.memories.delete(testOwner, before[i * 7]!.id, 'by hand');
      await stage.memories.forget(testOwner, before[i * 7 + 3]!.id, 'she asked');
    }
  })();
  await Promise.all([...going, coming]);
  await consolidate(stage);
  expect(commits).toBeGreaterThan(4);
  for (const agent of [agentId, 'light-003']) {
    const left = (await living(stage, agent)).length;
    expect(left).toBeLessThanOrEqual(100);
    // Two at once plan alike and do it once: not half of the agent’s memories are gone for it.
    expect(left).toBeGreaterThanOrEqual(80);
  }
  expect(await faults(stage)).toEqual([]);
  const gone = await stage.db
    .selectFrom('memories')
    .select(['deletedReason', (eb) => eb.fn.countAll<number>().as('count')])
    .where('deletedAt', 'is not', null)
    .groupBy('deletedReason')
    .execute();
  expect(gone.map(({ deletedReason }) => deletedReason)).toEqual(expect.arrayContaining(['by hand', 'she asked']));
}, 120_000);

test('what a person asks to forget is forgotten in every quotation too; what else stood there lives again', async () => {
  const stage = await open();
  await stage.remember(memories(150));
  await embedAll(stage);
  await consolidate(stage);
  const first = (await living(stage)).find(({ source }) => source === 'consolidated')!;
  const members = await stage.db.selectFrom('memories').selectAll().where('supersededBy', '=', first.id).execute();
  // A quotation of the quotation, as years bring it.
  const consolidation = createConsolidationStore(stage.db);
  const [other] = (await living(stage)).filter(({ source }) => source !== 'consolidated');
  const pair = await consolidation.read([first.id, other!.id]);
  expect(await consolidation.consolidate(testOwner, agentId, [{ members: pair }])).toEqual({ freed: 1, busy: false });
  const words = members[0]!.text;
  const before = (await living(stage)).length;
  await stage.memories.forget(testOwner, members[0]!.id, 'she asked');
  const { rows } = await sql<{ text: string }>`
    select text from memories where text like ${`%${words}%`} and id <> all(${members.map(({ id }) => id)}::text[])
      and source = 'consolidated' and id = ${first.id}`.execute(stage.db);
  expect(rows).toEqual([]);
  const now = await living(stage);
  const ids = new Set(now.map(({ id }) => id));
  expect(ids.has(other!.id)).toBe(true);
  for (const member of members.slice(1)) expect(ids.has(member.id)).toBe(true);
  expect(now).toHaveLength(before - 1 + 1 + members.length - 1);
  const forgotten = await stage.db.selectFrom('memories').select('id').where('text', '=', '').execute();
  expect(forgotten).toHaveLength(3);
  expect(await faults(stage)).toEqual([]);
});

test('what an agent said is what it is measured by, also once its limit has taken it; what somebody took is not', async () => {
  const stage = await open();
  /** Words that nothing else has. */
  const unlike = (of: string) =>
    Array.from({ length: 9 }, (_, n) =>
      createHash('sha256').update(`${of}/${n}`).digest('hex').replaceAll(/\d/g, ''),
    ).join(' ');
  // Old answers are the first to give way: those that are alike into quotations, others without a word.
  const replies = memories(80).map((memory, i) => ({
    ...memory,
    externalKey: `reply-${i}`,
    kind: 'reply' as const,
    text: i % 3 === 0 ? `I saw it: ${memory.text} ${i}` : unlike(`reply-${i}`),
    importance: 4,
    occurredAt: new Date(Date.UTC(2025, 0, 1) + i * 3_600_000).toISOString(),
  }));
  const seen = memories(60).map((memory, i) => ({ ...memory, text: unlike(`seen-${i}`), importance: 9 }));
  await stage.remember([...replies, ...seen]);
  await embedAll(stage);
  const said = async () =>
    (
      await stage.outputs.firstAndLast({
        agentIds: [agentId],
        model: hashedEmbedder.model,
        first: driftLimits.calibration,
        last: 0,
      })
    ).map(({ id, place, total, vector }) => ({ id, place, total, hasVector: vector !== null }));
  const before = await said();
  expect(before).toHaveLength(80);
  expect(await consolidate(stage)).toMatchObject({ agents: 1, over: 0 });
  const { rows } = await sql<{ quoted: number; entombed: number }>`
    select count(*) filter (where superseded_at is not null) as quoted, count(*) filter (where deleted_at is not null) as entombed
    from memories where kind = 'reply' and source = 'test'`.execute(stage.db);
  expect(rows[0]!.quoted).toBeGreaterThan(0);
  expect(rows[0]!.entombed).toBeGreaterThan(0);
  // Also after retention has taken the vectors that nothing needs any more.
  await sql`update embeddings set created_at = created_at - interval '30 days'`.execute(stage.db);
  await applyRetention(stage.db);
  expect(await said()).toEqual(before);

  // Two that are left, by somebody's hand.
  const [first, second] = (await living(stage)).filter(({ kind, source }) => kind === 'reply' && source === 'test');
  await stage.memories.delete(testOwner, first!.id, 'never said');
  const corrected = { externalKey: 'corrected', text: 'I keep two lamps.', importance: 4, source: 'test' };
  await stage.memories.supersede(testOwner, second!.id, { ...corrected, occurredAt: '2026-02-01T00:00:00.000Z' });
  const after = (await said()).map(({ id }) => id);
  expect(after).toHaveLength(79);
  expect(after).not.toContain(first!.id);
  expect(after).not.toContain(second!.id);
  // And two that gave way: one without a trace, one that a quotation tells.
  const { rows: gone } = await sql<{ id: string }>`
    (select id from memories where deleted_reason = 'consolidated' and kind = 'reply' and id = any(${after}) order by seq limit 1)
    union all
    (select m.id from memories m join memories q on q.id = m.superseded_by where q.source = 'consolidated' and m.deleted_at is null
      and m.id = any(${after}) order by m.seq limit 1)`.execute(stage.db);
  expect(gone).toHaveLength(2);
  for (const { id } of gone) await stage.memories.delete(testOwner, id, 'taken back');
  const left = (await said()).map(({ id }) => id);
  expect(left).toEqual(after.filter((id) => !gone.some((each) => each.id === id)));
});
