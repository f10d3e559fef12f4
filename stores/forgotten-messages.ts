import type { Executor } from './database.ts';

/**
 * A memory that a person had forgotten takes what was said with it: text or answer of its message, and the answer kept as
 * the step's result.
 * @returns messages whose answers cite the memory, which are not rewritten
 */
export async function forgetInMessages(tx: Executor, memoryId: string): Promise<string[]> {
  const said = await tx
    .updateTable('messages')
    .set({ text: '' })
    .where('saidMemoryId', '=', memoryId)
    .returning('id')
    .execute();
  const replied = await tx
    .updateTable('messages')
    .set({ answer: '' })
    .where('replyMemoryId', '=', memoryId)
    .returning('id')
    .execute();
  const ids = [...said, ...replied].map(({ id }) => id);
  if (ids.length > 0) await tx.deleteFrom('stepResults').where('workId', 'in', ids).execute();
  const citing = await tx
    .selectFrom('messageCitations')
    .select('messageId')
    .where('memoryId', '=', memoryId)
    .orderBy('messageId')
    .execute();
  return citing.map(({ messageId }) => messageId);
}
