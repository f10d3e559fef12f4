import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createConsolidationStore } from '../../stores/consolidation.ts';
import { contentHash, createEmbeddingStore } from '../../stores/embeddings.ts';
import { newId } from '../../stores/ids.ts';
import { createOutputStore, outputTexts } from '../../stores/outputs.ts';
import { createSourceDropStore } from '../../stores/source-drops.ts';
import { createMemoryStore, type NewMemory } from '../../stores/memories.ts';
import { testFleet } from '../support/fleets.ts';
import { applyRetention } from '../support/retention.ts';
import { until } from '../support/lab.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

/** How far forgetting reaches: what else holds the words, and what goes only because that goes. */
let store: StoreScope;
let memories: ReturnType<typeof createMemoryStore>;
let consolidation: ReturnType<typeof createConsolidationStore>;

beforeAll(async () => {
  store = await openStoreScope();
  await store.apply(testFleet({ light: 3 }));
  memories = createMemoryStore(store.db);
  consolidation = createConsolidationStore(store.db);
});
afterAll(() => store?.close());

const agentId = 'light-001';
let told = 0;
async function tell(text: string, of: Partial<NewMemory> = {}): Promise<string> {
  told += 1;
  const externalKey = `told-${told}`;
  const memory = { agentId, externalKey, kind: 'observation' as const, text, importance: 5, source: 'test', ...of };
  await memories.add(testOwner, [{ ...memory, occurredAt: '2026-01-01T00:00:00.000Z' }]);
  const { id } = await store.db
    .selectFrom('memories')
    .select('id')
    .where('agentId', '=', memory.agentId)
    .where('externalKey', '=', memory.externalKey)
    .executeTakeFirstOrThrow();
  return id;
}
/** Puts one memory in the place of these. */
async function quote(ids: string[], agent = agentId): Promise<string> {
  const members = await consolidation.read(ids);
  expect(await consolidation.consolidate(testOwner, agent, [{ members }])).toMatchObject({ freed: ids.length - 1 });
  return (await row(ids[0]!)).supersededBy!;
}
const row = (id: string) => store.db.selectFrom('memories').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
const textsOf = async (ids: string[]) => Promise.all(ids.map(async (id) => (await row(id)).text));
const lives = async (id: string) => {
  const { deletedAt, supersededAt, text } = await row(id);
  return deletedAt === null && supersededAt === null && text !== '';
};

test('of a consolidated memory all that it quotes goes with it, and what quotes it; others quoted there live again', async () => {
  const members = [await tell('Odalys came at dawn.'), await tell('Her boat is the white one.')];
  const pair = await quote(members);
  const third = await tell('She left a lantern.');
  const group = await quote([pair, third]);
  const beside = await tell('Nobody saw the heron.');
  const above = await quote([group, beside]);
  const would = await memories.forgettable(testOwner, group);
  const gone = await memories.forget(testOwner, group, 'she asked');
  expect(gone).toEqual(would);
  expect(gone.forgotten.toSorted()).toEqual([...members, pair, third].toSorted());
  expect(await textsOf([...members, pair, third, group, above])).toEqual(['', '', '', '', '', '']);
  expect(await lives(beside)).toBe(true);
  const { rows } = await sql`select id from memories where text like '%Odalys%' or text like '%lantern%'`.execute(
    store.db,
  );
  expect(rows).toEqual([]);
  const { memoryRev } = await store.db
    .selectFrom('agents')
    .select('memoryRev')
    .where('id', '=', agentId)
    .executeTakeFirstOrThrow();
  expect((await row(beside)).rev).toBe(memoryRev);
});

test('an answer that quotes it, and has been quoted itself, goes there too', async () => {
  const words = 'The miller buried seven coins beneath his doorstep.';
  const own = await tell(words);
  const answer = `You told me: ${words} I have not looked.`;
  const reply = await tell(answer, { kind: 'reply', source: agentId });
  const messageId = newId('message');
  await sql`insert into messages (id, owner_id, agent_id, conversation_id, author_id, author, text, content_hash, state, wanted_model_id,
      model_id, queue, answer, source, reply_memory_id, ended_at)
    values (${messageId}, ${testOwner}, ${agentId}, 'cnv', 'tok', 'Ada', 'Where?', 'x', 'answered', 'light', 'light', 'q', ${answer},
      'model', ${reply}, now())`.execute(store.db);
  const beside = await tell('Good night then.', { kind: 'reply', source: agentId });
  const quotation = await quote([reply, beside]);
  const gone = await memories.forget(testOwner, own, 'he asked');
  expect(gone.forgotten).toEqual([messageId]);
  expect(await textsOf([own, reply, quotation])).toEqual(['', '', '']);
  expect(await lives(beside)).toBe(true);
});

test('what is said between the search and the lock is found under the lock, and what was sought by then is sought anew', async () => {
  const words = 'The ferryman keeps his savings in the hollow oar.';
  const [own, member] = [await tell(words), await tell('The cooper drinks alone behind the old brewery on Sundays.')];
  const quotation = await quote([own, member]);
  const answers = [`I heard that ${words}`, 'The cooper drinks alone behind the old brewery on Sundays, they say.'];
  const messageIds = answers.map(() => newId('message'));
  let replies: string[] = [];
  let forgetting: ReturnType<typeof memories.forget> | undefined;
  await store.db.transaction().execute(async (tx) => {
    await sql`select id from agents where id = ${agentId} for update`.execute(tx);
    forgetting = memories.forget(testOwner, quotation, 'he asked');
    await until('it has searched and waits for the agent', async () => {
      const { rows } = await sql`select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%agents%for update%'`.execute(
        store.db,
      );
      return rows.length > 0;
    });
    // One of what is quoted is forgotten by itself, and both are said.
    await sql`update memories set text = '', deleted_at = now(), deleted_reason = 'asked' where id = ${member}`.execute(
      tx,
    );
    const made = answers.map((text, i) => ({
      agentId,
      externalKey: `between-${i}`,
      kind: 'reply' as const,
      text,
      importance: 5,
      source: agentId,
      occurredAt: '2026-01-01T00:00:00.000Z',
    }));
    await memories.add(testOwner, made, tx);
    const rows = await tx
      .selectFrom('memories')
      .select(['id', 'text'])
      .where('externalKey', 'in', ['between-0', 'between-1'])
      .orderBy('externalKey')
      .execute();
    replies = rows.map(({ id }) => id);
    for (const [i, answer] of answers.entries())
      await sql`insert into messages (id, owner_id, agent_id, conversation_id, author_id, author, text, content_hash, state, wanted_model_id,
          model_id, queue, answer, source, reply_memory_id, ended_at)
        values (${messageIds[i]!}, ${testOwner}, ${agentId}, 'cnv', 'tok', 'Ada', 'What?', 'x', 'answered', 'light', 'light', 'q',
          ${answer}, 'model', ${replies[i]!}, now())`.execute(tx);
  });
  const gone = await forgetting!;
  expect(gone.forgotten).toContain(messageIds[0]);
  expect(await textsOf([own, quotation, replies[0]!])).toEqual(['', '', '']);
  // The quotation itself told of the cooper, too.
  expect(gone.forgotten).toContain(messageIds[1]);
});

test('two who forget what stands in the same threads never wait for each other in a ring', async () => {
  const other = 'light-002';
  const [first, last] = ['thr_a', 'thr_b'];
  const own = [await tell('Ash tree one.'), await tell('Ash tree two.')].toSorted();
  const theirs = [await tell('Elm one.', { agentId: other }), await tell('Elm two.', { agentId: other })].toSorted();
  const [mine, others] = [await quote(own), await quote(theirs, other)];
  await sql`insert into threads (id, owner_id, kind, state, ended_at, ended_by, title_memory_id)
    select id, ${testOwner}, 'same_event', 'ended', now(), 'quiet', ${own[0]!} from unnest(${[first, last]}::text[]) as t (id)`.execute(
    store.db,
  );
  await sql`insert into thread_memories (memory_id, kind, thread_id, score) select m, 'same_event', t, 1
    from unnest(${[own[0]!, own[1]!, theirs[0]!, theirs[1]!]}::text[], ${[last, first, first, last]}::text[]) as s (m, t)`.execute(
    store.db,
  );
  const waiting = async () => {
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`.execute(store.db);
    return rows[0]!.n;
  };
  const both: Array<Promise<unknown>> = [];
  await store.db.transaction().execute(async (tx) => {
    await sql`select id from threads where id = ${last} for update`.execute(tx);
    both.push(memories.forget(testOwner, mine, 'asked for'));
    await until('the first waits', async () => (await waiting()) === 1);
    both.push(memories.forget(testOwner, others, 'asked for'));
    await until('both wait', async () => (await waiting()) === 2);
  });
  await Promise.all(both);
  expect(await textsOf([...own, ...theirs])).toEqual(['', '', '', '']);
});

test('what is forgotten, deleted, quoting others or inherited is no output, and no drop to feed on; what the limit took was said all the same', async () => {
  const speaker = 'light-003';
  const outputs = createOutputStore(store.db);
  const own = (text: string, of: Partial<NewMemory> = {}) =>
    tell(text, { agentId: speaker, kind: 'drop', source: speaker, ...of });
  const said = await own('Owls are late.');
  const gone = await own('Owls owe Wendeline nine crowns.', { kind: 'reflection' });
  const deleted = await own('Owls left.', { kind: 'reflection' });
  await own('Owls of my parent.', { source: 'inherited:light-002', externalKey: 'inherited:mem_x' });
  const [here, there] = [await own('Owls here.'), await own('Owls there.')];
  const quotation = await quote([here, there], speaker);
  await memories.forget(testOwner, gone, 'asked for');
  await memories.delete(testOwner, deleted, 'a mistake');
  expect((await outputs.last([speaker], 10)).map(({ id }) => id)).toEqual([there, here, said]);
  const placed = await outputs.firstAndLast({ agentIds: [speaker], model: 'none', first: 10, last: 10 });
  expect(placed.map(({ id, total }) => [id, total])).toEqual([said, here, there].map((id) => [id, 3]));
  expect([...(await outputTexts(store.db, testOwner, [said, gone, deleted, quotation])).keys()]).toEqual([said]);
  const drops = await createSourceDropStore(store.db).after({
    ownerId: testOwner,
    agentId: speaker,
    seq: 0,
    limit: 10,
  });
  expect(drops.map(({ id }) => id)).toEqual([said]);
});

test('a whisper goes with the memory that tells it: its notice, its drafts, and where the same words were refused', async () => {
  const words = 'Find me someone who knew my brother Anselm.';
  const [born, refused, other] = [newId('whisper'), newId('whisper'), newId('whisper')];
  const whisper = async (id: string, text: string, child: string | null) =>
    sql`insert into whispers (id, owner_id, source, parent_id, lineage_id, text, state, reason_code, requested_by, request_id, body_hash,
        received_at, admitted_at, agent_id, ended_at)
      values (${id}, ${testOwner}, 'api', 'light-001', 'light-001', ${text}, ${child === null ? 'refused' : 'spawned'},
        ${child === null ? 'FLEET_RATE' : ''}, 'tok', ${id}, 'x', now(), now(), ${child}, now())`.execute(store.db);
  await whisper(born, words, 'light-002');
  await whisper(refused, words, null);
  await whisper(other, 'Somebody who can whistle.', null);
  await sql`insert into notices (id, owner_id, kind, key, subject, title, detail, resolved_at)
    values ('ntc_w', ${testOwner}, 'whisper_waiting', ${`whisper:${born}`}, ${born}, 'waits', ${words}, now())`.execute(
    store.db,
  );
  const { rows: machines } = await sql<{ id: string }>`select id from machines limit 1`.execute(store.db);
  await sql`insert into step_results (work_id, step, machine_id, epoch, result)
    values (${born}, 'persona-1', ${machines[0]!.id}, 1, ${JSON.stringify({ persona: words })}::jsonb)`.execute(
    store.db,
  );
  const id = await tell(words, { agentId: 'light-002', kind: 'whisper', externalKey: born, source: `whisper:${born}` });
  await memories.forget(testOwner, id, 'asked for');
  const { rows } = await sql`
    select id from whispers where text like '%Anselm%' union all select id from notices where detail like '%Anselm%'
    union all select work_id from step_results where result::text like '%Anselm%'`.execute(store.db);
  expect(rows).toEqual([]);
  const kept = await sql<{ text: string }>`select text from whispers where id = ${other}`.execute(store.db);
  expect(kept.rows).toEqual([{ text: 'Somebody who can whistle.' }]);
});

test('a vector that comes after its text was forgotten is not stored; one that nobody has a text for is taken away', async () => {
  const embeddings = createEmbeddingStore(store.db);
  const [kept, gone] = ['The heron is grey.', 'Anneliese owes me a boat.'];
  await tell(kept);
  const id = await tell(gone);
  const vectors = [kept, gone].map((text) => ({
    ownerId: testOwner,
    contentHash: contentHash(text),
    vector: Float32Array.of(1, 0),
  }));
  await memories.forget(testOwner, id, 'asked for');
  const stored = async () => [
    ...(
      await embeddings.known(
        testOwner,
        'm',
        vectors.map((row) => row.contentHash),
      )
    ).keys(),
  ];
  await embeddings.put('m', vectors);
  expect(await stored()).toEqual([contentHash(kept).toString('hex')]);
  await embeddings.putAhead('m', vectors);
  expect(await stored()).toHaveLength(2);
  await sql`update embeddings set created_at = now() - interval '2 days'`.execute(store.db);
  await applyRetention(store.db);
  expect(await stored()).toEqual([contentHash(kept).toString('hex')]);
});
