import { sql } from 'kysely';
import { answerStep } from '../domain/messages.ts';
import type { Executor } from './database.ts';
import type { AnswerStep } from './messages.ts';

/** What of conversations goes with a memory, and what only names it. */
export interface MessagesOf {
  /** Their answers say it in its own words. */
  quoting: string[];
  /** The memories of these answers. */
  replies: string[];
  /** Their answers cite it in words of their own. */
  citing: string[];
}

/**
 * @param memoryIds what is to be forgotten
 * @param quotes whether a text says in its words what is to be forgotten
 */
export async function messagesOf(
  tx: Executor,
  { agentId, memoryIds }: { agentId: string; memoryIds: readonly string[] },
  quotes: (text: string) => boolean,
): Promise<MessagesOf> {
  const { rows } = await sql<{ id: string; answer: string; replyMemoryId: string | null; cites: boolean }>`
    select m.id, m.answer, m.reply_memory_id,
      exists (select from message_citations c where c.message_id = m.id and c.memory_id = any(${[...memoryIds]})) as cites
    from messages m where m.agent_id = ${agentId} and m.answer <> '' order by m.id`.execute(tx);
  const going = new Set(memoryIds);
  const quoting = rows.filter((row) => !going.has(row.replyMemoryId ?? '') && quotes(row.answer));
  const gone = new Set(rows.filter((row) => going.has(row.replyMemoryId ?? '') || quotes(row.answer)));
  return {
    quoting: quoting.map((row) => row.id),
    replies: quoting.flatMap(({ replyMemoryId }) => (replyMemoryId === null ? [] : [replyMemoryId])),
    citing: rows.filter((row) => row.cites && !gone.has(row)).map((row) => row.id),
  };
}

/**
 * Answers that are not said yet, or never were, and had been shown it, or say it: they are thrown away, and asked for anew
 * where the message is still open. What a call in flight brings later is looked at where it would be stored.
 */
export async function forgetUnsaidAnswers(
  tx: Executor,
  { agentId, memoryIds }: { agentId: string; memoryIds: readonly string[] },
  quotes: (text: string) => boolean,
): Promise<void> {
  const { rows } = await sql<{ workId: string; result: AnswerStep }>`
    select s.work_id, s.result from step_results s join messages m on m.id = s.work_id
    where m.agent_id = ${agentId} and s.step = ${answerStep} order by s.work_id for update of s`.execute(tx);
  const ids = rows
    .filter(
      ({ result }) =>
        (result.shown ?? result.citations.map(({ memoryId }) => memoryId)).some((id) => memoryIds.includes(id)) ||
        quotes(result.text),
    )
    .map(({ workId }) => workId);
  if (ids.length > 0) await tx.deleteFrom('stepResults').where('workId', 'in', ids).execute();
}

/** Where a memory was said, its side of the message goes with it, and the answer that is kept as the step's result. */
export async function forgetInMessages(tx: Executor, memoryIds: readonly string[]): Promise<void> {
  const said = await tx
    .updateTable('messages')
    .set({ text: '' })
    .where('saidMemoryId', 'in', [...memoryIds])
    .returning('id')
    .execute();
  const replied = await tx
    .updateTable('messages')
    .set({ answer: '' })
    .where('replyMemoryId', 'in', [...memoryIds])
    .returning('id')
    .execute();
  const ids = [...said, ...replied].map(({ id }) => id);
  if (ids.length > 0) await tx.deleteFrom('stepResults').where('workId', 'in', ids).execute();
}
