import { WorkflowIdReusePolicy } from '@temporalio/client';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { driftWorkflowId } from '../../domain/ids.ts';
import { createRandom, seedOf } from '../../domain/random.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { listAgentDrift, listDriftRatings } from '../../stores/queries/drift.ts';
import type { RateDriftResult } from '../../workflows/rate-drift.ts';
import { testFleet } from '../support/fleets.ts';
import { createMortal } from '../support/mortal.ts';
import { applyRetention } from '../support/retention.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

const agentIds = Array.from({ length: 20 }, (_, i) => `light-${String(i + 1).padStart(3, '0')}`);
const { dying, mortal } = createMortal();
const fleet = testFleet({ heavy: 0, light: 20 });
let stage: Stage;

beforeAll(async () => {
  stage = await openStage(fleet, mortal);
});
afterAll(() => stage?.close());

async function rate(period: string): Promise<RateDriftResult> {
  const handle = await stage.client.workflow.start('rateDrift', {
    workflowId: driftWorkflowId(period),
    taskQueue: coordinationQueue,
    args: [{ period }],
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
  });
  return (await handle.result()) as RateDriftResult;
}

const shared = 'harbour rain market bell road lamp boat bread stone night wind letter'.split(' ');
/** Words that only this speaker uses, between those that everybody does. */
function sentence(speaker: string, at: number): string {
  const random = createRandom(seedOf(`${speaker}/${at}`));
  const name = speaker.replaceAll(/\d/g, (digit) => 'qrstuvwxyz'[Number(digit)]!).replaceAll('-', '');
  const own = Array.from({ length: 9 }, (_, i) => `${name}${'abcdefghi'[i]}`);
  const words = [
    ...Array.from({ length: 6 }, () => random.pick(shared)),
    ...Array.from({ length: 6 }, () => random.pick(own)),
  ];
  return `${random.shuffle(words).join(' ')} ${at}`;
}

let saidSoFar = 0;
async function say(agentId: string, count: number, speaker = agentId): Promise<void> {
  await stage.remember(
    Array.from({ length: count }, () => {
      saidSoFar += 1;
      return {
        agentId,
        externalKey: `said-${saidSoFar}`,
        kind: 'reply' as const,
        text: sentence(speaker, saidSoFar),
        importance: 5,
        source: 'test',
        occurredAt: '2026-01-01T00:00:00.000Z',
      };
    }),
  );
}
const ratingsOf = (agentId: string) => listDriftRatings(stage.db, { ownerId: testOwner, agentId, limit: 50 });
const eventsOf = async (agentId: string) =>
  (
    await stage.db
      .selectFrom('events')
      .select('data')
      .where('type', '=', 'agent.drift_changed')
      .where('subject', '=', agentId)
      .orderBy('id')
      .execute()
  ).map(({ data }) => data as { from: string; to: string });

test('agents that have said nothing, or too little, are not rated, and it is said what is missing', async () => {
  await say(agentIds[0]!, 2);
  expect(await rate('silence')).toEqual({ rated: 0, changed: 0, left: 20 });
  const rows = await listAgentDrift(stage.db, { ownerId: testOwner, limit: 50 });
  expect(rows.map(({ state }) => state)).toEqual(agentIds.map(() => null));
  expect(rows[0]!.why).toBe('has said 2 things of its own; a rating takes 3');
  expect(rows[1]!.why).toBe('has said 0 things of its own; a rating takes 3');
});

test('what was merely seen or told is no output', async () => {
  await stage.remember(
    Array.from({ length: 5 }, (_, i) => ({
      agentId: agentIds[1]!,
      externalKey: `seen-${i}`,
      kind: 'observation' as const,
      text: `I saw boat ${i}`,
      importance: 5,
      source: 'test',
      occurredAt: '2026-01-01T00:00:00.000Z',
    })),
  );
  expect((await rate('seen')).rated).toBe(0);
});

test('a first rating says that nothing is usual yet; the same period again, also after a crash, makes no second one', async () => {
  for (const agentId of agentIds) await say(agentId, 4);
  dying.add('prepareDrift').add('ratePage');
  const done = await rate('first');
  expect(dying.size).toBe(0);
  // The first page of sixteen died with its ratings stored: its second execution found them, and stored none.
  expect(done).toEqual({ rated: 4, changed: 0, left: 16 });
  expect(await rate('first')).toEqual({ rated: 0, changed: 0, left: 20 });
  for (const agentId of agentIds) {
    const [rating, ...others] = await ratingsOf(agentId);
    expect(others).toEqual([]);
    expect(rating).toMatchObject({ period: 'first', state: 'calm', z: null, model: 'use-lite-en' });
    expect(rating!.reason).toContain('nothing is usual yet');
  }
});

test('without anything new there is no new rating; with more said, agents are told apart in a persona space', async () => {
  expect((await rate('unchanged')).rated).toBe(0);
  for (const agentId of agentIds) await say(agentId, 150);
  expect(await rate('grown')).toMatchObject({ rated: 20 });
  const rows = (await Promise.all(agentIds.map((agentId) => ratingsOf(agentId)))).map(([last]) => last!);
  for (const { z, spaceId, windowSize, reason } of rows) {
    expect(spaceId).toMatch(/^dsp_/);
    expect(reason).toBe('');
    expect(windowSize).toBeGreaterThanOrEqual(51);
    expect(z).toBeTypeOf('number');
  }
  expect(rows.filter(({ state }) => state !== 'calm').length).toBe(0);
});

test('who talks like somebody else drifts and is estranged, once each, and comes back calm; events say so', async () => {
  const [agentId, other] = [agentIds[2]!, agentIds[3]!];
  const states: string[] = [];
  for (let step = 0; step < 4; step += 1) {
    await say(agentId, 15, other);
    await rate(`strange-${step}`);
    states.push((await ratingsOf(agentId))[0]!.state);
  }
  expect(states.at(-1)).toBe('estranged');
  const [standing] = await listAgentDrift(stage.db, { ownerId: testOwner, limit: 5, state: 'estranged' });
  expect(standing).toMatchObject({ agentId, state: 'estranged' });
  for (let step = 0; step < 6; step += 1) {
    await say(agentId, 15);
    await rate(`home-${step}`);
  }
  const events = await eventsOf(agentId);
  expect(events[0]!.from).toBe('calm');
  expect(events.at(-1)!.to).toBe('calm');
  for (const [i, { from }] of events.entries()) if (i > 0) expect(from).toBe(events[i - 1]!.to);
  expect(events.length).toBeLessThanOrEqual(4);
  const quiet = agentIds.filter((id) => id !== agentId);
  for (const id of quiet) expect(await eventsOf(id)).toEqual([]);
});

test('two at once make one rating an agent, and one overtaken by another is dropped', async () => {
  await say(agentIds[4]!, 6);
  const results = await Promise.all([rate('one-of-two'), rate('two-of-two')]);
  expect(results[0].rated + results[1].rated).toBe(1);
  const before = (await ratingsOf(agentIds[4]!)).length;
  const stale = await stage.drift.store({
    ownerId: testOwner,
    period: 'late',
    model: 'use-lite-en',
    spaceId: null,
    ratings: [late(agentIds[4]!, 'drt_long-gone')],
  });
  expect(stale).toEqual({ stored: 0, changed: 0 });
  expect((await ratingsOf(agentIds[4]!)).length).toBe(before);
});

const late = (agentId: string, after: string | null) => ({
  agentId,
  after,
  state: 'drifting' as const,
  drift: 0.5,
  weighted: 0.5,
  z: 5,
  windowSize: 3,
  history: 20,
  reason: '',
  newestOutput: 'mem_x',
  vector: new Float32Array(64).fill(0.125),
});

test('an agent that is retired between the reading and the storing is left out, others are stored', async () => {
  const [leaving, staying] = [agentIds[18]!, agentIds[19]!];
  const standing = await stage.drift.agentsAfter(testOwner, agentIds[17]!, 2);
  await sql`update agents set state = 'retired', retired_by = 'file' where id = ${leaving}`.execute(stage.db);
  const ratings = standing.map((agent) => late(agent.agentId, agent.standing!.ratingId));
  const input = {
    ownerId: testOwner,
    period: 'leaving',
    model: 'use-lite-en',
    spaceId: null,
    ratings,
  };
  expect(await stage.drift.store(input)).toEqual({ stored: 1, changed: 1 });
  expect((await ratingsOf(leaving))[0]!.period).not.toBe('leaving');
  expect((await ratingsOf(staying))[0]!.period).toBe('leaving');
  expect(await eventsOf(staying)).toMatchObject([{ from: 'calm', to: 'drifting' }]);
});

test('another embedding model begins anew and says so', async () => {
  await sql`update embedding_models set model = 'another-model' where state = 'serving'`.execute(stage.db);
  await sql`update embeddings set model = 'another-model'`.execute(stage.db);
  const embeddings = { kind: 'openai', url: 'http://127.0.0.1:9/v1', model: 'another-model' } as const;
  await stage.apply({ ...fleet, embeddings });
  // Who is named again lives again.
  expect((await rate('other-model')).rated).toBe(20);
  const [rating] = await ratingsOf(agentIds[5]!);
  expect(rating).toMatchObject({ model: 'another-model', state: 'calm' });
  expect(rating!.reason).toContain(
    'the embedding model is another-model now: earlier ratings, by use-lite-en, do not compare',
  );
});

test('ratings outlive nothing but their retention; the one in force stays', async () => {
  await sql`update drift_ratings set rated_at = now() - interval '400 days'`.execute(stage.db);
  await applyRetention(stage.db);
  const { rows } = await sql<{ ratings: number; agents: number }>`
    select (select count(*) from drift_ratings) as ratings, (select count(*) from agent_drift) as agents`.execute(
    stage.db,
  );
  expect(rows[0]!.ratings).toBe(rows[0]!.agents);
});
