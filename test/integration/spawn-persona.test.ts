import { WorkflowNotFoundError } from '@temporalio/client';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openingEgo } from '../../domain/ego.ts';
import { spawnWorkflowId } from '../../domain/ids.ts';
import { decideWhisperUpdate, type WhisperDecision } from '../../domain/messages.ts';
import type { Spawning } from '../../domain/spawn-policy.ts';
import type { SpawnEnd } from '../../domain/whispers.ts';
import { egoOf } from '../../stores/ego.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { plainMemories } from '../support/memories.ts';
import { applyRetention } from '../support/retention.ts';
import { createMortal } from '../support/mortal.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import { openStage, type Stage } from '../support/stage.ts';

let stage: Stage;
const { dying, before, mortal } = createMortal();
const open: Partial<Spawning> = {
  fleet: { burst: 1000, perHour: 0 },
  lineage: { burst: 1000, perHour: 0 },
  growth: 0.99,
  mostChildren: 100,
  mostAlike: 0.99,
};

beforeAll(async () => {
  stage = await openStage(fleetWith({}), (shipped) => mortal(shipped));
  await stage.join('mainpc', createScriptedInference());
  await stage.plan();
  await stage.remember(
    plainMemories(
      Array.from({ length: 32 }, (_, i) => `light-${String(i + 1).padStart(3, '0')}`),
      12,
    ),
  );
});
afterAll(() => stage?.close());
beforeEach(async () => {
  dying.clear();
  before.clear();
  await applySpawning({});
});

function fleetWith(spawning: Partial<Spawning>, cadence = '6h') {
  const fleet = testFleet({ heavy: 0, light: 32 });
  for (const archetype of fleet.archetypes) archetype.cadence = cadence;
  return { ...fleet, spawning: { ...fleet.spawning, ...open, ...spawning } };
}
async function applySpawning(spawning: Partial<Spawning>, cadence?: string): Promise<void> {
  await stage.apply(fleetWith(spawning, cadence));
  await stage.plan();
}

let asked = 0;
/** A parent of the test's own. */
async function whisper(text: string, parentId?: string) {
  asked += 1;
  const parent = parentId ?? `light-${String(asked).padStart(3, '0')}`;
  const received = await stage.whisper({ parentId: parent, text, requestId: `test-${asked}` });
  return { ...received, parentId: parent };
}
const agentOf = (id: string) =>
  stage.db.selectFrom('agents').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
const rowOf = (id: string) =>
  stage.db.selectFrom('whispers').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
const memoriesOf = (agentId: string) =>
  stage.db.selectFrom('memories').selectAll().where('agentId', '=', agentId).orderBy('seq').execute();

/** What must hold of every agent that a whisper called: all of it is there, once. */
async function expectWhole(agentId: string, whisperId: string, parentId: string): Promise<void> {
  const agent = await agentOf(agentId);
  expect(agent).toMatchObject({ origin: 'spawn', parentId, state: 'active', homeMachineId: 'mainpc' });
  expect(agent.persona).toContain(agent.name);
  const memories = await memoriesOf(agentId);
  expect(memories.map(({ seq }) => seq)).toEqual(memories.map((_, i) => i + 1));
  expect(memories.filter(({ source }) => source.startsWith(`inherited:${parentId}:`))).toHaveLength(8);
  // What it was handed on it has not said itself; and no reflection stands there without what it rests on.
  expect(new Set(memories.slice(0, -1).map(({ kind }) => kind))).toEqual(new Set(['observation']));
  const { rows: groundless } = await sql`select id from memories m where kind = 'reflection' and agent_id = ${agentId}
    and not exists (select from reflections r where r.memory_id = m.id)`.execute(stage.db);
  expect(groundless).toEqual([]);
  const parent = await agentOf(parentId);
  expect(agent.importanceThreshold).toBe(parent.importanceThreshold);
  expect(memories.at(-1)).toMatchObject({ kind: 'whisper', source: `whisper:${whisperId}` });
  const { rows } = await sql<{ sides: number; sum: number }>`
    select count(*) as sides, sum(amount)::bigint as sum from ego_entries where transfer_id = ${`spawn:${whisperId}`}`.execute(
    stage.db,
  );
  expect(rows).toEqual([{ sides: 2, sum: 0 }]);
  const replan = await stage.db
    .selectFrom('plans')
    .select('version')
    .where('reason', 'like', '%a persona was born%')
    .where('state', 'in', ['planned', 'applied', 'superseded'])
    .execute();
  expect(replan.length).toBeGreaterThan(0);
}

test('an admitted whisper becomes one whole persona, of its parent’s words and its own', async () => {
  const { id, parentId } = await whisper('Someone should keep a ledger of the drowned lanterns.');
  // Also what the parent said and concluded is handed on, and a threshold of its own.
  await stage.db.updateTable('agents').set({ importanceThreshold: 77 }).where('id', '=', parentId).execute();
  await sql`update memories set kind = 'reply' where agent_id = ${parentId} and seq % 2 = 0`.execute(stage.db);
  await sql`update memories set kind = 'reflection', depth = 1 where agent_id = ${parentId} and seq % 3 = 0`.execute(
    stage.db,
  );
  const result = await (await stage.spawn(id)).result();
  expect(result.state).toBe('spawned');
  const agentId = (result as { agentId: string }).agentId;
  await expectWhole(agentId, id, parentId);
  const agent = await agentOf(agentId);
  expect(agent.persona).toContain('“Someone should keep a ledger of the drowned lanterns”');
  expect(agent).toMatchObject({ lineageId: parentId, generation: 1, modelId: 'light_q4', cadence: '6h' });
  expect(await egoOf(stage.db, agentId)).toBe(100_000);
  expect(await egoOf(stage.db, parentId)).toBe(openingEgo - 100_000);
  expect(await rowOf(id)).toMatchObject({
    state: 'spawned',
    agentId,
    personaSource: 'extractive',
    promptVersion: 'inherited/1',
  });
});

describe('a crash after the work of a step leaves one whole persona:', () => {
  test.each(['beginSpawn', 'beginDraft', 'judgeNovelty', 'takeRoom', 'askApproval', 'bearPersona'])(
    '%s',
    async (step) => {
      dying.add(step);
      const { id, parentId } = await whisper(`A clerk of ${step} and of nothing else.`);
      const result = await (await stage.spawn(id)).result();
      expect(dying.size).toBe(0);
      expect(result.state).toBe('spawned');
      await expectWhole((result as { agentId: string }).agentId, id, parentId);
      const born = await stage.db.selectFrom('agents').select('id').where('parentId', '=', parentId).execute();
      expect(born).toHaveLength(1);
    },
  );
});

test('doubled intents start one workflow, and a start after its end is answered from the row', async () => {
  const { id, parentId } = await whisper('Twice asked, once born.');
  const started = await Promise.allSettled([stage.spawn(id), stage.spawn(id)]);
  expect(started.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThan(0);
  const result = await stage.client.workflow.getHandle(spawnWorkflowId(id)).result();
  // As after Temporal has forgotten the id: a fresh execution of the same whisper.
  const again: unknown = await stage.client.workflow.execute('spawnPersona', {
    workflowId: `${spawnWorkflowId(id)}:forgotten`,
    taskQueue: 'coordination',
    args: [{ whisperId: id }],
  });
  expect(again).toEqual(result);
  expect(await stage.db.selectFrom('agents').select('id').where('parentId', '=', parentId).execute()).toHaveLength(1);
});

describe('is refused, with nothing born,', () => {
  async function refused(code: string, reason: RegExp, text = 'Somebody else.'): Promise<void> {
    const { id, parentId } = await whisper(text);
    const result = await (await stage.spawn(id)).result();
    expect(result).toMatchObject({ state: 'refused', code });
    expect((result as { reason: string }).reason).toMatch(reason);
    expect(await rowOf(id)).toMatchObject({ state: 'refused', reasonCode: code, agentId: null });
    expect(await stage.db.selectFrom('agents').select('id').where('parentId', '=', parentId).execute()).toEqual([]);
    expect(await egoOf(stage.db, parentId)).toBe(openingEgo);
  }

  test('where every draft is too alike, with the nearest named', async () => {
    await applySpawning({ mostAlike: 0, drafts: 2 });
    await refused('TOO_ALIKE', /^2 drafts stood too near .*the nearest is \S+, cosine 0\.\d+$/);
  });

  test('where the cards have no room, with the numbers', async () => {
    await applySpawning({}, '1s');
    await refused('NO_ROOM', /loaded .* to \d+ %; the limit is 85 %/);
  });

  test('where the parent would keep too little ego', async () => {
    await applySpawning({ egoFloor: 950_000 });
    await refused('EGO_TOO_LOW', /holds 1000000 micro-ego/);
  });

  test('where the parent is retired meanwhile', async () => {
    const { id, parentId } = await whisper('Too late.');
    await sql`update agents set state = 'retired', retired_by = 'operator' where id = ${parentId}`.execute(stage.db);
    expect(await (await stage.spawn(id)).result()).toMatchObject({ state: 'refused', code: 'PARENT_RETIRED' });
  });

  test('where its workflow is canceled', async () => {
    await applySpawning({ approval: 'operator' });
    const { id } = await whisper('Never mind.');
    const handle = await stage.spawn(id);
    await until('it waits', async () => (await rowOf(id)).state === 'awaiting_approval');
    await handle.cancel();
    expect(await handle.result()).toMatchObject({ state: 'refused', code: 'CANCELED' });
  });
});

describe('an operator’s word', () => {
  const decide = (id: string, decision: WhisperDecision) =>
    stage.client.workflow
      .getHandle(spawnWorkflowId(id))
      .executeUpdate<SpawnEnd, [WhisperDecision]>(decideWhisperUpdate, { args: [decision] });
  async function waiting(spawning: Partial<Spawning> = {}) {
    await applySpawning({ approval: 'operator', ...spawning });
    const asking = await whisper('May I?');
    const handle = await stage.spawn(asking.id);
    await until('it waits', async () => (await rowOf(asking.id)).state === 'awaiting_approval');
    return { ...asking, handle };
  }

  test('lets it be born, and the notice goes', async () => {
    const { id, parentId } = await waiting();
    expect(await stage.openNotice(`whisper:${id}`)).toMatchObject({
      kind: 'whisper_waiting',
      action: `soulfra whispers approve ${id} · soulfra whispers refuse ${id}`,
    });
    const answer = await decide(id, { draft: 1, approve: true });
    expect(answer).toMatchObject({ state: 'spawned' });
    await expectWhole((answer as { agentId: string }).agentId, id, parentId);
    expect(await stage.openNotice(`whisper:${id}`)).toBeUndefined();
  });

  test('two words at once: the first stands, the other is answered with what came of it', async () => {
    const { id, parentId } = await waiting();
    const answers = await Promise.allSettled([
      decide(id, { draft: 1, approve: true }),
      decide(id, { draft: 1, approve: false, reason: 'no' }),
    ]);
    const told = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    const [first] = told;
    for (const answer of told) expect(answer).toEqual(first);
    // The workflow may be over before the second word comes; the API then answers with the row.
    for (const answer of answers)
      if (answer.status === 'rejected') expect(answer.reason).toBeInstanceOf(WorkflowNotFoundError);
    if (first?.state === 'spawned') await expectWhole(first.agentId, id, parentId);
    else expect(first).toMatchObject({ state: 'refused', code: 'NOT_APPROVED' });
  });

  test('refuses it with a reason', async () => {
    const { id } = await waiting();
    expect(await decide(id, { draft: 1, approve: false, reason: 'we are enough' })).toMatchObject({
      state: 'refused',
      code: 'NOT_APPROVED',
      reason: 'we are enough',
    });
    expect(await stage.openNotice(`whisper:${id}`)).toBeUndefined();
  });

  test('that does not come until the deadline is a no, and one at the deadline is one of the two', async () => {
    const { id, handle } = await waiting({ deadline: '1s' });
    const late = decide(id, { draft: 1, approve: true }).catch((err: unknown) => err);
    const result = await handle.result();
    if (result.state === 'spawned') expect(await late).toEqual(result);
    const alone = await waiting({ deadline: '1s' });
    expect(await alone.handle.result()).toMatchObject({ state: 'expired', code: 'APPROVAL_EXPIRED' });
    expect(await rowOf(alone.id)).toMatchObject({ state: 'expired', agentId: null });
  });
});

test('of two drafts that are alike and pass at once, the second born is another one', async () => {
  await applySpawning({ mostAlike: 0.95, approval: 'operator' });
  const { id } = await whisper('The same words.');
  const handle = await stage.spawn(id);
  await until('it waits', async () => (await rowOf(id)).state === 'awaiting_approval');
  // What its draft says is born elsewhere while it waits.
  const twin = await whisper('Other words altogether.');
  await applySpawning({ mostAlike: 0.95 });
  const born = (await (await stage.spawn(twin.id)).result()) as { agentId: string };
  await sql`update agents a set persona = s.result->>'persona' from step_results s
    where a.id = ${born.agentId} and s.work_id = ${id} and s.step = 'persona-1'`.execute(stage.db);
  const yes = handle.executeUpdate<SpawnEnd, [WhisperDecision]>(decideWhisperUpdate, {
    args: [{ draft: 1, approve: true }],
  });
  // The yes was to the draft that is not born.
  await expect(yes).rejects.toThrow();
  const result = await handle.result();
  expect(result.state).toBe('spawned');
  expect((await rowOf(id)).draft).toBe(2);
  expect(await stage.openNotice(`whisper:${id}`)).toBeUndefined();
});

describe('a draft is not born beside one like it that was born meanwhile,', () => {
  const draftedOf = async (id: string, draft: number): Promise<string> => {
    const { rows } = await sql<{ persona: string }>`
      select result->>'persona' as persona from step_results where work_id = ${id} and step = ${`persona-${draft}`}`.execute(
      stage.db,
    );
    return rows[0]!.persona;
  };
  let arrivals = 0;
  /** Says nearly the first draft's words, as an import or an apply would bring it: without a vector. */
  async function arrival(id: string): Promise<void> {
    arrivals += 1;
    const persona = `${await draftedOf(id, 1)} Indeed.`;
    await sql`insert into agents (id, owner_id, archetype, name, persona, traits, mask_seed, cadence, model_id, least_class,
        may_degrade, priority, tokens_per_day, expected_tokens, origin, fleet_version, lineage_id)
      select ${`arrived-${arrivals}`}, owner_id, archetype, ${`Arrived ${arrivals}`}, ${persona}, traits, mask_seed, cadence, model_id, least_class,
        may_degrade, priority, tokens_per_day, expected_tokens, 'import', fleet_version, ${`arrived-${arrivals}`}
      from agents where id = 'light-024'`.execute(stage.db);
  }

  test('also where that one has no vector yet', async () => {
    await applySpawning({ mostAlike: 0.95 });
    const { id } = await whisper('Who mends the nets at night?');
    before.set('bearPersona', () => arrival(id));
    const result = await (await stage.spawn(id)).result();
    expect(result.state).toBe('spawned');
    expect(await rowOf(id)).toMatchObject({ draft: 2 });
  });

  test('also where its own vector is gone', async () => {
    await applySpawning({ mostAlike: 0.95 });
    const { id } = await whisper('Who counts the ropes at dawn?');
    before.set('bearPersona', async () => {
      await arrival(id);
      await sql`delete from embeddings`.execute(stage.db);
    });
    const result = await (await stage.spawn(id)).result();
    expect(result.state).toBe('spawned');
    expect(await rowOf(id)).toMatchObject({ draft: 2 });
  });

  test('also where both waited for a person for longer than vectors of drafts are kept', async () => {
    await applySpawning({ mostAlike: 0.95, approval: 'operator' });
    const waits = (id: string, draft: number) =>
      until('it waits', async () => {
        const row = await rowOf(id);
        return row.state === 'awaiting_approval' && row.draft === draft;
      });
    const approve = (id: string, draft: number) =>
      stage.client.workflow
        .getHandle(spawnWorkflowId(id))
        .executeUpdate<SpawnEnd, [WhisperDecision]>(decideWhisperUpdate, { args: [{ draft, approve: true }] });
    const first = await whisper('Somebody for the bell.');
    await stage.spawn(first.id);
    await waits(first.id, 1);
    const second = await whisper('Another for the fog horn.');
    await stage.spawn(second.id);
    await waits(second.id, 1);
    await sql`update step_results s set result = jsonb_set(s.result::jsonb, '{persona}', f.result::jsonb->'persona') from step_results f
      where s.work_id = ${second.id} and s.step = 'persona-1' and f.work_id = ${first.id} and f.step = 'persona-1'`.execute(
      stage.db,
    );
    await sql`update embeddings set created_at = now() - interval '2 days'`.execute(stage.db);
    await applyRetention(stage.db);
    expect(await approve(first.id, 1)).toMatchObject({ state: 'spawned' });
    await expect(approve(second.id, 1)).rejects.toThrow();
    await waits(second.id, 2);
    expect(await approve(second.id, 2)).toMatchObject({ state: 'spawned' });
    expect(await draftedOf(second.id, 2)).not.toBe(await draftedOf(first.id, 1));
  });
});

test('a word on a draft that has given way to another is refused', async () => {
  await applySpawning({ approval: 'operator', deadline: '4s' });
  const { id } = await whisper('Shown twice.');
  const handle = await stage.spawn(id);
  await until('it waits', async () => (await rowOf(id)).state === 'awaiting_approval');
  // Its name is taken while it waits, so that the yes brings no birth but another draft.
  await sql`update agents set name = ${(await rowOf(id)).name} where id = 'light-024'`.execute(stage.db);
  const yes = handle.executeUpdate<SpawnEnd, [WhisperDecision]>(decideWhisperUpdate, {
    args: [{ draft: 1, approve: true }],
  });
  await expect(yes).rejects.toThrow();
  expect(await handle.result()).toMatchObject({ state: 'expired' });
  expect((await rowOf(id)).draft).toBe(2);
});

test('one that is refused while it is parked ends as it was refused, and one that is refused beside its birth ends one way', async () => {
  const parked = await whisper('Nobody hears this.');
  await sql`update machines set lease_until = '-infinity', state = 'lost' where id = 'mainpc'`.execute(stage.db);
  const handle = await stage.spawn(parked.id);
  await until('its draft has a name', async () => (await rowOf(parked.id)).name !== null);
  const refusal = { code: 'NOT_APPROVED', reason: 'it hangs' } as const;
  expect(await stage.spawns.refuse(parked.id, refusal)).toEqual({ state: 'refused', ...refusal });
  await handle.cancel();
  expect(await handle.result()).toEqual({ state: 'refused', ...refusal });
  await sql`update machines set lease_until = 'infinity', state = 'ready' where id = 'mainpc'`.execute(stage.db);

  const born = await whisper('Born in time.');
  let late: Promise<SpawnEnd> | undefined;
  dying.add('bearPersona');
  before.set('bearPersona', () => {
    late = stage.spawns.refuse(born.id, refusal);
    return Promise.resolve();
  });
  const result = await (await stage.spawn(born.id)).result();
  expect(await late).toEqual(result);
  if (result.state === 'spawned') await expectWhole((result as { agentId: string }).agentId, born.id, born.parentId);
  else
    expect(await stage.db.selectFrom('agents').select('id').where('parentId', '=', born.parentId).execute()).toEqual(
      [],
    );
});

test('while no machine serves the parent’s model, it waits and goes on where one comes', async () => {
  const parked = await whisper('A patient one.');
  await sql`update machines set lease_until = '-infinity', state = 'lost' where id = 'mainpc'`.execute(stage.db);
  const handle = await stage.spawn(parked.id);
  await until('its draft has a name', async () => (await rowOf(parked.id)).name !== null);
  await sql`update machines set lease_until = 'infinity', state = 'ready' where id = 'mainpc'`.execute(stage.db);
  await handle.signal('rowsChanged');
  expect(await handle.result()).toMatchObject({ state: 'spawned' });
});
