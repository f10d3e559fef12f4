import { setTimeout as pause } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createInferenceActivities } from '../../activities/inference.ts';
import type { HeldLease } from '../../activities/machine-calls.ts';
import type { ReflectInput } from '../../activities/reflect.ts';
import { activityInterceptors } from '../../activities/interceptors.ts';
import { modelVariants } from '../../domain/fleet.ts';
import { reflectWorkflowId } from '../../domain/ids.ts';
import type { Inference } from '../../integrations/inference/inference.ts';
import { createModelReflector, createTextModel } from '../../integrations/inference/model-reflector.ts';
import { SlotGate } from '../../workers/slot-gate.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import { openStage, type Stage, type StageMachine } from '../support/stage.ts';

const stallMs = 1_200;
const fleet = testFleet({ heavy: 1, light: 16 });
const variant = modelVariants(fleet).find(({ id }) => id === 'light_q4')!;
const scripted = createScriptedInference();

const logger = new DefaultLogger('ERROR', () => undefined);

let stage: Stage;
let server: ModelServer;
let model: Inference;
let mainpc: StageMachine;

beforeAll(async () => {
  stage = await openStage(fleet);
  server = await startModelServer({ slots: 2, tokensPerSecond: 200, models: ['light_q4'], flushMs: 20 });
  model = createModelReflector(createTextModel({ kind: 'openai', baseUrl: server.url, stallMs, callMs: 20_000 }));
  mainpc = await stage.join('mainpc', scripted);
  await stage.plan();
});
afterAll(async () => {
  await server?.close();
  await stage?.close();
});
afterEach(async () => {
  await server.setFault(null);
  scripted.answer();
});

interface Beat {
  phase: 'queued' | 'headers' | 'token';
  tokens: number;
}

/** One execution of the shipped activity under a lease and a gate of its own. */
async function execution(options: { inference?: Inference; gate?: SlotGate } = {}) {
  const gate = options.gate ?? new SlotGate(1);
  const lease = new AbortController();
  const beats: Beat[] = [];
  const down: string[] = [];
  const held: HeldLease = { ...mainpc.held(), signal: lease.signal };
  const activities = createInferenceActivities({
    ...stage,
    mostDepth: () => 4,
    lease: () => held,
    permits: gate,
    callFor: () => ({
      inference: options.inference ?? model,
      text: undefined,
      variant,
      servedAs: 'light_q4',
      kind: 'openai',
    }),
    serverDown: (err) => down.push(err.code),
    served: () => undefined,
  });
  const environment = new MockActivityEnvironment({ attempt: 1 }, { interceptors: activityInterceptors, logger });
  environment.on('heartbeat', (beat: Beat) => beats.push(beat));
  return {
    beats,
    down,
    gate,
    environment,
    loseLease: () => lease.abort(new Error('the lease passed to another epoch')),
    start: (input: ReflectInput): Promise<{ tokens: number }> => {
      const reflect = (given: ReflectInput) => activities.reflect(given);
      const result = environment.run<[ReflectInput], { tokens: number }, typeof reflect>(reflect, input);
      result.catch(() => undefined);
      return result;
    },
  };
}

let agents = 0;
async function openRun(tokens = 100): Promise<ReflectInput> {
  agents += 1;
  const agentId = `light-${String(agents).padStart(3, '0')}`;
  const agent = await stage.db.selectFrom('agents').select('name').where('id', '=', agentId).executeTakeFirstOrThrow();
  server.setTokens({ [agent.name]: tokens });
  await stage.remember(plainMemories([agentId], 6));
  const workflowId = reflectWorkflowId(agentId, 'call-1');
  const begun = await stage.activities.beginReflection({
    agentId,
    workflowId,
    temporalRunId: 'an execution',
    trigger: 'call',
    period: 'call-1',
  });
  if (begun.kind !== 'open' || begun.step.kind !== 'work') throw new Error(`did not begin: ${JSON.stringify(begun)}`);
  return { runId: begun.runId, step: 'insights', modelId: 'light_q4', queue: begun.step.rung.queue, attempt: 1 };
}

/** Heartbeats after the queue that say nothing new: a timer makes them, progress never does. */
function beatsWithoutProgress(beats: readonly Beat[]): Beat[] {
  const worked = beats.slice(beats.findLastIndex(({ phase }) => phase === 'queued') + 1);
  let most = -1;
  return worked.filter((beat) => {
    const idle = beat.phase === 'queued' || beat.tokens <= most;
    most = Math.max(most, beat.tokens);
    return idle;
  });
}

test('heartbeats follow the tokens of the model and nothing else', async () => {
  const { beats, start, gate } = await execution();
  const { tokens } = await start(await openRun(120));
  expect(tokens).toBeGreaterThan(10);
  expect(beats[0]).toEqual({ phase: 'queued', tokens: 0 });
  expect(beats.filter(({ phase }) => phase === 'token').length).toBeGreaterThan(5);
  expect(beatsWithoutProgress(beats)).toEqual([]);
  expect(gate.inUse).toBe(0);
});

test('a model server that stalls brings no heartbeat, and the call ends as stalled', async () => {
  await server.setFault({ kind: 'stall', afterTokens: 20 });
  const { beats, start, gate } = await execution();
  // It waits for its sequence first, so that the heartbeats of the queue are seen to have ended.
  const release = await gate.acquire('another', new AbortController().signal);
  const result = start(await openRun());
  await until('it waits as queued', async () => beats.length >= 2);
  release();
  await until('the server has stalled', async () => server.stats().tokens >= 20 && beats.at(-1)?.phase === 'token');
  await pause(stallMs / 4);
  const whenStalled = beats.length;
  await expect(result).rejects.toMatchObject({ type: 'MODEL_STALLED', nonRetryable: false });
  expect(beats.length).toBe(whenStalled);
  expect(beatsWithoutProgress(beats)).toEqual([]);
  expect(gate.inUse).toBe(0);
});

test('the look at heartbeats sees those of a timer', async () => {
  await server.setFault({ kind: 'stall', afterTokens: 20 });
  const ticking: Inference = {
    source: 'model',
    async reflect(request, watch) {
      let last = 0;
      const timer = setInterval(() => watch.onProgress({ phase: 'token', tokens: last }), 100);
      const noting = { ...watch, onProgress: (progress: { tokens: number }) => (last = progress.tokens) };
      try {
        return await model.reflect(request, noting);
      } finally {
        clearInterval(timer);
      }
    },
  };
  const { beats, start } = await execution({ inference: ticking });
  await expect(start(await openRun())).rejects.toMatchObject({ type: 'MODEL_STALLED' });
  expect(beatsWithoutProgress(beats).length).toBeGreaterThan(3);
});

test('a model that hangs without a token loses the work to another attempt, which stores the one result', async () => {
  const hanging = Promise.withResolvers<never>();
  hanging.promise.catch(() => undefined);
  const before = scripted.calls.length;
  // The first attempt hangs for ever: only a missed heartbeat can bring the second.
  scripted.answer((request, watch) =>
    scripted.calls.length === before + 1 ? hanging.promise : scripted.asExtractive(request, watch),
  );
  await stage.remember(plainMemories(['heavy-001'], 6));
  const result = await (await stage.reflect('heavy-001', 'call-hangs')).result();
  hanging.reject(new Error('the test ends'));
  expect(result.state).toBe('done');
  expect(scripted.calls.length).toBe(before + 2);
});

test('while it waits for a sequence it heartbeats as queued, and asks the model for nothing', async () => {
  const { beats, start, gate } = await execution();
  const release = await gate.acquire('another', new AbortController().signal);
  const before = server.stats().requests;
  const result = start(await openRun());
  await until('it waits', async () => beats.length >= 4);
  expect(beats.every((beat) => beat.phase === 'queued' && beat.tokens === 0)).toBe(true);
  expect(server.stats().requests).toBe(before);
  release();
  await result;
  expect(server.stats().requests).toBe(before + 1);
});

test('cancellation aborts the request at the model server and gives the sequence back', async () => {
  const { start, environment, gate, beats } = await execution();
  const { aborted } = server.stats();
  const input = await openRun(1_000);
  const result = start(input);
  await until('tokens come', async () => beats.at(-1)?.phase === 'token');
  environment.cancel('CANCELLED');
  await expect(result).rejects.toMatchObject({ name: 'CancelledFailure' });
  await until('the server saw it go', async () => server.stats().aborted === aborted + 1);
  expect(gate.inUse).toBe(0);
  expect(await stage.steps.read({ workId: input.runId, step: input.step })).toBeUndefined();
});

test('canceled while it waits for a sequence, it leaves the queue', async () => {
  const { start, environment, gate, beats } = await execution();
  const release = await gate.acquire('another', new AbortController().signal);
  const before = server.stats().requests;
  const result = start(await openRun());
  await until('it waits', async () => beats.length >= 2);
  environment.cancel('CANCELLED');
  await expect(result).rejects.toMatchObject({ name: 'CancelledFailure' });
  release();
  expect(gate.inUse).toBe(0);
  expect(server.stats().requests).toBe(before);
});

test('the loss of the lease aborts the request and ends the attempt as fenced', async () => {
  const { start, loseLease, gate, beats } = await execution();
  const { aborted } = server.stats();
  const input = await openRun(1_000);
  const result = start(input);
  await until('tokens come', async () => beats.at(-1)?.phase === 'token');
  loseLease();
  await expect(result).rejects.toMatchObject({ type: 'FENCED', nonRetryable: true });
  await until('the server saw it go', async () => server.stats().aborted === aborted + 1);
  expect(gate.inUse).toBe(0);
  expect(await stage.steps.read({ workId: input.runId, step: input.step })).toBeUndefined();
});

test('executed a second time, it finds the result and asks nobody', async () => {
  const input = await openRun();
  const first = await (await execution()).start(input);
  const before = server.stats().requests;
  const second = await execution();
  expect(await second.start(input)).toEqual(first);
  expect(server.stats().requests).toBe(before);
  expect(second.beats).toEqual([]);
});

test('two executions at once store one result, and both answer with it', async () => {
  const input = await openRun();
  const executions = await Promise.all([execution(), execution()]);
  const answers = await Promise.all(executions.map(({ start }) => start(input)));
  expect(answers[0]).toEqual(answers[1]);
  const rows = await stage.db.selectFrom('stepResults').select('step').where('workId', '=', input.runId).execute();
  expect(rows.map(({ step }) => step).sort()).toEqual(['focus-1', 'insights']);
});

test('a server that breaks off is told to the watch and tried again; a run that has ended is not worked on', async () => {
  const input = await openRun();
  await server.setFault({ kind: 'cut', afterTokens: 10 });
  const { start, down, gate } = await execution();
  await expect(start(input)).rejects.toMatchObject({ type: 'MODEL_SERVER_DOWN', nonRetryable: false });
  expect(down).toEqual(['MODEL_SERVER_DOWN']);
  expect(gate.inUse).toBe(0);
  await stage.activities.endRun({ runId: input.runId, state: 'canceled', reason: 'by the test' });
  await expect((await execution()).start(input)).rejects.toMatchObject({ type: 'CONFLICT', nonRetryable: true });
});
