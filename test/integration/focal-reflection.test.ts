import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { explainReflection } from '../../api/explain-reflection.ts';
import { contentHash } from '../../stores/embeddings.ts';
import { createModelReflector, createTextModel } from '../../integrations/inference/model-reflector.ts';
import type { Inference } from '../../integrations/inference/inference.ts';
import { testFleet } from '../support/fleets.ts';
import { plainMemories } from '../support/memories.ts';
import { createMortal } from '../support/mortal.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import type { ChatBody, Reply } from '../support/model-server-replies.ts';
import { openStage, type Stage, type StageMachine } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

/** The whole path of a reflection with a model: real Postgres and Temporal, a model server's sockets, its answers to order. */
let stage: Stage;
let server: ModelServer;
let mainpc: StageMachine;
const { dying, mortal } = createMortal();
let asked: ChatBody[] = [];
let reply: (body: ChatBody) => Partial<Reply> = () => ({});
let instead: Inference['reflect'] | undefined;

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
  stage = await openStage(testFleet({ heavy: 0, light: 24 }), mortal);
  mainpc = await stage.join('mainpc', {
    ...model,
    reflect: (request, watch) => (instead ? instead(request, watch) : model.reflect(request, watch)),
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

let taken = 0;
async function agentWith(memories: number): Promise<string> {
  taken += 1;
  const agentId = `light-${String(taken).padStart(3, '0')}`;
  await stage.remember(plainMemories([agentId], memories));
  return agentId;
}
async function reflected(agentId: string, period: string, trigger: 'call' | 'schedule' = 'call') {
  const result = await (await stage.reflect(agentId, period, trigger)).result();
  return { ...result, run: (await stage.run(agentId, period))! };
}
const kindOf = ({ raw }: ChatBody) =>
  (raw as { response_format: { json_schema: { name: string } } }).response_format.json_schema.name;
const memoriesOf = (agentId: string) =>
  stage.db.selectFrom('memories').selectAll().where('agentId', '=', agentId).orderBy('seq').execute();
const callsOf = (runId: string) =>
  stage.db.selectFrom('runCalls').selectAll().where('runId', '=', runId).orderBy('ordinal').execute();
const insights = (...each: Array<{ text: string; evidence: string[] }>) => ({
  text: JSON.stringify({ insights: each }),
});

test('much that is new: three questions, what each brings to mind, insights that are memories from then on', async () => {
  const agentId = await agentWith(30);
  const { run, reflections, runId } = await reflected(agentId, 'call-full');
  expect(asked.map(kindOf)).toEqual(['questions', 'reflection', 'reflection', 'reflection']);
  expect(run).toMatchObject({ state: 'done', modelCalls: 4, reason: '', tokens: 160, toSeq: 30 });
  expect(run.promptTokens).toBeGreaterThan(100);

  const calls = await callsOf(runId);
  expect(calls.map(({ step, modelCalls }) => [step, modelCalls])).toEqual([
    ['questions', 1],
    ['focus-1', 1],
    ['focus-2', 1],
    ['focus-3', 1],
  ]);
  const { questions } = JSON.parse((await answerTo(asked[0]!)).text) as { questions: string[] };
  const prompts = calls.map(({ prompt }) => prompt as { question: string | null; shown: Array<{ scored?: object }> });
  expect(prompts.map(({ question }) => question)).toEqual([null, ...questions]);
  expect(prompts[0]!.shown.every(({ scored }) => scored === undefined)).toBe(true);
  expect(prompts.slice(1).every(({ shown }) => shown.length > 0 && shown.every(({ scored }) => scored))).toBe(true);
  expect(asked.map(({ raw }) => raw['seed'])).toEqual(calls.map(({ seed }) => seed));
  expect(new Set(calls.map(({ seed }) => seed)).size).toBe(4);

  const made = (await memoriesOf(agentId)).filter(({ kind }) => kind === 'reflection');
  expect(made.length).toBe(reflections);
  expect(made.every(({ depth, seq, source }) => depth === 1 && seq > 30 && source === 'reflection')).toBe(true);
  const stored = await stage.db.selectFrom('reflections').selectAll().where('runId', '=', runId).execute();
  expect(new Set(stored.map(({ memoryId }) => memoryId))).toEqual(new Set(made.map(({ id }) => id)));
  expect(new Set(stored.map(({ call, seed }) => `${call} ${seed}`))).toEqual(
    new Set(calls.slice(1).map(({ ordinal, seed }) => `${ordinal} ${seed}`)),
  );
  // What came to mind was used, and nothing else was.
  const used = (await memoriesOf(agentId)).filter(({ lastUsedAt }) => lastUsedAt !== null);
  expect(used.length).toBeGreaterThan(0);
  expect(used.length).toBeLessThanOrEqual(30);
});

/** What the double answers to a body, asked a second time. */
async function answerTo(body: ChatBody): Promise<{ text: string }> {
  const { answerFor } = await import('../support/model-server-replies.ts');
  return { text: answerFor(body, 0) };
}

test('its own reflections make no agent due, and are read beside what is new the next time', async () => {
  const agentId = await agentWith(8);
  expect((await reflected(agentId, 'call-first')).run.modelCalls).toBe(1);
  const before = (await memoriesOf(agentId)).length;
  expect(before).toBeGreaterThan(8);
  const again = await reflected(agentId, '2026-05-01T00:00:00.000Z', 'schedule');
  expect(again).toMatchObject({ state: 'empty', reason: 'no new memories' });
  expect(asked.length).toBe(1);

  await stage.remember(plainMemories([agentId], 2, 9));
  const next = await reflected(agentId, '2026-05-01T06:00:00.000Z', 'schedule');
  expect(next.state).toBe('done');
  const shown = asked[1]!.messages[1]!.content.split('\n').filter((line) => line.startsWith('{"id":"m'));
  expect(shown.filter((line) => line.includes('"kind":"reflection"')).length).toBe(before - 8);
  expect(shown.length).toBe(before - 8 + 2);
});

test('a reflection over a reflection lies one deeper; what would lie over the cap is refused and counted', async () => {
  const agentId = await agentWith(6);
  await reflected(agentId, 'call-first');
  await stage.remember(plainMemories([agentId], 2, 7));
  reply = (body) => {
    const own = /^\{"id":"(m\d+)".*"kind":"reflection"/m.exec(body.messages[1]!.content)![1]!;
    return insights({ text: 'All my counting comes to one thing.', evidence: ['m1', own] });
  };
  const second = await reflected(agentId, 'call-second');
  expect(second.state).toBe('done');
  const deep = (await memoriesOf(agentId)).at(-1)!;
  expect(deep).toMatchObject({ kind: 'reflection', depth: 2, text: 'All my counting comes to one thing.' });

  await stage.db.updateTable('memories').set({ depth: 4 }).where('id', '=', deep.id).execute();
  await stage.remember(plainMemories([agentId], 2, 9));
  instead = (request) =>
    Promise.resolve({
      source: 'model',
      promptVersion: 'reflect/3',
      insights: [{ text: 'Deeper and deeper.', evidence: [request.memories[0]!.id, deep.id] }],
      refused: [],
      droppedEvidence: 0,
      used: [...request.memories.map(({ id }) => id), deep.id],
      left: [],
      repair: null,
      modelCalls: 1,
      tokens: 5,
    });
  const third = await reflected(agentId, 'call-third');
  expect(third).toMatchObject({ state: 'empty', reflections: 0 });
  expect(third.run).toMatchObject({
    droppedTooDeep: 1,
    reason: 'no insight was kept (would lie 5 deep, over 4)',
    promptTokens: null,
  });
  // What lies at the cap is not even shown.
  instead = undefined;
  reply = () => ({});
  await stage.remember(plainMemories([agentId], 2, 11));
  asked = [];
  await reflected(agentId, 'call-fourth');
  expect(asked[0]!.messages[1]!.content).not.toContain(deep.text);
});

test('an attempt that breaks off goes on where it stood, with the same seeds; no call is paid for twice', async () => {
  const agentId = await agentWith(30);
  reply = () => {
    if (asked.length === 3) void server.setFault({ kind: 'cut', afterTokens: 5, times: 1 });
    return { tokens: asked.length === 3 ? 400 : 40 };
  };
  const { run, runId } = await reflected(agentId, 'call-cut');
  expect(run).toMatchObject({ state: 'done', modelCalls: 4 });
  const kinds = asked.map(kindOf);
  expect(kinds.filter((kind) => kind === 'questions').length).toBe(1);
  const calls = await callsOf(runId);
  const bySeed = new Map<unknown, number>();
  for (const { raw } of asked) bySeed.set(raw['seed'], (bySeed.get(raw['seed']) ?? 0) + 1);
  expect([...bySeed.keys()]).toEqual(calls.map(({ seed }) => seed));
});

test('another machine takes over between two calls of a run', async () => {
  const agentId = await agentWith(30);
  const epochs = new Set<number>();
  let moved = false;
  reply = () => {
    epochs.add(mainpc.held().epoch);
    if (asked.length === 3 && !moved) {
      moved = true;
      void mainpc.takeNextEpoch({ abortCalls: true });
      return { tokens: 2_000 };
    }
    return {};
  };
  const { run, runId } = await reflected(agentId, 'call-epoch');
  expect(run).toMatchObject({ state: 'done', modelCalls: 4 });
  const steps = await stage.db
    .selectFrom('stepResults')
    .select(['step', 'epoch'])
    .where('workId', '=', runId)
    .orderBy('storedAt')
    .execute();
  expect(steps.map(({ step }) => step)).toEqual(['questions', 'focus-1', 'focus-2', 'focus-3', 'insights']);
  expect(steps[1]!.epoch).toBeLessThan(steps[2]!.epoch);
  expect(asked.length).toBe(5);
});

test('what says nothing new is dropped and counted: by vector against earlier reflections, within the run, by words', async () => {
  const agentId = await agentWith(8);
  reply = () =>
    insights(
      { text: 'I count boats when I am lonely.', evidence: ['m1', 'm2'] },
      { text: 'I count boats, when I am lonely!', evidence: ['m3'] },
      { text: '  …  ', evidence: ['m1'] },
      { text: 'Nobody asked for this.', evidence: ['m99'] },
      { text: 'The pier is where I am quiet.', evidence: ['m4', 'mem_1'] },
    );
  const first = await reflected(agentId, 'call-first');
  expect(first.run).toMatchObject({
    state: 'done',
    reflections: 2,
    droppedDuplicates: 1,
    droppedEmpty: 1,
    droppedWithoutEvidence: 1,
    droppedEvidence: 2,
  });
  // The same words in another order have the same vector here, and another wording altogether is another thought.
  reply = () =>
    insights(
      { text: 'When I am lonely I count boats.', evidence: ['m1'] },
      { text: 'Quiet is what the pier is where I am the.', evidence: ['m1'] },
    );
  await stage.remember(plainMemories([agentId], 1, 20));
  const second = await reflected(agentId, 'call-second');
  expect(second.run.droppedDuplicates).toBe(1);
  expect(second.reflections).toBe(1);
  reply = () => insights({ text: 'I count boats when I am lonely.', evidence: ['m1'] });
  await stage.remember(plainMemories([agentId], 1, 21));
  const third = await reflected(agentId, 'call-third');
  expect(third).toMatchObject({ state: 'done', reflections: 0 });
  expect(third.run).toMatchObject({
    droppedDuplicates: 1,
    reason: 'nothing new (says the same as an earlier reflection)',
  });
  const vectors = await stage.db
    .selectFrom('embeddings')
    .select('model')
    .where('contentHash', '=', contentHash('When I am lonely I count boats.'))
    .execute();
  expect(vectors).toEqual([]);
});

test.each(['compareInsights', 'storeReflections'])(
  'a crash after %s: the insights are stored once, and no call is paid for twice',
  async (step) => {
    const agentId = await agentWith(8);
    reply = () =>
      insights(
        { text: 'I count boats when I am lonely.', evidence: ['m1', 'm2'] },
        { text: 'I count boats, when I am lonely!', evidence: ['m3'] },
        { text: 'The pier is where I am quiet.', evidence: ['m4'] },
      );
    dying.add(step);
    const { run, reflections } = await reflected(agentId, `call-${step}`);
    expect(dying.size).toBe(0);
    expect(run).toMatchObject({ state: 'done', reflections: 2, droppedDuplicates: 1, modelCalls: 1 });
    expect(reflections).toBe(2);
    expect(asked).toHaveLength(1);
    const made = (await memoriesOf(agentId)).filter(({ kind }) => kind === 'reflection');
    expect(made.map(({ text }) => text).sort()).toEqual([
      'I count boats when I am lonely.',
      'The pier is where I am quiet.',
    ]);
  },
);

test('an answer that follows no schema is repaired once; five calls are never exceeded', async () => {
  const agentId = await agentWith(30);
  await server.setFault({ kind: 'brokenJson', times: 1 });
  const { run, runId } = await reflected(agentId, 'call-repaired');
  expect(run).toMatchObject({ state: 'done', modelCalls: 5 });
  expect(asked.length).toBe(5);
  const [questions] = await callsOf(runId);
  expect(questions).toMatchObject({ modelCalls: 2 });
  expect((questions!.prompt as { repair: string }).repair).toMatch(/not one JSON object/);

  // Where no question can be had, what is new is read as it is; where nothing can be, the run fails and says why.
  asked = [];
  const other = await agentWith(30);
  await server.setFault({ kind: 'brokenJson', times: 2 });
  const fallen = await reflected(other, 'call-unasked');
  expect(fallen.run).toMatchObject({ state: 'done', modelCalls: 3 });
  expect(asked.map(kindOf)).toEqual(['questions', 'questions', 'reflection']);
  asked = [];
  const third = await agentWith(30);
  await server.setFault({ kind: 'brokenJson' });
  await expect(reflected(third, 'call-broken')).rejects.toThrow();
  expect(await stage.run(third, 'call-broken')).toMatchObject({ state: 'failed' });
  expect(asked.length).toBeLessThanOrEqual(5);
});

test('what was forgotten while the model thought takes the insights of that call with it', async () => {
  const agentId = await agentWith(8);
  const secret = (await memoriesOf(agentId))[0]!;
  reply = () => {
    void stage.memories.forget(secret.ownerId, secret.id, 'asked for');
    return { tokens: 900, ...insights({ text: 'A harmless thought of boats.', evidence: ['m5'] }) };
  };
  const { run } = await reflected(agentId, 'call-forgotten');
  expect(run).toMatchObject({ state: 'empty', droppedOther: 1 });
  expect(run.reason).toContain('a memory that the run had read was forgotten');
});

test('what no longer holds is shown with its end, and explained as it was shown also when more has ended since', async () => {
  const agentId = await agentWith(4);
  const [first, second] = await memoriesOf(agentId);
  await sql`update memories set valid_to = occurred_at + interval '2 days' where id = ${first!.id}`.execute(stage.db);
  // Its end lies ahead: it holds as long as anybody can tell.
  await sql`update memories set valid_to = now() + interval '2 days' where id = ${second!.id}`.execute(stage.db);
  const { runId } = await reflected(agentId, 'call-ended');
  const shown = asked[0]!.messages[1]!.content.split('\n').flatMap((line) => {
    if (!line.startsWith('{"id":"m')) return [];
    const { text, until } = JSON.parse(line) as { text: string; until?: string };
    return until === undefined ? [] : [{ text, until }];
  });
  const end = new Date(first!.occurredAt.getTime() + 2 * 86_400_000);
  expect(shown).toEqual([{ text: first!.text, until: end.toISOString().slice(0, 10) }]);

  await sql`update memories set valid_to = occurred_at where agent_id = ${agentId} and kind <> 'reflection'`.execute(
    stage.db,
  );
  const { id } = await stage.db
    .selectFrom('reflections')
    .select('id')
    .where('runId', '=', runId)
    .limit(1)
    .executeTakeFirstOrThrow();
  const explained = await explainReflection(stage.db, testOwner, id);
  expect(explained!.prompt).toEqual({ messages: asked[0]!.messages, exact: true });
});

test('once a run has ended, no text stands in the results of its steps', async () => {
  const agentId = await agentWith(8);
  reply = () => insights({ text: 'A thought about the pier.', evidence: ['m1'] });
  const { runId } = await reflected(agentId, 'call-clear');
  const { rows } = await sql<{ result: string }>`
    select result::text as result from step_results where work_id = ${runId}`.execute(stage.db);
  expect(rows.length).toBe(2);
  for (const { result } of rows) expect(JSON.parse(result)).toEqual({ tokens: expect.any(Number) });
});

test('memories that are all deleted by then make an empty run, and the agent goes on', async () => {
  const agentId = await agentWith(3);
  for (const { id, ownerId } of await memoriesOf(agentId)) await stage.memories.delete(ownerId, id, 'a mistake');
  const { run } = await reflected(agentId, 'call-deleted');
  expect(run).toMatchObject({ state: 'empty', reason: 'what was new was deleted', modelCalls: 0 });
  expect(asked.length).toBe(0);
  const next = await reflected(agentId, '2026-05-02T00:00:00.000Z', 'schedule');
  expect(next).toMatchObject({ state: 'empty', reason: 'no new memories' });
});
