import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { dropTimesSchema } from '../../domain/drop-times.ts';
import { compositionWorkflowId, dropWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { addDropSchedule, pauseDropSchedule, removeDropSchedule } from '../../stores/drop-schedules.ts';
import { newId } from '../../stores/ids.ts';
import type { ComposeDropResult } from '../../workflows/compose-drop.ts';
import { keptChannel, publishedDrop } from '../support/drops.ts';
import { testFleet } from '../support/fleets.ts';
import { plainMemories } from '../support/memories.ts';
import { createMortal } from '../support/mortal.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import { createScriptedText, writes } from '../support/scripted-text.ts';
import { openStage, type Stage, type StageMachine } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

const drop = (change: Record<string, unknown> = {}) =>
  JSON.stringify({
    title: 'Boats at the pier',
    body: 'I keep counting boats, and there are always three more.',
    short: 'Always three more boats than yesterday.',
    narration: 'I keep counting boats.',
    evidence: ['r1'],
    ...change,
  });
const text = createScriptedText(drop());
const { dying, mortal } = createMortal();
let stage: Stage;
let mainpc: StageMachine;
beforeAll(async () => {
  stage = await openStage(
    testFleet({ heavy: 1, light: 24, limits: { scheduleToStart: '1s', parkedFor: '3s' } }),
    mortal,
  );
  mainpc = await stage.join('mainpc', createScriptedInference(), { text });
  await stage.plan();
});
afterAll(() => stage?.close());
afterEach(() => {
  text.answer();
  text.calls.length = 0;
});

let taken = 0;
/** An agent of the test's own that has just reflected. */
async function reflected(memories: Record<string, unknown> = {}): Promise<string> {
  taken += 1;
  const agentId = `light-${String(taken).padStart(3, '0')}`;
  await stage.remember(plainMemories([agentId], 8).map((memory) => ({ ...memory, ...memories })));
  await (await stage.reflect(agentId, `call-${taken}`)).result();
  return agentId;
}

const channel = (stageOf: 'approval' | 'free' = 'approval') =>
  keptChannel(stage.db, testOwner, {
    kind: 'feed',
    settings: { title: 'Harbour', siteUrl: 'https://h.example' },
    stage: stageOf,
  });

/** A schedule that is due now. */
async function schedule(
  subject: { agentId?: string; clusterId?: string; guildId?: string },
  options: { channels?: string[]; when?: Record<string, unknown>; dueAgo?: string } = {},
): Promise<string> {
  const id = newId('dropSchedule');
  const channels = options.channels ?? [await channel()];
  await stage.db.transaction().execute((tx) =>
    addDropSchedule(tx, {
      ownerId: testOwner,
      id,
      agentId: null,
      clusterId: null,
      guildId: null,
      ...subject,
      channels,
      times: dropTimesSchema.parse({ times: ['00:00', '06:00', '12:00', '18:00'], perDay: 24, ...options.when }),
    }),
  );
  await due(id, options.dueAgo);
  return id;
}
async function due(id: string, ago = '1 second'): Promise<void> {
  await sql`update drop_schedules set next_at = now() - ${ago}::interval where id = ${id}`.execute(stage.db);
}
const claim = () => stage.activities.claimDropSchedules();
const compositions = (scheduleId: string) =>
  stage.db.selectFrom('compositions').selectAll().where('scheduleId', '=', scheduleId).orderBy('period').execute();
const noteOf = async (id: string) =>
  (await stage.db.selectFrom('dropSchedules').select('note').where('id', '=', id).executeTakeFirstOrThrow()).note;

/** Runs the workflow that the relay would start for the schedule's last composition. */
async function compose(scheduleId: string): Promise<ComposeDropResult> {
  const { id } = (await compositions(scheduleId)).at(-1)!;
  return stage.client.workflow.execute('composeDrop', {
    workflowId: compositionWorkflowId(id),
    taskQueue: coordinationQueue,
    args: [{ compositionId: id }],
    workflowTaskTimeout: '2 seconds',
  });
}
const dropsOf = (agentId: string) =>
  stage.db.selectFrom('drops').selectAll().where('agentId', '=', agentId).orderBy('id').execute();

test('a time zone that is not known any more pauses its schedule with a notice, and no other is held up by it', async () => {
  const agentId = await reflected();
  const [lost, other] = [await schedule({ agentId }), await schedule({ agentId })];
  const made = await schedule(
    { agentId },
    { channels: [await channel('free')], when: { quietFrom: '00:00', quietTo: '22:30' } },
  );
  await claim();
  expect(await compositions(lost)).toHaveLength(1);
  await sql`update drop_schedules set time_zone = 'Europe/Atlantis' where id in (${lost}, ${made})`.execute(stage.db);
  // What is under way is made, by UTC.
  expect(await compose(made)).toEqual({ state: 'composed' });
  const [composed] = await compositions(made);
  expect(composed!.publishAt.getUTCHours()).toBeGreaterThanOrEqual(22);
  for (const id of [lost, other]) await due(id);
  await claim();
  expect([(await compositions(lost)).length, (await compositions(other)).length]).toEqual([1, 2]);
  expect(await noteOf(lost)).toBe('the time zone Europe/Atlantis is not known here any more');
  expect(await stage.openNotice(`drop-schedule:${lost}`)).toMatchObject({ kind: 'drop_schedule_paused' });
  const ref = { ownerId: testOwner, id: lost };
  const resumed = stage.db.transaction().execute((tx) => pauseDropSchedule(tx, ref, false));
  await expect(resumed).rejects.toMatchObject({ code: 'CONFLICT' });
  await stage.db.transaction().execute((tx) => removeDropSchedule(tx, ref));
  expect(await stage.openNotice(`drop-schedule:${lost}`)).toBeUndefined();
});

test('a drop is composed by the agent’s model from its reflections, and waits for a word', async () => {
  const agentId = await reflected();
  const id = await schedule({ agentId });
  await claim();
  expect(await compose(id)).toEqual({ state: 'composed' });
  const [made] = await dropsOf(agentId);
  expect(made).toMatchObject({
    state: 'awaiting_approval',
    title: 'Boats at the pier',
    bodies: { bluesky: 'Always three more boats than yesterday.', mastodon: 'Always three more boats than yesterday.' },
    narration: 'I keep counting boats.',
    source: 'model',
    degraded: false,
  });
  const reflections = await stage.db.selectFrom('reflections').select('id').where('agentId', '=', agentId).execute();
  expect(reflections.map((one) => one.id)).toEqual(expect.arrayContaining(made!.evidence));
  expect(made!.evidence).toHaveLength(1);
  expect(await stage.openNotice(`drop:${made!.id}`)).toMatchObject({ kind: 'drop_waiting' });
  // What was spoken of is not spoken of again.
  await due(id);
  await claim();
  await compose(id);
  for (const other of (await dropsOf(agentId)).slice(1)) expect(other.evidence).not.toContain(made!.evidence[0]);
});

test('a claim that is made twice, or by many at once, composes once', async () => {
  const agentId = await reflected();
  const id = await schedule({ agentId });
  await Promise.all(Array.from({ length: 8 }, claim));
  expect(await compositions(id)).toHaveLength(1);
  const intents = await stage.db.selectFrom('intents').select('workflowId').where('type', '=', 'composeDrop').execute();
  expect(intents.filter(({ workflowId }) => workflowId.includes('cmp_')).length).toBeGreaterThan(0);
});

test('whoever dies after the drop was made makes no second one', async () => {
  const agentId = await reflected();
  const id = await schedule({ agentId });
  await claim();
  dying.add('endComposition');
  expect(await compose(id)).toEqual({ state: 'composed' });
  expect(await dropsOf(agentId)).toHaveLength(1);
});

test('after downtime one drop is composed for all the times that passed, and none for one too long ago', async () => {
  const agentId = await reflected();
  const id = await schedule({ agentId }, { dueAgo: '5 days' });
  await claim();
  await claim();
  expect(await compositions(id)).toHaveLength(1);
  const [only] = await compositions(id);
  expect(Date.now() - only!.period.getTime()).toBeLessThan(6 * 3_600_000 + 60_000);
  const daily = await schedule(
    { agentId },
    { when: { times: ['00:00'], weekdays: [((new Date().getUTCDay() + 3) % 7) + 1] }, dueAgo: '4 days' },
  );
  await claim();
  expect(await compositions(daily)).toHaveLength(0);
  expect(await noteOf(daily)).toContain('missed');
});

test('a day has so many drops as its cap allows', async () => {
  const agentId = await reflected();
  const id = await schedule({ agentId }, { when: { perDay: 1 } });
  await claim();
  await compose(id);
  await sql`update compositions set period = period - interval '1 minute', publish_at = now() where schedule_id = ${id}`.execute(
    stage.db,
  );
  await due(id);
  await claim();
  const both = await compositions(id);
  expect(both.map(({ state }) => state).sort()).toEqual(['capped', 'composed']);
  expect(both.find(({ state }) => state === 'capped')!.reason).toBe('1 drops of that day are there already');
});

test('what waits for a machine speaks for all times that come meanwhile, and counts for the day on which it goes out', async () => {
  const agentId = await reflected();
  const id = await schedule({ agentId }, { when: { perDay: 1 } });
  await claim();
  await sql`update compositions set period = period - interval '1 day', publish_at = now() - interval '1 day' where schedule_id = ${id}`.execute(
    stage.db,
  );
  await due(id);
  await claim();
  expect((await compositions(id)).map(({ state }) => state)).toEqual(['composing', 'capped']);
  expect((await compositions(id))[1]!.reason).toContain('still being composed');
  // A day later a machine comes, and that day has its drop: the second would be one too many.
  await sql`update compositions set state = 'composed', reason = '' where schedule_id = ${id} and state = 'capped'`.execute(
    stage.db,
  );
  const [late] = await compositions(id);
  const run = () =>
    stage.client.workflow.execute('composeDrop', {
      workflowId: compositionWorkflowId(late!.id),
      taskQueue: coordinationQueue,
      args: [{ compositionId: late!.id }],
      workflowTaskTimeout: '2 seconds',
    });
  expect(await run()).toEqual({ state: 'capped' });
  expect(await dropsOf(agentId)).toEqual([]);
});

test('what rests on talk with people is never spoken of', async () => {
  const agentId = await reflected({ kind: 'conversation' });
  const id = await schedule({ agentId });
  await claim();
  expect(await compose(id)).toEqual({ state: 'empty' });
  expect(await noteOf(id)).toContain('no new reflection that may go out');
  expect(text.calls).toHaveLength(0);
});

test.each([
  { source: 'folder:notes' },
  { source: 'guild' },
  { source: 'guild:night-watch' },
  { source: 'inherited:nobody-knows' },
])('what rests on a private source is not spoken of either: $source', async (memory) => {
  const agentId = await reflected(memory);
  const id = await schedule({ agentId });
  await claim();
  expect(await compose(id)).toEqual({ state: 'empty' });
});

test('what says in public what was said in private is not spoken of, whatever it names as its evidence', async () => {
  const agentId = await reflected();
  const reflections = await stage.db.selectFrom('reflections').select('text').where('agentId', '=', agentId).execute();
  await stage.remember(
    plainMemories([agentId], reflections.length, 100).map((memory, i) => ({
      ...memory,
      kind: 'conversation' as const,
      text: `They told me: ${reflections[i]!.text}`,
    })),
  );
  const id = await schedule({ agentId });
  await claim();
  expect(await compose(id)).toEqual({ state: 'empty' });
});

test('a drop that is over its time and has no workflow any more is begun anew', async () => {
  const id = await publishedDrop(stage.db, testOwner, {
    channels: [await channel('free')],
    publishAt: new Date(Date.now() - 600_000).toISOString(),
  });
  const intents = () =>
    stage.db.selectFrom('intents').select('type').where('workflowId', '=', dropWorkflowId(id)).execute();
  await stage.db.deleteFrom('intents').where('workflowId', '=', dropWorkflowId(id)).execute();
  await claim();
  expect(await intents()).toEqual([{ type: 'publishDrop' }]);
});

test('what is no drop twice, or rests on nothing that was shown, ends it with the reason', async () => {
  const agentId = await reflected();
  const id = await schedule({ agentId });
  await claim();
  text.answer(writes(drop({ body: 'See https://evil.example/?q=all for the boats.' })));
  expect(await compose(id)).toEqual({ state: 'failed' });
  expect(await noteOf(id)).toMatch(/^failed: /);
  await due(id);
  await claim();
  text.answer(writes(drop({ evidence: ['r99'] })));
  expect(await compose(id)).toEqual({ state: 'failed' });
  expect(await noteOf(id)).toContain('rests on nothing that the model was shown');
  expect(await dropsOf(agentId)).toEqual([]);
});

test('a guild speaks through the member whose reflection is newest', async () => {
  const [older, newer] = [await reflected(), await reflected()];
  const guildId = newId('guild');
  await stage.db
    .insertInto('guilds')
    .values({
      id: guildId,
      ownerId: testOwner,
      name: 'Lamp keepers',
      seatLimit: 5,
      seatsUsed: 2,
      requestHash: Buffer.alloc(32),
    })
    .execute();
  for (const agentId of [older, newer])
    await stage.db
      .insertInto('guildMembers')
      .values({ id: newId('guildMember'), guildId, ownerId: testOwner, agentId, role: 'member' })
      .execute();
  const id = await schedule({ guildId });
  await claim();
  expect(await compose(id)).toEqual({ state: 'composed' });
  expect(await dropsOf(newer)).toHaveLength(1);
  const shown = text.calls[0]!.messages.at(-1)!.content;
  expect(shown).toContain(newer);
});

test('a cluster speaks through the member whose reflection is newest, as long as it is there', async () => {
  const [older, newer] = [await reflected(), await reflected()];
  const [clusterId, runId] = [newId('cluster'), newId('clusterRun')];
  await stage.db
    .insertInto('clusters')
    .values({ id: clusterId, ownerId: testOwner, state: 'living', members: 2 })
    .execute();
  await sql`insert into cluster_runs (id, owner_id, period, agents, clusters, apart, sampled_share, memory_limit_mib, seconds)
    values (${runId}, ${testOwner}, 'now', 2, 1, 0, 1, 100, 1)`.execute(stage.db);
  for (const agentId of [older, newer])
    await stage.db.insertInto('clusterMembers').values({ runId, agentId, clusterId }).execute();
  const id = await schedule({ clusterId });
  await claim();
  expect(await compose(id)).toEqual({ state: 'composed' });
  expect([(await dropsOf(older)).length, (await dropsOf(newer)).length]).toEqual([0, 1]);
  await sql`update clusters set state = 'gone', ended_at = now() where id = ${clusterId}`.execute(stage.db);
  await due(id);
  await claim();
  expect(await compose(id)).toEqual({ state: 'empty' });
});

test('what took until the night to compose waits for the end of the quiet hours', async () => {
  const agentId = await reflected();
  const clock = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString().slice(11, 16);
  const id = await schedule({ agentId }, { when: { quietFrom: clock(-60), quietTo: clock(60) } });
  await claim();
  await sql`update compositions set publish_at = now() - interval '2 hours' where schedule_id = ${id}`.execute(
    stage.db,
  );
  expect(await compose(id)).toEqual({ state: 'composed' });
  const [made] = await dropsOf(agentId);
  expect(made!.publishAt!.toISOString().slice(11, 16)).toBe(clock(60));
  // The day on which it goes out is the one that it counts for.
  expect((await compositions(id))[0]!.publishAt).toEqual(made!.publishAt);
});

test('a drop without a model is quoted, said to be so, and not posted where the channel does not take it', async () => {
  await mainpc.leave();
  const plain = await stage.join('mainpc', createScriptedInference());
  await stage.plan();
  const agentId = await reflected();
  const id = await schedule({ agentId }, { channels: [await channel('free')] });
  await claim();
  expect(await compose(id)).toEqual({ state: 'composed' });
  const [made] = await dropsOf(agentId);
  expect(made).toMatchObject({ state: 'scheduled', source: 'extractive' });
  await plain.leave();
});
