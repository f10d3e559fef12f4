import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BallotStage, openBallotStage } from '../support/ballot-stage.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { plainMemories } from '../support/memories.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import type { StageMachine } from '../support/stage.ts';

const agents = ['light-001', 'light-002', 'light-003', 'light-004'];
let stage: BallotStage;
let machine: StageMachine;
beforeAll(async () => {
  const fleet = testFleet({ heavy: 0, light: 4 });
  const open = { burst: 100, perHour: 100 };
  stage = await openBallotStage({
    ...fleet,
    ballots: { ...fleet.ballots, askedAgents: 0 },
    spawning: { ...fleet.spawning, approval: 'operator', fleet: open, lineage: open, mostAlike: 1, growth: 0.99 },
  });
  machine = await stage.join('pc2', createScriptedInference());
  await stage.plan();
  await stage.remember(plainMemories(agents, 4));
});
afterAll(async () => {
  await machine?.leave();
  await stage?.close();
});

async function waiting(parentId: string): Promise<string> {
  const asked = await stage.call('POST', '/whispers', { parentId, text: `Somebody for ${parentId}.` });
  const id = asked.json['id'] as string;
  await until(`${id} waits`, async () => (await whisper(id))['state'] === 'awaiting_approval');
  return id;
}
const whisper = async (id: string) => (await stage.call('GET', `/whispers/${id}`)).json;
const approval = (whisperId: string) => ({ effect: { kind: 'spawn_approval', whisperId } });
async function passed(ballot: string) {
  for (const agent of agents.slice(0, 3)) await stage.vote(ballot, agent, 1);
  return stage.due(ballot);
}

test('a passed approval lets the persona be born, once, though the step that did it died', async () => {
  const whisperId = await waiting('light-001');
  stage.dying.add('carryOut');
  const ballot = await stage.open(approval(whisperId));
  expect(await passed(ballot)).toEqual({ state: 'carried_out' });
  expect(stage.dying.size).toBe(0);
  const { state, agentId } = await whisper(whisperId);
  expect(state).toBe('spawned');
  expect((await stage.row(ballot)).reason).toBe(`${agentId as string} was born`);
  const children = await stage.db.selectFrom('agents').select('id').where('parentId', '=', 'light-001').execute();
  expect(children).toEqual([{ id: agentId }]);
});

test('an approval that is rejected leaves the whisper waiting, and one that comes too late says why', async () => {
  const whisperId = await waiting('light-002');
  const rejected = await stage.open(approval(whisperId));
  for (const agent of agents) await stage.vote(rejected, agent, 2);
  expect(await stage.due(rejected)).toEqual({ state: 'rejected' });
  expect((await whisper(whisperId))['state']).toBe('awaiting_approval');

  const late = await stage.open(approval(whisperId));
  await stage.call('POST', `/whispers/${whisperId}/refuse`, { reason: 'Not this one.' });
  expect(await passed(late)).toEqual({ state: 'effect_failed' });
  expect((await stage.row(late)).reason).toContain('is refused: Not this one.');
});

test('a quorum that comes late keeps the vote open no longer than the whisper waits', async () => {
  const whisperId = await waiting('light-002');
  const ballot = await stage.open({ ...approval(whisperId), quorum: 50, vote: '10m', extension: '30d' });
  const deadline = Date.parse((await whisper(whisperId))['deadline'] as string);
  for (const agent of agents.slice(0, 3)) await stage.vote(ballot, agent, 1);
  const { closesAt, extendedAt } = await stage.row(ballot);
  expect(extendedAt).not.toBeNull();
  expect(closesAt!.getTime()).toBeLessThan(deadline);
  expect(await stage.due(ballot)).toEqual({ state: 'carried_out' });
});

test('what was voted on is the draft that was shown: another one is not born by it', async () => {
  const whisperId = await waiting('light-003');
  const ballot = await stage.open(approval(whisperId));
  await sql`update ballots set effect = jsonb_set(effect, '{draft}', '0') where id = ${ballot}`.execute(stage.db);
  expect(await passed(ballot)).toMatchObject({ state: 'effect_failed' });
  expect((await stage.row(ballot)).reason).toContain('another draft');
  expect((await whisper(whisperId))['state']).toBe('awaiting_approval');
});

test('what could not be carried out by then is not proposed', async () => {
  const whisperId = await waiting('light-004');
  const long = await stage.call('POST', '/ballots', { title: 'In a month', vote: '30d', ...approval(whisperId) });
  expect(long.json).toMatchObject({ code: 'INVALID_INPUT', errors: [{ path: 'vote' }] });
  await stage.call('POST', `/whispers/${whisperId}/refuse`);
  const gone = await stage.call('POST', '/ballots', { title: 'Too late', ...approval(whisperId) });
  expect(gone.json).toMatchObject({ code: 'CONFLICT' });
  const theirs = await stage.call(
    'POST',
    '/ballots',
    { title: 'Theirs', ...approval(whisperId) },
    { by: stage.strangerToken },
  );
  expect(theirs.status).toBe(404);
});
