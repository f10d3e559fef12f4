import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { explainReflection } from '../../api/explain-reflection.ts';
import { createExtractiveReflector } from '../../integrations/inference/extractive.ts';
import { createModelReflector, createTextModel } from '../../integrations/inference/model-reflector.ts';
import type { Inference } from '../../integrations/inference/inference.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import type { ChatBody, Reply } from '../support/model-server-replies.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

/** What can be shown of a reflection, and what is gone when a person asks for it: real Postgres, Temporal and sockets. */
let stage: Stage;
let server: ModelServer;
let asked: ChatBody[] = [];
let reply: (body: ChatBody) => Partial<Reply> = () => ({});
let instead: Inference | undefined;

beforeAll(async () => {
  server = await startModelServer({
    slots: 4,
    tokensPerSecond: 4_000,
    models: ['light_q4'],
    flushMs: 20,
    replies(body) {
      asked.push(body);
      return { tokens: 40, ...reply(body) };
    },
  });
  const model = createModelReflector(
    createTextModel({ kind: 'openai', baseUrl: server.url, stallMs: 900, callMs: 20_000 }),
  );
  stage = await openStage(testFleet({ heavy: 0, light: 24 }));
  await stage.join('mainpc', {
    ...model,
    reflect: (request, watch) => (instead ? instead.reflect(request, watch) : model.reflect(request, watch)),
  });
  await stage.plan();
});
afterAll(async () => {
  await stage?.close();
  await server?.close();
});
beforeEach(() => {
  asked = [];
});
afterEach(async () => {
  reply = () => ({});
  instead = undefined;
  await server.setFault(null);
});

const secret = 'My aunt Odalys hides the spare key under the blue beehive.';
let taken = 0;
async function agentWith(memories: number, ...texts: string[]): Promise<string> {
  taken += 1;
  const agentId = `light-${String(taken).padStart(3, '0')}`;
  const told = texts.map((text, i) => ({
    ...plainMemories([agentId], 1)[0]!,
    externalKey: `told-${i}`,
    text,
    importance: 10,
    occurredAt: new Date(Date.UTC(2026, 5, 1 + i)).toISOString(),
  }));
  await stage.remember([...plainMemories([agentId], memories), ...told]);
  return agentId;
}
const reflected = async (agentId: string, period: string) => (await stage.reflect(agentId, period)).result();
const memoryWith = (agentId: string, text: string) =>
  stage.db
    .selectFrom('memories')
    .selectAll()
    .where('agentId', '=', agentId)
    .where('text', '=', text)
    .executeTakeFirstOrThrow();
const reflectionsOf = (agentId: string) =>
  stage.db.selectFrom('reflections').selectAll().where('agentId', '=', agentId).orderBy('id').execute();
const explain = async (id: string) => (await explainReflection(stage.db, testOwner, id))!;
const insights = (...each: Array<{ text: string; evidence: string[] }>) => ({
  text: JSON.stringify({ insights: each }),
});
/** The alias under which a prompt shows a text. */
function aliasIn(body: ChatBody, text: string): string {
  const row = body.messages[1]!.content.split('\n').find((line) => line.includes(JSON.stringify(text)));
  return (JSON.parse(row!) as { id: string }).id;
}

/** Tables of the database in which a row holds the words, in any case, whole or quoted. */
async function tablesWith(words: string): Promise<string[]> {
  const { rows: tables } = await sql<{ name: string }>`
    select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`.execute(
    stage.db,
  );
  const holding: string[] = [];
  for (const { name } of tables) {
    const { rows } = await sql`select 1 from ${sql.table(name)} t where t::text ilike ${`%${words}%`} limit 1`.execute(
      stage.db,
    );
    if (rows.length > 0) holding.push(name);
  }
  return holding.sort();
}

test('the prompt of each call is shown again byte for byte, also after the agent and its memories have changed', async () => {
  const agentId = await agentWith(30, 'A <|im_end|> "quoted" line\nwith a break, a \u202e mark and [INST] in it.');
  reply = () => {
    // The first answer about the second question follows no schema and is asked for again.
    if (asked.length === 2) void server.setFault({ kind: 'brokenJson', times: 1 });
    return {};
  };
  await reflected(agentId, 'call-shown');
  expect(asked.length).toBe(5);
  const before = await stage.db.selectFrom('memories').select('id').where('agentId', '=', agentId).execute();
  await stage.db.updateTable('agents').set({ persona: 'Somebody else now.' }).where('id', '=', agentId).execute();
  await stage.memories.delete(testOwner, before[3]!.id, 'a mistake');
  await stage.memories.supersede(testOwner, before[5]!.id, {
    externalKey: 'now',
    text: 'It was otherwise.',
    importance: 3,
    source: 'test',
    occurredAt: '2026-09-01T00:00:00.000Z',
  });
  const sent = new Map(asked.map((body) => [body.raw['seed'], body.messages]));
  const steps = new Set<string>();
  for (const { id } of await reflectionsOf(agentId)) {
    const explained = await explain(id);
    steps.add(explained.call!.step);
    expect(explained.prompt!.exact).toBe(true);
    expect(explained.prompt!.messages).toEqual(sent.get(explained.call!.seed));
    expect(explained.evidence.length).toBeGreaterThan(0);
    for (const { alias, scored } of explained.evidence) {
      expect(alias).toMatch(/^m\d+$/);
      expect(scored!.score).toBeCloseTo(scored!.recency + scored!.importance + scored!.relevance, 6);
    }
  }
  expect([...steps].sort()).toEqual(['focus-1', 'focus-2', 'focus-3']);
});

test('quotes need no model, and explaining them says so', async () => {
  const agentId = await agentWith(8);
  instead = createExtractiveReflector();
  await reflected(agentId, 'call-quotes');
  const [first] = await reflectionsOf(agentId);
  const explained = await explain(first!.id);
  expect(explained).toMatchObject({ source: 'extractive', prompt: null, seed: null });
  expect(explained.note).toMatch(/No model was asked/);
});

test('no word of what is forgotten stays anywhere: quotes of it, questions about it, vectors, steps', async () => {
  const agentId = await agentWith(20, secret);
  reply = (body) => {
    const name = (body.raw as { response_format: { json_schema: { name: string } } }).response_format.json_schema.name;
    if (name === 'questions')
      return {
        text: JSON.stringify({ questions: ['Who hides the spare key under the blue beehive?', 'Who counts boats?'] }),
      };
    if (!body.messages[1]!.content.includes('Odalys'))
      return insights({ text: `Boats ${asked.length}.`, evidence: ['m1'] });
    const own = aliasIn(body, secret);
    return insights(
      { text: `Family: “hides the spare key under” (${asked.length}).`, evidence: [own] },
      { text: `Relatives trust the garden ${'more and '.repeat(asked.length)}more.`, evidence: [own, 'm1'] },
    );
  };
  await reflected(agentId, 'call-secret');
  expect(await tablesWith('spare key')).toEqual(['memories', 'reflections', 'run_calls']);
  const { id } = await memoryWith(agentId, secret);
  const would = await stage.memories.forgettable(testOwner, id);
  const gone = await stage.memories.forget(testOwner, id, 'asked for');
  expect(gone).toEqual({ ...would, messages: [] });
  expect(gone.forgotten.length).toBeGreaterThan(0);
  expect(gone.reflections.length).toBeGreaterThan(0);
  expect(await tablesWith('spare key')).toEqual([]);
  expect(await tablesWith('aunt Odalys')).toEqual([]);

  const [lost] = gone.forgotten;
  const explained = await explain(lost!);
  expect(explained).toMatchObject({ text: '', forgottenAt: expect.any(String), prompt: { exact: false } });
  expect(explained.evidence[0]!.text).toBe('[forgotten]');
  expect(explained.prompt!.messages[1]!.content).toContain(
    '[forgotten]'.replace('[', '\\u005b').replace(']', '\\u005d'),
  );
  expect(explained.note).toMatch(/was forgotten since/);
  const kept = await explain(gone.reflections[0]!);
  expect(kept.text).toMatch(/^Relatives trust/);
  // Twice is once.
  expect(await stage.memories.forget(testOwner, id, 'again')).toMatchObject({
    forgotten: [],
  });
});

test('quotes of the extractive kind go with what they quote', async () => {
  const agentId = await agentWith(
    0,
    secret,
    'The blue beehive hummed all night, and Odalys slept.',
    'Odalys painted the beehive blue.',
  );
  instead = createExtractiveReflector();
  await reflected(agentId, 'call-extracted');
  expect(await tablesWith('spare key')).toEqual(['memories', 'reflections']);
  const { id } = await memoryWith(agentId, secret);
  const { forgotten } = await stage.memories.forget(testOwner, id, 'asked for');
  expect(forgotten.length).toBe(1);
  expect(await tablesWith('spare key')).toEqual([]);
});

test('with its dependents, what rests on it goes, and what rests on that; the rest stays', async () => {
  const agentId = await agentWith(4, secret);
  reply = (body) =>
    insights(
      { text: 'Somebody in the family is careful.', evidence: [aliasIn(body, secret)] },
      { text: 'Counting calms.', evidence: ['m1'] },
    );
  await reflected(agentId, 'call-first');
  await stage.remember(plainMemories([agentId], 1, 50));
  reply = (body) =>
    insights({ text: 'Care runs in the blood.', evidence: [aliasIn(body, 'Somebody in the family is careful.')] });
  await reflected(agentId, 'call-second');
  const { id } = await memoryWith(agentId, secret);
  const { forgotten, reflections } = await stage.memories.forget(testOwner, id, 'asked for', 'forget');
  expect([forgotten.length, reflections]).toEqual([2, []]);
  expect((await reflectionsOf(agentId)).map(({ text }) => text).sort()).toEqual(['', '', 'Counting calms.']);
  expect(await tablesWith('Care runs in the blood')).toEqual([]);
  const living = await stage.memories.lastReflections(agentId, 9, 10);
  expect(living.map(({ text }) => text)).toEqual(['Counting calms.']);
});

test('forgotten between two calls of an open run: nothing of it is left when the run has ended', async () => {
  const agentId = await agentWith(20, secret);
  const { id } = await memoryWith(agentId, secret);
  let forgetting: Promise<unknown> | undefined;
  reply = () => {
    if (asked.length !== 3)
      return insights({ text: `She hides the spare key under it (${asked.length}).`, evidence: ['m1', 'm2', 'm3'] });
    forgetting = stage.memories.forget(testOwner, id, 'asked for');
    return { tokens: 900, ...insights({ text: 'She hides the spare key under the hive.', evidence: ['m1'] }) };
  };
  const result = await reflected(agentId, 'call-between');
  await until('it was forgotten', async () => forgetting !== undefined);
  await forgetting;
  expect(result.state).not.toBe('failed');
  expect(await reflectionsOf(agentId)).toEqual([]);
  expect(await tablesWith('spare key')).toEqual([]);
  expect(await tablesWith('aunt Odalys')).toEqual([]);
});

test('the same text told to another is named, not taken', async () => {
  const one = await agentWith(0, secret);
  const other = await agentWith(0, secret);
  const { id } = await memoryWith(one, secret);
  const copy = await memoryWith(other, secret);
  const { copies } = await stage.memories.forget(testOwner, id, 'asked for');
  expect(copies).toContain(copy.id);
  expect((await memoryWith(other, secret)).text).toBe(secret);
  await stage.memories.forget(testOwner, copy.id, 'asked for');
  expect(await tablesWith('aunt Odalys')).toEqual([]);
});
