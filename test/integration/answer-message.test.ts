import { WorkflowExecutionAlreadyStartedError, type WorkflowFailedError } from '@temporalio/client';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { idOf } from '../../domain/ids.ts';
import { newId } from '../../stores/ids.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { plainMemories } from '../support/memories.ts';
import { createMortal } from '../support/mortal.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import { createScriptedText, textsInHand, writes } from '../support/scripted-text.ts';
import { openStage, type Stage, type StageMachine } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

let stage: Stage;
let mainpc: StageMachine;
const model = createScriptedText();
const { dying, mortal } = createMortal();

beforeAll(async () => {
  stage = await openStage(testFleet({ heavy: 1, light: 24 }), mortal);
  // The heavy model stands on this machine alone; the light one is asked for elsewhere.
  mainpc = await stage.join('mainpc', createScriptedInference(), { text: model });
  await stage.plan();
});
afterAll(() => stage?.close());
afterEach(() => {
  model.answer();
  model.calls.length = 0;
});

let taken = 0;
async function agentWith(memories: number): Promise<string> {
  taken += 1;
  const agentId = `light-${String(taken).padStart(3, '0')}`;
  await stage.remember(plainMemories([agentId], memories));
  return agentId;
}
async function remembered(agentId: string) {
  return stage.db
    .selectFrom('memories')
    .select(['id', 'kind', 'text', 'source', 'seq'])
    .where('agentId', '=', agentId)
    .where('kind', 'in', ['conversation', 'reply'])
    .orderBy('seq')
    .execute();
}
async function cited(messageId: string) {
  return stage.db
    .selectFrom('messageCitations')
    .innerJoin('memories', 'memories.id', 'messageCitations.memoryId')
    .select(['alias', 'memories.agentId', 'memories.text'])
    .where('messageId', '=', messageId)
    .orderBy('ordinal')
    .execute();
}
async function failureOf(result: Promise<unknown>): Promise<string> {
  const err = await result.then(
    () => undefined,
    (failed: WorkflowFailedError) => failed,
  );
  return err?.cause?.message ?? 'it did not fail';
}

test('is answered by the model, cites the agent’s memories, and both sides are remembered once', async () => {
  const agentId = await agentWith(12);
  model.answer(writes('Boats, many of them [m1], and more [m99].'));
  const said = await stage.say(agentId, 'How many boats were at the pier?');
  expect(await said.result()).toEqual({ messageId: said.messageId, state: 'answered' });
  const message = (await stage.message(said.messageId))!;
  expect(message).toMatchObject({
    state: 'answered',
    answer: 'Boats, many of them [m1], and more.',
    source: 'model',
    machineId: 'mainpc',
    degraded: false,
    attempt: 1,
    promptVersion: 'talk/2',
    reason: '',
  });
  expect(message.seed).toBe(model.calls[0]!.seed);
  const citations = await cited(said.messageId);
  expect(citations).toMatchObject([{ alias: 'm1', agentId }]);
  expect(citations[0]!.text).toContain('boats at the pier');
  const kept = await remembered(agentId);
  expect(kept.map(({ kind, text, source }) => [kind, text, source])).toEqual([
    ['conversation', 'How many boats were at the pier?', 'Ada'],
    ['reply', message.answer, agentId],
  ]);
  expect([message.saidMemoryId, message.replyMemoryId]).toEqual(kept.map(({ id }) => id));
  expect(stage.written.filter(({ messageId }) => messageId === said.messageId)).toEqual([
    { messageId: said.messageId, attempt: 1, machineId: 'mainpc', text: 'Boats, many of them [m1], and more [m99].' },
  ]);

  // Told twice, the second time changes nothing.
  expect(await stage.activities.storeAnswer({ messageId: said.messageId })).toBe('answered');
  expect(await remembered(agentId)).toEqual(kept);
  expect(await cited(said.messageId)).toEqual(citations);
});

test.each(['beginAnswer', 'storeAnswer'])(
  'a crash after the commit of %s leaves one message, asked once and remembered once',
  async (step) => {
    const agentId = await agentWith(6);
    model.answer(writes('Boats [m1].'));
    dying.add(step);
    const said = await stage.say(agentId, `How many boats at ${step}?`);
    expect(await said.result()).toEqual({ messageId: said.messageId, state: 'answered' });
    expect(dying.size).toBe(0);
    expect(model.calls).toHaveLength(1);
    expect((await remembered(agentId)).map(({ kind, text }) => [kind, text])).toEqual([
      ['conversation', `How many boats at ${step}?`],
      ['reply', 'Boats [m1].'],
    ]);
    expect(await cited(said.messageId)).toHaveLength(1);
    const rows = await stage.db.selectFrom('messages').select('state').where('agentId', '=', agentId).execute();
    expect(rows).toEqual([{ state: 'answered' }]);
    const events = await stage.db
      .selectFrom('events')
      .select('type')
      .where('subject', '=', said.messageId)
      .where('type', '=', 'message.answered')
      .execute();
    expect(events).toHaveLength(1);
  },
);

test('what no longer holds comes to mind, and the model is told until when it did', async () => {
  const agentId = await agentWith(3);
  await sql`update memories set valid_to = '2020-01-02T00:00:00Z', occurred_at = '2020-01-01T00:00:00Z' where agent_id = ${agentId}
    and seq = 1`.execute(stage.db);
  model.answer(writes('Many once [m1].'));
  await (await stage.say(agentId, 'How many boats were at the pier?')).result();
  const lines = model.calls[0]!.messages[1]!.content.split('\n').filter((line) => line.startsWith('{"id":"m'));
  const ends = lines.map((line) => JSON.parse(line) as { at: string; until?: string });
  expect(ends).toHaveLength(3);
  expect(ends.filter(({ until }) => until !== undefined)).toMatchObject([{ at: '2020-01-01', until: '2020-01-02' }]);
});

test('the next message of a conversation is shown the earlier turns, and not once more as memories', async () => {
  const agentId = await agentWith(6);
  const conversationId = idOf('conversation', newId('message').slice(4));
  model.answer(writes('Their keels are green.'));
  await (await stage.say(agentId, 'What colour are the keels?', { conversationId })).result();
  await (await stage.say(agentId, 'What colour are the keels, again?', { conversationId })).result();
  const [first, second] = model.calls.map(({ messages }) => messages[1]!.content);
  expect(first).not.toContain('<conversation>');
  expect(second!.split('What colour are the keels?').length).toBe(2);
  expect(second!.split('Their keels are green.').length).toBe(2);
  expect(second).toContain('{"from":"you","text":"Their keels are green."}');
  // In another conversation it is a memory like others.
  await (await stage.say(agentId, 'Tell me of the keels.')).result();
  const third = model.calls[2]!.messages[1]!.content;
  expect(third).not.toContain('<conversation>');
  expect(third).toContain('Their keels are green.');
});

test('the same id starts once; whoever comes again is told how it stands', async () => {
  const agentId = await agentWith(3);
  const said = await stage.say(agentId, 'Once?');
  await expect(stage.say(agentId, 'Once?', { messageId: said.messageId })).rejects.toThrow(
    WorkflowExecutionAlreadyStartedError,
  );
  await said.result();
  await expect(stage.say(agentId, 'Once?', { messageId: said.messageId })).rejects.toThrow(
    WorkflowExecutionAlreadyStartedError,
  );
  const again = await stage.activities.beginAnswer({
    messageId: said.messageId,
    ownerId: testOwner,
    agentId,
    conversationId: 'cnv_x',
    authorId: 'tok_test',
    author: 'Ada',
    text: 'Once?',
    contentHash: 'Once?',
  });
  expect(again).toMatchObject({ kind: 'ended', state: 'answered' });
  expect(model.calls.length).toBe(1);
});

test('a retired agent does not answer, a paused one does', async () => {
  const [retired, paused] = [await agentWith(2), await agentWith(2)];
  await stage.db
    .updateTable('agents')
    .set({ state: 'retired', retiredBy: 'operator' })
    .where('id', '=', retired)
    .execute();
  await stage.db.updateTable('agents').set({ paused: true }).where('id', '=', paused).execute();
  const [refused, answered] = [await stage.say(retired, 'Are you there?'), await stage.say(paused, 'Are you there?')];
  expect(await failureOf(refused.result())).toBe(`${retired} is retired`);
  expect(await stage.message(refused.messageId)).toMatchObject({ state: 'failed', reason: `${retired} is retired` });
  expect((await answered.result()).state).toBe('answered');
  expect(await failureOf((await stage.say('nobody-001', 'Are you there?')).result())).toBe('no agent nobody-001');
});

test('an agent that is retired while it answers still answers, and remembers nothing', async () => {
  const agentId = await agentWith(3);
  const { generate, count, letGo } = textsInHand('Farewell.');
  model.answer(generate);
  const said = await stage.say(agentId, 'Will you go?');
  await until('the call is in hand', async () => count() === 1);
  await stage.db
    .updateTable('agents')
    .set({ state: 'retired', retiredBy: 'operator' })
    .where('id', '=', agentId)
    .execute();
  letGo();
  expect((await said.result()).state).toBe('answered');
  expect(await stage.message(said.messageId)).toMatchObject({ answer: 'Farewell.', saidMemoryId: null });
  expect(await remembered(agentId)).toEqual([]);
});

test('canceled while a call is in hand: the call is aborted, and nothing is remembered', async () => {
  const agentId = await agentWith(3);
  const { generate, count } = textsInHand('never');
  model.answer(generate);
  const said = await stage.say(agentId, 'Wait …');
  await until('the call is in hand', async () => count() === 1);
  await said.cancel();
  await failureOf(said.result());
  expect(await stage.message(said.messageId)).toMatchObject({ state: 'canceled', reason: 'canceled by hand' });
  await until('the call was aborted', async () => count() === 0);
  expect(await remembered(agentId)).toEqual([]);
});

test('what a model refuses fails with its reason; what it fails at once is tried again', async () => {
  const agentId = await agentWith(3);
  model.answer(() => Promise.reject(new DomainError('MODEL_REFUSED', 'model server answered 400: no')));
  const refused = await stage.say(agentId, 'No?');
  await failureOf(refused.result());
  expect(await stage.message(refused.messageId)).toMatchObject({
    state: 'failed',
    reason: 'model server answered 400: no',
  });
  expect(model.calls.length).toBe(1);
  model.answer(writes('   '));
  const empty = await stage.say(agentId, 'Nothing?');
  await failureOf(empty.result());
  expect((await stage.message(empty.messageId))?.reason).toBe('the model answered with no text');
  expect(await remembered(agentId)).toEqual([]);

  model.calls.length = 0;
  model.answer((request, watch) =>
    model.calls.length < 3
      ? Promise.reject(new DomainError('MODEL_STALLED', 'no token for 1 s'))
      : writes('Now.')(request, watch),
  );
  const said = await stage.say(agentId, 'And now?');
  expect((await said.result()).state).toBe('answered');
  expect(await stage.message(said.messageId)).toMatchObject({ answer: 'Now.', attempt: 3 });
  const attempts = stage.written.filter(({ messageId }) => messageId === said.messageId);
  expect(attempts.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
});

test('an answer that ended at the token limit says so', async () => {
  const agentId = await agentWith(3);
  model.answer(writes('And then', 'length'));
  const said = await stage.say(agentId, 'Tell me all.');
  await said.result();
  expect(await stage.message(said.messageId)).toMatchObject({ answer: 'And then', reason: 'ended at the token limit' });
});

test('a call that hangs without a token is given to another attempt; remembered once', async () => {
  const agentId = await agentWith(3);
  const hanging = Promise.withResolvers<never>();
  hanging.promise.catch(() => undefined);
  model.answer((request, watch) => (model.calls.length === 1 ? hanging.promise : writes('At last.')(request, watch)));
  const said = await stage.say(agentId, 'Still there?');
  expect((await said.result()).state).toBe('answered');
  hanging.reject(new Error('the test ends'));
  expect(await stage.message(said.messageId)).toMatchObject({ answer: 'At last.', attempt: 2 });
  expect((await remembered(agentId)).length).toBe(2);
});

test.each([{ abortCalls: false }, { abortCalls: true }])(
  'work of a passed epoch is fenced and the answer made anew (abortCalls: $abortCalls)',
  async ({ abortCalls }) => {
    const agentId = await agentWith(3);
    const { generate, count, letGo } = textsInHand('From before.');
    model.answer(generate);
    const said = await stage.say(agentId, 'Which life is this?');
    await until('the call is in hand', async () => count() === 1);
    model.answer(writes('The next one.'));
    await mainpc.takeNextEpoch({ abortCalls });
    letGo();
    expect((await said.result()).state).toBe('answered');
    expect(await stage.message(said.messageId)).toMatchObject({ answer: 'The next one.', attempt: 2 });
    expect((await remembered(agentId)).length).toBe(2);
  },
);

test('two who talk to one agent at once are both answered, and all of it is remembered in order', async () => {
  const agentId = await agentWith(3);
  const { generate, count, letGo } = textsInHand('To both.');
  model.answer(generate);
  const both = [await stage.say(agentId, 'I am first.'), await stage.say(agentId, 'So am I.')];
  await until('both calls are in hand', async () => count() === 2);
  letGo();
  for (const said of both) expect((await said.result()).state).toBe('answered');
  const kept = await remembered(agentId);
  expect(kept.map(({ seq }) => seq)).toEqual([4, 5, 6, 7]);
  expect(
    kept
      .filter(({ kind }) => kind === 'conversation')
      .map(({ text }) => text)
      .sort(),
  ).toEqual(['I am first.', 'So am I.']);
});

test('the workflow gone, a message still ends once; a text that a person had forgotten is gone from its message too', async () => {
  const agentId = await agentWith(3);
  const said = await stage.say(agentId, 'My street is Elm Street.');
  await said.result();
  await stage.messages.end(said.messageId, { state: 'canceled', reason: 'too late' });
  const message = (await stage.message(said.messageId))!;
  expect(message.state).toBe('answered');
  const gone = await stage.memories.forget(testOwner, message.saidMemoryId!, 'asked for');
  expect(gone).toEqual({ reflections: [], messages: [], forgotten: [], copies: [], packages: [] });
  const citation = await stage.db
    .selectFrom('messageCitations')
    .select('memoryId')
    .where('messageId', '=', said.messageId)
    .executeTakeFirstOrThrow();
  expect(await stage.memories.forget(testOwner, citation.memoryId, 'asked for')).toMatchObject({
    messages: [said.messageId],
  });
  await stage.memories.forget(testOwner, message.replyMemoryId!, 'asked for');
  expect(await stage.message(said.messageId)).toMatchObject({ text: '', answer: '' });

  const quoted = await stage.say(agentId, 'What do you remember?');
  await quoted.result();
  const first = (await stage.message(quoted.messageId))!;
  const own = 'The lamp of the pier has been dark since the storm.';
  await stage.remember([{ ...plainMemories([agentId], 1)[0]!, externalKey: 'lamp', text: own }]);
  const [lamp] = await stage.db.selectFrom('memories').select('id').where('text', '=', own).execute();
  await sql`update messages set answer = ${`Somebody said: the lamp of the pier has been dark.`} where id = ${quoted.messageId}`.execute(
    stage.db,
  );
  expect((await stage.memories.forget(testOwner, lamp!.id, 'asked for')).forgotten).toEqual([quoted.messageId]);
  expect((await stage.message(quoted.messageId))!.answer).toBe('');
  const reply = await stage.db
    .selectFrom('memories')
    .select(['text', 'deletedReason'])
    .where('id', '=', first.replyMemoryId!)
    .executeTakeFirstOrThrow();
  expect(reply).toEqual({ text: '', deletedReason: 'asked for' });
  const texts = await stage.db
    .selectFrom('stepResults')
    .select('result')
    .where('workId', '=', said.messageId)
    .execute();
  expect(texts).toEqual([]);
});

test('forgotten while it is being answered, by the model or before its answer is stored: no word of it is, and it is asked anew', async () => {
  const words = 'The ferryman keeps his tin whistle in the red mailbox.';
  const quotes = 'He keeps his tin whistle in the red mailbox [m1].';
  const agentId = await agentWith(3);
  const tell = async (externalKey: string) => {
    await stage.remember([{ ...plainMemories([agentId], 1)[0]!, externalKey, text: words }]);
    const row = await stage.db.selectFrom('memories').select('id').where('text', '=', words).executeTakeFirstOrThrow();
    return row.id;
  };
  const inHand = await tell('whistle');
  const { generate, count, letGo } = textsInHand(quotes);
  model.answer(generate);
  const said = await stage.say(agentId, 'Where does the ferryman keep his tin whistle?');
  await until('the call is in hand', async () => count() === 1);
  expect(model.calls[0]!.messages[1]!.content).toContain('red mailbox');
  await stage.memories.forget(testOwner, inHand, 'asked for');
  model.answer(writes('I do not know.'));
  letGo();
  expect(await said.result()).toEqual({ messageId: said.messageId, state: 'answered' });
  expect(await stage.message(said.messageId)).toMatchObject({ answer: 'I do not know.', attempt: 2 });
  expect(model.calls[1]!.messages[1]!.content).not.toContain('red mailbox');

  // Its step stands already when it is forgotten, and nobody has stored it yet.
  const open = await stage.db
    .selectFrom('messages')
    .selectAll()
    .where('id', '=', said.messageId)
    .executeTakeFirstOrThrow();
  const result = await stage.db
    .selectFrom('stepResults')
    .selectAll()
    .where('workId', '=', said.messageId)
    .executeTakeFirstOrThrow();
  const standing = await tell('whistle again');
  const messageId = newId('message');
  await stage.db
    .insertInto('messages')
    .values({
      ...open,
      id: messageId,
      state: 'answering',
      answer: '',
      endedAt: null,
      saidMemoryId: null,
      replyMemoryId: null,
    })
    .execute();
  const step = { ...(result.result as object), text: 'It lies among letters.', shown: [standing], citations: [] };
  await stage.db
    .insertInto('stepResults')
    .values({ ...result, workId: messageId, result: JSON.stringify(step) })
    .execute();
  await stage.memories.forget(testOwner, standing, 'asked for');
  expect(await stage.db.selectFrom('stepResults').select('step').where('workId', '=', messageId).execute()).toEqual([]);
  expect(await stage.activities.storeAnswer({ messageId })).toBe('answering');
  const { rows } = await sql`
    select id from memories where text like '%red mailbox%' union all select id from messages where answer like '%red mailbox%'
    union all select work_id from step_results where result::text like '%red mailbox%'`.execute(stage.db);
  expect(rows).toEqual([]);
});
