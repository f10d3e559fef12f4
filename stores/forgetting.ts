import { sql } from 'kysely';
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
import { type ForgettableMemory, type Forgotten, type ForgottenDependents, whatGoes } from './forgettable.ts';
import { forgetInMessages, forgetUnsaidAnswers } from './forgotten-messages.ts';
import { forgetWhisper } from './forgotten-whispers.ts';
import type { QuoteSearch } from './quote-search.ts';
import { forgetSourceItem } from './source-items.ts';
import { leaveThreads } from './threads.ts';

/**
 * For a person's request, under the agent's lock: the text is gone for good, with its vectors, its words' index and its
 * hash; so is each reflection, answer and consolidated memory of the agent that quotes it, each focal question that does,
 * its side of the conversation where it was said, and what steps of open runs say after having been shown it. Of a
 * consolidated memory all that it quotes goes with it. What a call in flight brings later is dropped where it would be
 * stored. Tombstones stay.
 */
export async function forgetMemory(
  tx: Executor,
  memory: ForgettableMemory,
  { reason, ...how }: { reason: string; dependents: ForgottenDependents; ahead: QuoteSearch | undefined },
): Promise<Forgotten> {
  const { ownerId, agentId, id } = memory;
  const { asked, quotes, memoryIds, back, told } = await whatGoes(tx, memory, how);
  await redactQuestions(tx, agentId, quotes);
  await redactOpenRuns(tx, agentId, new Set(memoryIds));
  for (const each of asked) {
    await forgetSourceItem(tx, ownerId, each);
    await forgetWhisper(tx, ownerId, each);
  }
  await takeTexts(tx, memory, { memoryIds, back, reason });
  await forgetUnsaidAnswers(tx, { agentId, memoryIds }, quotes);
  await forgetInMessages(tx, memoryIds);
  await leaveThreads(tx, ownerId, memoryIds);
  const { forgotten } = told;
  await appendEvents(tx, [{ ownerId, type: 'memory.forgotten', subject: id, data: { agentId, reason, forgotten } }]);
  return told;
}

/** Each under a revision of its own, so that every reader of `rev` drops what it has of it, and takes up what is back. */
async function takeTexts(
  tx: Executor,
  { ownerId, agentId }: ForgettableMemory,
  { memoryIds, back, reason }: { memoryIds: readonly string[]; back: readonly string[]; reason: string },
): Promise<void> {
  const ids = [...memoryIds];
  const { rows: hashes } = await sql<{ hash: Buffer }>`
    select content_hash as hash from memories where id = any(${ids})`.execute(tx);
  const changes = ids.length + back.length;
  const { memoryRev } = await tx
    .updateTable('agents')
    .set({ memoryRev: sql<number>`memory_rev + ${changes}::int` })
    .where('id', '=', agentId)
    .returning('memoryRev')
    .executeTakeFirstOrThrow();
  const before = memoryRev - changes;
  // Also a hash of a short text would tell it.
  await sql`
    update memories m set text = '', content_hash = gone.hash, source = 'forgotten', external_key = m.id,
      deleted_at = coalesce(deleted_at, now()), deleted_reason = ${reason}, rev = ${before}::bigint + gone.n
    from unnest(${ids}::text[], ${ids.map(contentHash)}::bytea[]) with ordinality as gone (id, hash, n)
    where m.id = gone.id`.execute(tx);
  await sql`
    update memories m set superseded_by = null, superseded_at = null, rev = ${before + ids.length}::bigint + back.n
    from unnest(${[...back]}::text[]) with ordinality as back (id, n) where m.id = back.id`.execute(tx);
  await sql`update reflections set text = '', forgotten_at = coalesce(forgotten_at, now()) where memory_id = any(${ids})`.execute(
    tx,
  );
  await deleteOrphanVectors(
    tx,
    ownerId,
    hashes.map(({ hash }) => hash),
  );
}

/** Focal questions that quote it, in the calls that are kept. */
async function redactQuestions(tx: Executor, agentId: string, quotes: (text: string) => boolean): Promise<void> {
  const { rows } = await sql<{ runId: string; ordinal: number; question: string }>`
    select c.run_id, c.ordinal, c.prompt->>'question' as question from run_calls c join runs r on r.id = c.run_id
    where r.agent_id = ${agentId} and c.prompt->>'question' is not null`.execute(tx);
  for (const { runId, ordinal } of rows.filter(({ question }) => quotes(question))) {
    await sql`update run_calls set prompt = jsonb_set(prompt, '{question}', to_jsonb(${forgottenMark}::text))
      where run_id = ${runId} and ordinal = ${ordinal}`.execute(tx);
  }
}

type Step = QuestionsStep | FocusStep | ReflectionStep;

/** Whatever a model wrote after having been shown it is unsaid; storing drops what is left of it. */
async function redactOpenRuns(tx: Executor, agentId: string, gone: ReadonlySet<string>): Promise<void> {
  const { rows } = await sql<{ workId: string; step: string; result: Step }>`
    select s.work_id, s.step, s.result from step_results s join runs r on r.id = s.work_id
    where r.agent_id = ${agentId} and r.ended_at is null order by s.work_id, s.step for update of s`.execute(tx);
  const shown = ({ prompt }: { prompt: CallPrompt }) => prompt.shown.some(({ memoryId }) => gone.has(memoryId));
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
