import { afterAll, beforeAll, expect, test } from 'vitest';
import { testFleet } from '../support/fleets.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import { openStage, type Stage, type StageMachine } from '../support/stage.ts';

/** The only worker of `coordination` is that of mainpc, which weighs less than pc2. */
let stage: Stage;
let pc2: StageMachine;
beforeAll(async () => {
  stage = await openStage(testFleet({ light: 3 }), undefined, { coordinatedBy: 'mainpc' });
  await stage.remember(plainMemories(await everyAgentId(stage.db), 6));
  await stage.join('mainpc', createScriptedInference());
  pc2 = await stage.join('pc2', createScriptedInference());
  await stage.plan();
});
afterAll(() => stage?.close());

async function statusOfFirst(id: string): Promise<string> {
  const { firstExecutionRunId, workflowId } = await stage.sweep(id);
  await stage.client.workflow.getHandle(workflowId).result();
  const { status } = await stage.client.workflow.getHandle(workflowId, firstExecutionRunId).describe();
  return status.name;
}
async function endsOf(period: string): Promise<string[]> {
  return Object.values(await stage.ends(period)).map(({ state }) => state);
}

test('begun where a heavier machine lives beside, a sweep begins once more, and is one sweep', async () => {
  expect(await statusOfFirst('outweighed')).toBe('CONTINUED_AS_NEW');
  expect(new Set(await endsOf('call-outweighed'))).toEqual(new Set(['done']));
  const sweeps = await stage.db.selectFrom('sweeps').select('state').where('period', '=', 'call-outweighed').execute();
  expect(sweeps).toEqual([{ state: 'done' }]);
});

test('with the heavier machine gone it stays where it began', async () => {
  await pc2.leave();
  await stage.db.updateTable('machines').set({ state: 'lost' }).where('id', '=', 'pc2').execute();
  await stage.plan();
  expect(await statusOfFirst('alone')).toBe('COMPLETED');
  expect(new Set(await endsOf('call-alone'))).toEqual(new Set(['done']));
});
