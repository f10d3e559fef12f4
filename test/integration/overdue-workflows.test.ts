import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ballotWorkflowId, compositionWorkflowId, inviteWorkflowId, reflectWorkflowId } from '../../domain/ids.ts';
import { createLogger } from '../../observability/logger.ts';
import { createIntentStore } from '../../stores/intents.ts';
import { createListenerFactory } from '../../stores/listen.ts';
import { createOverdueWorkflowStore } from '../../stores/overdue-workflows.ts';
import { relayIntents } from '../../workers/intents-relay.ts';
import { type BallotStage, openBallotStage } from '../support/ballot-stage.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';

let stage: BallotStage;
beforeAll(async () => {
  const fleet = testFleet({ heavy: 0, light: 4 });
  stage = await openBallotStage({ ...fleet, ballots: { ...fleet.ballots, askedAgents: 0 } });
});
afterAll(async () => {
  await stage?.close();
});

const resume = () => createOverdueWorkflowStore(stage.db).resume();

test('a ballot whose workflow was lost while the vote was open is counted, each vote once, and its effect carried out', async () => {
  const id = await stage.open({ effect: { kind: 'blessing_share' } });
  for (const agent of ['light-001', 'light-002', 'light-003']) await stage.vote(id, agent, 1);
  const workflow = stage.client.workflow.getHandle(ballotWorkflowId(id));
  await workflow.terminate('as if Temporal’s database had been lost');
  // Not due yet, nobody looks.
  expect(await resume()).toMatchObject({ ballots: 0 });
  await sql`update ballots set closes_at = now() - interval '10 minutes' where id = ${id}`.execute(stage.db);
  expect(await resume()).toMatchObject({ ballots: 1 });
  await stage.reaches(id, 'carried_out');
  expect((await stage.row(id)).tally).toMatchObject({ voters: 3 });
  expect(await resume()).toMatchObject({ ballots: 0 });
});

test('whoever relays intents looks for it by itself', async () => {
  const id = await stage.open();
  await stage.client.workflow.getHandle(ballotWorkflowId(id)).terminate('lost');
  await sql`update ballots set closes_at = now() - interval '10 minutes' where id = ${id}`.execute(stage.db);
  const relay = relayIntents({
    client: stage.client,
    intents: createIntentStore(stage.db),
    listen: createListenerFactory(stage.scope.databaseUrl, () => undefined),
    log: createLogger({ part: 'worker', level: 'silent' }),
    resumeOverdue: resume,
    lookEveryMs: 50,
  });
  try {
    await stage.reaches(id, 'no_quorum');
  } finally {
    await relay.stop();
  }
});

test('one that runs, however late it is, is left alone', async () => {
  const id = await stage.open();
  const workflow = stage.client.workflow.getHandle(ballotWorkflowId(id));
  const { runId } = await workflow.describe();
  await sql`update ballots set closes_at = now() - interval '10 minutes' where id = ${id}`.execute(stage.db);
  expect(await resume()).toMatchObject({ ballots: 1 });
  await until('the intent is relayed', async () => {
    const { rows } = await sql`select from intents where workflow_id = ${ballotWorkflowId(id)}`.execute(stage.db);
    return rows.length === 0;
  });
  expect((await workflow.describe()).runId).toBe(runId);
  await stage.ended(id);
});

test('a lost composition and a lost invitation are asked for under the same ids', async () => {
  const { id } = await stage.db.selectFrom('agents').select('id').orderBy('id').executeTakeFirstOrThrow();
  await sql`insert into drop_schedules (id, owner_id, agent_id, times, weekdays, time_zone, jitter_minutes, per_day, next_at)
    select 'dsc_lost', owner_id, ${id}, '{09:00}', '{1}', 'UTC', 0, 1, now() + interval '1 day' from agents where id = ${id}`.execute(
    stage.db,
  );
  await sql`insert into compositions (id, owner_id, schedule_id, period, publish_at, created_at)
    select 'cmp_lost', owner_id, 'dsc_lost', now(), now(), now() - interval '1 hour' from agents where id = ${id}`.execute(
    stage.db,
  );
  expect(await resume()).toMatchObject({ compositions: 1 });
  // Nothing may be said by it: it is begun, finds that, and ends.
  await until('it has ended', async () => {
    const row = await stage.db
      .selectFrom('compositions')
      .select('state')
      .where('id', '=', 'cmp_lost')
      .executeTakeFirst();
    return row?.state === 'empty';
  });
  await stage.client.workflow.getHandle(compositionWorkflowId('cmp_lost')).result();

  const guild = (await stage.call('POST', '/guilds', { name: 'The Night Watch', seats: 3 })).json['id'] as string;
  const key = { headers: { 'idempotency-key': 'lost' } };
  const sent = await stage.call('POST', `/guilds/${guild}/invites`, { link: {} }, key);
  expect(sent.status).toBe(201);
  const invite = sent.json['id'] as string;
  const workflow = stage.client.workflow.getHandle(inviteWorkflowId(invite));
  await workflow.terminate('lost');
  await sql`update guild_invites set expires_at = now() - interval '10 minutes', created_at = now() - interval '1 day'
    where id = ${invite}`.execute(stage.db);
  expect(await resume()).toMatchObject({ invites: 1 });
  await until('it has expired', async () => {
    const row = await stage.db
      .selectFrom('guildInvites')
      .select('state')
      .where('id', '=', invite)
      .executeTakeFirstOrThrow();
    return row.state === 'expired';
  });
  expect(await workflow.result()).toEqual({ inviteId: invite, state: 'expired' });
  expect(await resume()).toMatchObject({ ballots: 0, invites: 0, compositions: 0 });
});

test('a run whose workflow was lost is begun anew under its id, so that its agent is free for the next', async () => {
  const workflowId = reflectWorkflowId('light-004', 'lost');
  const lost = (age: string) =>
    sql`
    insert into runs (id, owner_id, agent_id, workflow_id, temporal_run_id, trigger, period, state, wanted_model_id, model_id, queue, expected_tokens, created_at)
    select 'run_lost', owner_id, id, ${workflowId}, 'gone', 'schedule', 'lost', 'running', model_id, model_id, 'q', 1, now() - ${age}::interval
    from agents where id = 'light-004' on conflict (id) do update set created_at = excluded.created_at`.execute(
      stage.db,
    );
  await lost('10 minutes');
  expect(await resume()).toMatchObject({ runs: 0 });
  await lost('2 hours');
  expect(await resume()).toMatchObject({ runs: 1 });
  // It has nothing to reflect on, so it is begun and ends.
  await until('it has ended', async () => {
    const row = await stage.db
      .selectFrom('runs')
      .select('state')
      .where('id', '=', 'run_lost')
      .executeTakeFirstOrThrow();
    return row.state === 'empty';
  });
  expect(await stage.client.workflow.getHandle(workflowId).result()).toMatchObject({ state: 'empty' });
  expect(await resume()).toMatchObject({ runs: 0 });
});

test('a message to people that lost its workflow is sent, so that its destination is told of the next, too', async () => {
  await sql`insert into notifications (id, owner_id, destination, kind, key, content, created_at)
    select 'ntf_lost', owner_id, 'nobody', 'notices', 'ntf_lost', '{"title":"x","text":"x","severity":"info"}', now() - interval '10 minutes'
    from agents where id = 'light-001'`.execute(stage.db);
  expect(await resume()).toMatchObject({ notifications: 1 });
  const { rows } = await sql<{ type: string }>`select type from intents where workflow_id = 'notification:ntf_lost'
    union all select 'sendNotification' from notifications where id = 'ntf_lost' and state <> 'pending'`.execute(
    stage.db,
  );
  expect(rows.map(({ type }) => type)).toContain('sendNotification');
});
