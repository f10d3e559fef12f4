import { setTimeout as pause } from 'node:timers/promises';
import { WorkflowExecutionAlreadyStartedError, type WorkflowFailedError } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { earlierFirst } from '../../domain/reflections.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { plainMemories } from '../support/memories.ts';
import { callsInHand, createScriptedInference, modelThatWrites } from '../support/scripted-inference.ts';
import { openStage, type Stage, type StageMachine } from '../support/stage.ts';

let stage: Stage;
let mainpc: StageMachine;
const model = createScriptedInference();
/** Waited for after a run's begin has committed and before its workflow gets to know. */
let afterBegin: () => Promise<void> = () => Promise.resolve();

beforeAll(async () => {
  stage = await openStage(testFleet({ heavy: 1, light: 16 }), (shipped) => ({
    async beginReflection(input) {
      const begun = await shipped.beginReflection(input);
      await afterBegin();
      return begun;
    },
  }));
  mainpc = await stage.join('mainpc', model);
  await stage.plan();
});
afterAll(() => stage?.close());
afterEach(() => {
  model.answer();
  model.calls.length = 0;
});

/** An agent of the test's own with so many memories. */
let taken = 0;
async function agentWith(memories: number): Promise<string> {
  taken += 1;
  const agentId = `light-${String(taken).padStart(3, '0')}`;
  await stage.remember(plainMemories([agentId], memories));
  return agentId;
}
async function agent(agentId: string) {
  return stage.db
    .selectFrom('agents')
    .select(['memorySeq', 'livedSeq', 'reflectedToSeq', 'expectedTokens'])
    .where('id', '=', agentId)
    .executeTakeFirstOrThrow();
}
async function reflectionsOf(runId: string) {
  return stage.db.selectFrom('reflections').selectAll().where('runId', '=', runId).orderBy('ordinal').execute();
}
async function failureOf(result: Promise<unknown>): Promise<string> {
  const err = await result.then(
    () => undefined,
    (failed: WorkflowFailedError) => failed,
  );
  return err?.cause?.message ?? 'it did not fail';
}

test('stores insights with evidence among the run’s own memories and moves the agent’s place', async () => {
  const agentId = await agentWith(12);
  const result = await (await stage.reflect(agentId, 'call-done')).result();
  expect(result).toMatchObject({ state: 'done', degraded: false });
  const stored = await reflectionsOf(result.runId);
  expect(stored.length).toBe(result.reflections);
  expect(stored.length).toBeGreaterThan(0);
  const evidence = await stage.db
    .selectFrom('reflectionEvidence')
    .innerJoin('memories', 'memories.id', 'reflectionEvidence.memoryId')
    .select(['memories.agentId', 'reflectionId'])
    .where(
      'reflectionId',
      'in',
      stored.map(({ id }) => id),
    )
    .execute();
  expect(new Set(evidence.map((row) => row.reflectionId)).size).toBe(stored.length);
  expect(evidence.every((row) => row.agentId === agentId)).toBe(true);
  expect(await agent(agentId)).toMatchObject({
    memorySeq: 12 + stored.length,
    livedSeq: 12,
    reflectedToSeq: 12,
    expectedTokens: stored[0]!.tokens,
  });
  expect(await stage.run(agentId, 'call-done')).toMatchObject({
    state: 'done',
    machineId: 'mainpc',
    fromSeq: 0,
    toSeq: 12,
    attempt: 1,
    reflections: stored.length,
  });
});

test('is empty on schedule when nothing new has come, and looks back over the last 40 when called', async () => {
  const agentId = await agentWith(50);
  await (await stage.reflect(agentId, '2026-05-01T00:00:00.000Z', 'schedule')).result();
  const next = await (await stage.reflect(agentId, '2026-05-01T06:00:00.000Z', 'schedule')).result();
  expect(next).toMatchObject({ state: 'empty', reflections: 0, reason: 'no new memories' });
  expect(model.calls.length).toBe(1);
  const called = await (await stage.reflect(agentId, 'call-back')).result();
  expect(called.state).toBe('done');
  expect([...model.calls[1]!.request.memories].sort(earlierFirst).map((memory) => memory.text)).toEqual(
    plainMemories([agentId], 40, 11).map((memory) => memory.text),
  );
  await stage.remember(plainMemories([agentId], 3, 51));
  await (await stage.reflect(agentId, '2026-05-01T12:00:00.000Z', 'schedule')).result();
  expect(model.calls[2]!.request.memories.length).toBe(3);
  const { livedSeq, reflectedToSeq } = await agent(agentId);
  expect(reflectedToSeq).toBeGreaterThanOrEqual(livedSeq);
});

test('is empty with the reason, and stores nothing, when no insight has valid evidence', async () => {
  const agentId = await agentWith(6);
  model.answer(modelThatWrites('{"insights":[{"text":"They like boats.","evidence":["m99"]}]}'));
  const result = await (await stage.reflect(agentId, 'call-no-evidence')).result();
  expect(result).toMatchObject({ state: 'empty', reflections: 0 });
  expect(await reflectionsOf(result.runId)).toEqual([]);
  expect((await stage.run(agentId, 'call-no-evidence'))?.reason).toBe(
    'no insight was kept (names no memory that was given)',
  );
});

test('an insight that leans on another agent’s memory is refused where it would be stored', async () => {
  const [agentId, other] = [await agentWith(6), await agentWith(1)];
  const foreign = await stage.db
    .selectFrom('memories')
    .select('id')
    .where('agentId', '=', other)
    .executeTakeFirstOrThrow();
  model.answer(async (request, watch) => {
    const outcome = await model.asExtractive(request, watch);
    return { ...outcome, insights: [{ text: 'Somebody else saw it.', evidence: [foreign.id] }] };
  });
  const result = await (await stage.reflect(agentId, 'call-foreign')).result();
  expect(result).toMatchObject({ state: 'empty', reflections: 0 });
  expect(await reflectionsOf(result.runId)).toEqual([]);
});

test('a refused model fails run and workflow; the same id starts again as the next attempt, and once done never', async () => {
  const agentId = await agentWith(6);
  model.answer(() => Promise.reject(new DomainError('MODEL_REFUSED', 'model server answered 400: too long')));
  expect(await failureOf((await stage.reflect(agentId, 'call-refused')).result())).toBeTruthy();
  const first = await stage.run(agentId, 'call-refused');
  expect(first).toMatchObject({ state: 'failed', attempt: 1, reason: 'model server answered 400: too long' });
  expect(model.calls.length).toBe(1);

  model.answer();
  const again = await (await stage.reflect(agentId, 'call-refused')).result();
  expect(again.state).toBe('done');
  expect(await stage.run(agentId, 'call-refused')).toMatchObject({ state: 'done', attempt: 2 });
  await expect(stage.reflect(agentId, 'call-refused')).rejects.toThrow(WorkflowExecutionAlreadyStartedError);
  expect(model.calls.length).toBe(2);
});

test('a done run answers a later start of its id from the row, also once Temporal has forgotten it', async () => {
  const agentId = await agentWith(6);
  const { runId } = await (await stage.reflect(agentId, 'call-forgotten')).result();
  const begun = await stage.activities.beginReflection({
    agentId,
    workflowId: `reflect:${agentId}:call-forgotten`,
    temporalRunId: 'another execution',
    trigger: 'call',
    period: 'call-forgotten',
  });
  expect(begun).toMatchObject({ kind: 'ended', runId, state: 'done' });
});

test('a retryable model error is tried again until the model answers', async () => {
  const agentId = await agentWith(6);
  model.answer((request, watch) =>
    model.calls.length < 3
      ? Promise.reject(new DomainError('MODEL_STALLED', 'no token for 1 s'))
      : model.asExtractive(request, watch),
  );
  expect((await (await stage.reflect(agentId, 'call-stalled')).result()).state).toBe('done');
  expect(model.calls.length).toBe(3);
  expect(await stage.run(agentId, 'call-stalled')).toMatchObject({ attempt: 1, moves: 0, degraded: false });
});

test('canceled while a call is in hand: the call is aborted, run and workflow end canceled with a reason', async () => {
  const agentId = await agentWith(6);
  const { reflect, count } = callsInHand();
  model.answer(reflect);
  const handle = await stage.reflect(agentId, 'call-canceled');
  await until('the call is in hand', async () => count() === 1);
  await handle.cancel();
  await failureOf(handle.result());
  expect((await handle.describe()).status.name).toBe('CANCELLED');
  expect(await stage.run(agentId, 'call-canceled')).toMatchObject({ state: 'canceled', reason: 'canceled by hand' });
  await until('the call was aborted', async () => count() === 0);
  expect(model.calls[0]!.watch.signal.aborted).toBe(true);
  expect(await agent(agentId)).toMatchObject({ reflectedToSeq: 0 });

  model.answer();
  expect((await (await stage.reflect(agentId, 'call-canceled')).result()).state).toBe('done');
});

test('canceled while it begins, the run it has written ends canceled and blocks nobody', async () => {
  const agentId = await agentWith(6);
  const told = Promise.withResolvers<void>();
  afterBegin = () => told.promise;
  const handle = await stage.reflect(agentId, 'call-early');
  await until('the run is written', async () => (await stage.run(agentId, 'call-early')) !== undefined);
  await handle.cancel();
  // A workflow task that takes longer than its time-out is told of the cancellation in the middle of the activity.
  await pause(2_500);
  told.resolve();
  afterBegin = () => Promise.resolve();
  await failureOf(handle.result());
  expect(await stage.run(agentId, 'call-early')).toMatchObject({ state: 'canceled', reason: 'canceled by hand' });
  expect((await (await stage.reflect(agentId, 'call-after')).result()).state).toBe('done');
});

test('a second trigger while a run is open ends canceled and names it', async () => {
  const agentId = await agentWith(6);
  const { reflect, count, letGo } = callsInHand();
  model.answer(reflect);
  const first = await stage.reflect(agentId, 'call-first');
  await until('the call is in hand', async () => count() === 1);
  const open = await stage.run(agentId, 'call-first');
  const second = await stage.reflect(agentId, 'call-second');
  expect(await failureOf(second.result())).toContain(open!.id);
  letGo();
  expect((await first.result()).state).toBe('done');
  expect(await stage.run(agentId, 'call-second')).toBeUndefined();
});

test('memories that come while a run is under way wait for the next one', async () => {
  const agentId = await agentWith(6);
  const { reflect, count, letGo } = callsInHand();
  model.answer(reflect);
  const handle = await stage.reflect(agentId, 'call-during');
  await until('the call is in hand', async () => count() === 1);
  await stage.remember(plainMemories([agentId], 2, 7));
  letGo();
  await handle.result();
  expect(await agent(agentId)).toMatchObject({ livedSeq: 8, reflectedToSeq: 6 });
  await (await stage.reflect(agentId, '2026-06-01T00:00:00.000Z', 'schedule')).result();
  expect(model.calls[1]!.request.memories.length).toBe(2);
});

test('stored twice, the second time changes nothing', async () => {
  const agentId = await agentWith(8);
  const { runId, reflections } = await (await stage.reflect(agentId, 'call-twice')).result();
  const before = await reflectionsOf(runId);
  const events = () => stage.db.selectFrom('events').select('id').where('subject', '=', runId).execute();
  const told = (await events()).length;
  expect(await stage.activities.storeReflections({ runId })).toEqual({ state: 'done', reflections });
  expect(await reflectionsOf(runId)).toEqual(before);
  expect((await events()).length).toBe(told);
});

test('a result that is stored while its answer is lost is not made twice', async () => {
  const agentId = await agentWith(8);
  // The answer to Temporal is lost: the same activity runs again under the same key.
  let attempts = 0;
  const lost = new Error('the answer got lost');
  const { steps } = stage;
  const shipped = { ...steps };
  steps.store = async (key, held, result) => {
    const standing = await shipped.store(key, held, result);
    attempts += 1;
    if (attempts === 1) throw lost;
    return standing;
  };
  try {
    const result = await (await stage.reflect(agentId, 'call-lost-answer')).result();
    expect(result.state).toBe('done');
    expect(model.calls.length).toBe(1);
    expect((await reflectionsOf(result.runId)).length).toBe(result.reflections);
  } finally {
    Object.assign(steps, shipped);
  }
});

test.each([{ abortCalls: false }, { abortCalls: true }])(
  'work of a passed epoch is fenced and the step done anew (abortCalls: $abortCalls)',
  async ({ abortCalls }) => {
    const agentId = await agentWith(8);
    const { reflect, count, letGo } = callsInHand();
    model.answer(reflect);
    const handle = await stage.reflect(agentId, 'call-fenced');
    await until('the call is in hand', async () => count() === 1);
    const { epoch } = mainpc.held();
    model.answer();
    await mainpc.takeNextEpoch({ abortCalls });
    letGo();
    const result = await handle.result();
    expect(result).toMatchObject({ state: 'done', degraded: false });
    expect(model.calls.length).toBe(2);
    const steps = await stage.db.selectFrom('stepResults').select('epoch').where('workId', '=', result.runId).execute();
    expect(steps).toEqual([{ epoch: epoch + 1 }, { epoch: epoch + 1 }]);
    expect(await stage.run(agentId, 'call-fenced')).toMatchObject({ attempt: 1, moves: 0, state: 'done' });
  },
);
