import { sql } from 'kysely';
import { quoteFinder } from '../domain/plain-text.ts';
import {
  type CallPrompt,
  type FocusStep,
  forgottenMark,
  type QuestionsStep,
  type ReflectionStep,
} from '../domain/run-steps.ts';
import type { Executor } from './database.ts';
import { contentHash, deleteOrphanVectors } from './embeddings.ts';
import { appendEvents } from './events.ts';
import { forgetInMessages, forgetUnsaidAnswers, messagesOf } from './forgotten-messages.ts';
import { forgetQuotations, quotationsOf } from './quotations.ts';
import { forgetSourceItem } from './source-items.ts';
import { leaveThreads } from './threads.ts';

/** `forget`: also what rests on it without quoting it, and what rests on that. */
export type ForgottenDependents = 'keep' | 'forget';

export interface Forgotten {
  /** Rest on it and keep their texts. */
  reflections: string[];
  /** Answers to these messages cite it and keep their texts. */
  messages: string[];
  /** Reflections, and messages with their answers, that lost what they said, also as memories. */
  forgotten: string[];
  /** Memories of the owner with the very same text: told twice, or inherited. Each is for its own request. */
  copies: string[];
}

export interface ForgettableMemory {
  id: string;
  ownerId: string;
  agentId: string;
  text: string;
  externalKey: string;
  contentHash: Buffer;
}

/**
 * For a person's request, under the agent's lock: the text is gone for good, with its vectors, its words' index and its
 * hash; so is each reflection, answer and consolidated memory of the agent that quotes it, each focal question that does,
 * its side of the conversation where it was said, and what steps of open runs say after having been shown it. What a call
 * in flight brings later is dropped where it would be stored. Tombstones stay.
 */
export async function forgetMemory(
  tx: Executor,
  memory: ForgettableMemory,
  { reason, dependents }: { reason: string; dependents: ForgottenDependents },
): Promise<Forgotten> {
  const { ownerId, agentId, id } = memory;
  const { reflectionIds, replies, ...goes } = await everythingOf(tx, memory, dependents);
  const memoryIds = [id, ...(await memoriesOf(tx, reflectionIds)), ...replies];
  await redactQuestions(tx, memory);
  await redactOpenRuns(tx, memory);
  await forgetSourceItem(tx, memory.ownerId, memory.externalKey);
  await takeTexts(tx, memory, memoryIds, reason);
  await forgetUnsaidAnswers(tx, { agentId, memoryIds }, quoteFinder(memory.text));
  await forgetInMessages(tx, memoryIds);
  for (const memoryId of memoryIds) await leaveThreads(tx, ownerId, memoryId);
  await forgetQuotations(tx, { ...memory, reason });
  await appendEvents(tx, [
    {
      ownerId,
      type: 'memory.forgotten',
      subject: id,
      data: { agentId, reason, forgotten: goes.forgotten },
    },
  ]);
  return goes;
}

/** What `forgetMemory` takes and leaves. */
export async function whatGoes(
  tx: Executor,
  memory: ForgettableMemory,
  dependents: ForgottenDependents,
): Promise<Forgotten> {
  const { reflectionIds: _, replies: __, ...goes } = await everythingOf(tx, memory, dependents);
  return goes;
}

async function everythingOf(tx: Executor, memory: ForgettableMemory, dependents: ForgottenDependents) {
  const quoting = (await quotationsOf(tx, memory)).map(({ id }) => id);
  const { rows: resting } = await sql<{ id: string; direct: boolean }>`
    with recursive resting as (
      select r.id, r.memory_id, true as direct from reflection_evidence e join reflections r on r.id = e.reflection_id
      where e.memory_id = any(${[memory.id, ...quoting]})
      union
      select r.id, r.memory_id, false from resting s join reflection_evidence e on e.memory_id = s.memory_id
      join reflections r on r.id = e.reflection_id
    )
    select id, bool_or(direct) as direct from resting group by id order by id`.execute(tx);
  const { rows: own } = await sql<{ id: string; text: string }>`
    select id, text from reflections where agent_id = ${memory.agentId} and text <> '' and memory_id <> ${memory.id} order by id`.execute(
    tx,
  );
  const quotes = quoteFinder(memory.text);
  const all = new Set(dependents === 'forget' ? resting.map(({ id }) => id) : []);
  const reflectionIds = own.filter(({ id, text }) => all.has(id) || quotes(text)).map(({ id }) => id);
  const gone = new Set(reflectionIds);
  const { agentId } = memory;
  const said = await messagesOf(tx, { agentId, memoryIds: [memory.id, ...quoting] }, quotes);
  const { rows: copies } = await sql<{ id: string }>`
    select id from memories where owner_id = ${memory.ownerId} and content_hash = ${memory.contentHash} and id <> ${memory.id}
      and text <> '' order by id`.execute(tx);
  return {
    reflections: resting.filter(({ id, direct }) => direct && !gone.has(id)).map(({ id }) => id),
    messages: said.citing,
    forgotten: [...reflectionIds, ...said.quoting],
    copies: copies.map(({ id }) => id),
    reflectionIds,
    replies: said.replies,
  };
}

async function memoriesOf(tx: Executor, reflectionIds: readonly string[]): Promise<string[]> {
  if (reflectionIds.length === 0) return [];
  const rows = await tx
    .selectFrom('reflections')
    .select('memoryId')
    .where('id', 'in', [...reflectionIds])
    .execute();
  return rows.map(({ memoryId }) => memoryId);
}

/** Each under a revision of its own, so that every reader of `rev` drops what it has of it. */
async function takeTexts(
  tx: Executor,
  { ownerId, agentId }: ForgettableMemory,
  ids: readonly string[],
  reason: string,
): Promise<void> {
  const { rows: hashes } = await sql<{ hash: Buffer }>`
    select content_hash as hash from memories where id = any(${[...ids]})`.execute(tx);
  const { memoryRev } = await tx
    .updateTable('agents')
    .set({ memoryRev: sql<number>`memory_rev + ${ids.length}::int` })
    .where('id', '=', agentId)
    .returning('memoryRev')
    .executeTakeFirstOrThrow();
  // Also a hash of a short text would tell it.
  await sql`
    update memories m set text = '', content_hash = gone.hash, source = 'forgotten', external_key = m.id,
      deleted_at = coalesce(deleted_at, now()), deleted_reason = ${reason}, rev = ${memoryRev - ids.length}::bigint + gone.n
    from unnest(${[...ids]}::text[], ${ids.map((id) => contentHash(id))}::bytea[]) with ordinality as gone (id, hash, n)
    where m.id = gone.id`.execute(tx);
  await sql`update reflections set text = '', forgotten_at = now() where memory_id = any(${[...ids]})`.execute(tx);
  await deleteOrphanVectors(
    tx,
    ownerId,
    hashes.map(({ hash }) => hash),
  );
}

/** Focal questions that quote it, in the calls that are kept. */
async function redactQuestions(tx: Executor, { agentId, text }: ForgettableMemory): Promise<void> {
  const { rows } = await sql<{ runId: string; ordinal: number; question: string }>`
    select c.run_id, c.ordinal, c.prompt->>'question' as question from run_calls c join runs r on r.id = c.run_id
    where r.agent_id = ${agentId} and c.prompt->>'question' is not null`.execute(tx);
  const quotes = quoteFinder(text);
  for (const { runId, ordinal } of rows.filter(({ question }) => quotes(question))) {
    await sql`update run_calls set prompt = jsonb_set(prompt, '{question}', to_jsonb(${forgottenMark}::text))
      where run_id = ${runId} and ordinal = ${ordinal}`.execute(tx);
  }
}

type Step = QuestionsStep | FocusStep | ReflectionStep;

/** Whatever a model wrote after having been shown it is unsaid; storing drops what is left of it. */
async function redactOpenRuns(tx: Executor, { id, agentId }: ForgettableMemory): Promise<void> {
  const { rows } = await sql<{ workId: string; step: string; result: Step }>`
    select s.work_id, s.step, s.result from step_results s join runs r on r.id = s.work_id
    where r.agent_id = ${agentId} and r.ended_at is null for update of s`.execute(tx);
  const shown = ({ prompt }: { prompt: CallPrompt }) => prompt.shown.some(({ memoryId }) => memoryId === id);
  const tainted = new Set(
    rows.flatMap(({ workId, result }) =>
      ('calls' in result ? result.calls : 'call' in result ? [result.call] : []).some(shown) ? [workId] : [],
    ),
  );
  for (const { workId, step, result } of rows) {
    if (!tainted.has(workId)) continue;
    await sql`update step_results set result = ${JSON.stringify(redacted(result))}::jsonb
      where work_id = ${workId} and step = ${step}`.execute(tx);
  }
}

function redacted(step: Step): Step {
  const unsaid = <Call extends { prompt: CallPrompt }>(call: Call): Call =>
    call.prompt.question === null ? call : { ...call, prompt: { ...call.prompt, question: forgottenMark } };
  const mark = <Insight extends { text: string }>(insight: Insight): Insight => ({ ...insight, text: forgottenMark });
  if ('calls' in step) return { ...step, calls: step.calls.map(unsaid), insights: step.insights.map(mark) };
  if ('questions' in step) return { ...step, questions: step.questions.map(() => forgottenMark) };
  if ('insights' in step) return { ...step, call: unsaid(step.call), insights: step.insights.map(mark) };
  return step;
}
