import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dropTimesSchema } from '../../domain/drop-times.ts';
import { compositionWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { addDropSchedule } from '../../stores/drop-schedules.ts';
import { newId } from '../../stores/ids.ts';
import { keptChannel } from '../support/drops.ts';
import { testFleet } from '../support/fleets.ts';
import { plainMemories } from '../support/memories.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import { createScriptedText } from '../support/scripted-text.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

const words = 'I keep counting boats, and there are always more of them.';
const text = createScriptedText(
  JSON.stringify({ title: 'Boats', body: words, short: words, narration: words, evidence: ['r1'] }),
);
let stage: Stage;
beforeAll(async () => {
  stage = await openStage(testFleet({ heavy: 2, light: 1, limits: { scheduleToStart: '1s', parkedFor: '3s' } }));
  await stage.remember(plainMemories(['heavy-001'], 8));
  await stage.join('pc2', createScriptedInference(), { text });
  await stage.plan();
});
afterAll(() => stage?.close());

test('nobody serves the agent’s model: the smaller one stands in, and the drop says so', async () => {
  await (await stage.reflect('heavy-001', 'call-1')).result();
  const channel = await keptChannel(stage.db, testOwner, {
    kind: 'feed',
    settings: { title: 'Harbour', siteUrl: 'https://h.example' },
  });
  const id = newId('dropSchedule');
  await stage.db.transaction().execute((tx) =>
    addDropSchedule(tx, {
      ownerId: testOwner,
      id,
      agentId: 'heavy-001',
      clusterId: null,
      guildId: null,
      channels: [channel],
      times: dropTimesSchema.parse({ times: ['00:00', '06:00', '12:00', '18:00'] }),
    }),
  );
  await sql`update drop_schedules set next_at = now() where id = ${id}`.execute(stage.db);
  await stage.activities.claimDropSchedules();
  const composition = await stage.db.selectFrom('compositions').select('id').executeTakeFirstOrThrow();
  const result: unknown = await stage.client.workflow.execute('composeDrop', {
    workflowId: compositionWorkflowId(composition.id),
    taskQueue: coordinationQueue,
    args: [{ compositionId: composition.id }],
  });
  expect(result).toEqual({ state: 'composed' });
  const [drop] = await stage.db.selectFrom('drops').select(['source', 'degraded', 'state']).execute();
  expect(drop).toEqual({ source: 'model', degraded: true, state: 'scheduled' });
});
