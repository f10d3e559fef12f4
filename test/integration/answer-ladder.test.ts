import { afterAll, beforeAll, expect, test } from 'vitest';
import { fleetSchema } from '../../domain/fleet.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import { openStage, type Stage, type StageMachine } from '../support/stage.ts';

/** Only the small card lives at first, and it runs no model: `heavy_q4` fits nowhere, `light_q4` is quoted for. */
let stage: Stage;
let mainpc: StageMachine;

beforeAll(async () => {
  const fleet = testFleet({ heavy: 2, light: 1, limits: { scheduleToStart: '1s' } });
  stage = await openStage(fleetSchema.parse({ ...fleet, talk: { waitFor: '4s' } }));
  await stage.remember(plainMemories(await everyAgentId(stage.db), 8));
  await stage.join('pc2', createScriptedInference());
  await stage.plan();
});
afterAll(() => stage?.close());

test('without a model memories are quoted, labelled so, each with its citation', async () => {
  const said = await stage.say('light-001', 'How many boats on day 3?');
  expect((await said.result()).state).toBe('answered');
  const message = (await stage.message(said.messageId))!;
  expect(message).toMatchObject({
    source: 'extractive',
    promptVersion: 'extractive-answer/2',
    seed: null,
    machineId: 'pc2',
  });
  const citations = await stage.db
    .selectFrom('messageCitations')
    .innerJoin('memories', 'memories.id', 'messageCitations.memoryId')
    .select(['alias', 'memories.text'])
    .where('messageId', '=', said.messageId)
    .execute();
  expect(citations.length).toBeGreaterThan(0);
  for (const { alias, text } of citations) {
    expect(message.answer).toContain(`“${text}”`);
    expect(message.answer).toContain(`[${alias}]`);
  }
});

test('nobody serves the agent’s model: the smaller one stands in, marked degraded', async () => {
  const said = await stage.say('heavy-001', 'Are you there?');
  expect((await said.result()).state).toBe('answered');
  expect(await stage.message(said.messageId)).toMatchObject({
    wantedModelId: 'heavy_q4',
    modelId: 'light_q4',
    degraded: true,
    reason: 'heavy_q4 is on no living machine; light_q4 stands in',
  });
});

test('where nobody may answer, the person is told so, soon', async () => {
  const said = await stage.say('proud-001', 'Are you there?');
  await until(
    'it says why it waits',
    async () => (await stage.message(said.messageId))?.reason.startsWith('no living') === true,
  );
  expect(await stage.message(said.messageId)).toMatchObject({
    state: 'received',
    reason: 'no living machine serves heavy_q4, and the agent may not degrade',
  });
  await expect(said.result()).rejects.toThrow();
  expect(await stage.message(said.messageId)).toMatchObject({
    state: 'failed',
    reason: 'parked for too long: no living machine serves heavy_q4, and the agent may not degrade',
  });
});

test('a message that waits is answered once a machine with the model comes', async () => {
  const said = await stage.say('proud-002', 'Are you there?');
  await until('it waits', async () => (await stage.message(said.messageId))?.reason.startsWith('no living') === true);
  mainpc = await stage.join('mainpc', createScriptedInference());
  await stage.plan();
  expect((await said.result()).state).toBe('answered');
  expect(await stage.message(said.messageId)).toMatchObject({
    machineId: 'mainpc',
    modelId: 'heavy_q4',
    degraded: false,
    reason: '',
  });
});

test('a machine that is to serve the model and does not: the person is told so too', async () => {
  const { db } = stage;
  await mainpc.leave();
  // Its lease holds and the plan still counts on it, but it polls nothing.
  await db.updateTable('machines').set({ polls: [] }).where('id', '=', 'mainpc').execute();
  const said = await stage.say('proud-001', 'Are you there?');
  await expect(said.result()).rejects.toThrow();
  expect(await stage.message(said.messageId)).toMatchObject({
    state: 'failed',
    reason: 'parked for too long: no living machine serves heavy_q4 yet',
  });
});
