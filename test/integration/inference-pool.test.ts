import { afterAll, beforeAll, expect, test } from 'vitest';
import { testFleet } from '../support/fleets.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import { openStage, type Stage } from '../support/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage(testFleet({ heavy: 2, light: 2 }));
  await stage.remember(plainMemories(await everyAgentId(stage.db), 8));
});
afterAll(() => stage?.close());

test('a machine that stopped polling and polls again, time after time, serves every queue', async () => {
  const mainpc = await stage.join('mainpc', createScriptedInference(), { sequences: 2 });
  await stage.plan();
  for (let i = 0; i < 6; i += 1) {
    // Polls must be out when the workers are told to stop: that is when permits were lost.
    await new Promise((resolve) => setTimeout(resolve, 150));
    await mainpc.pollAnew();
  }
  const handles = await Promise.all(
    ['heavy-001', 'heavy-002', 'light-001', 'light-002'].map((agentId) => stage.reflect(agentId, 'call-anew')),
  );
  const results = await Promise.all(handles.map((handle) => handle.result()));
  expect(results.map(({ state, degraded }) => `${state} ${degraded}`)).toEqual(Array(4).fill('done false'));
});
