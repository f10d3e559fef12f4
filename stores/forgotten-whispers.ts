import { sql } from 'kysely';
import { requestIdOfMemory, type WhisperState } from '../domain/whispers.ts';
import type { Executor } from './database.ts';
import { contentHash } from './embeddings.ts';
import { endUnborn, isOpen, open, whisperNotice } from './whispers.ts';

/**
 * The whisper that a memory tells, and the one made of what was said or came from a source, lose their text, with notice
 * and drafts of personas; so do whispers of the same words that were refused or ask again, since no memory tells of them.
 * One that is still under way ends: nobody is born of words that are to be forgotten. Whether the same request comes again
 * can no longer be told: its hash would tell the words, too.
 */
export async function forgetWhisper(
  tx: Executor,
  ownerId: string,
  { externalKey, text }: { externalKey: string; text: string },
): Promise<void> {
  const requestId = requestIdOfMemory(externalKey) ?? null;
  const { rows } = await sql<{ id: string; state: WhisperState }>`
    with told as (
      select id, text from whispers where owner_id = ${ownerId} and (id = ${externalKey} or request_id = ${requestId})
    )
    select w.id, w.state from whispers w where w.owner_id = ${ownerId} and w.text <> '' and exists (select from told) and (w.id in (select id from told)
      or (w.agent_id is null and (w.retry_of is not null or w.state <> all(${[...open]}))
        and (w.text = ${text} or w.text in (select text from told))))
    order by w.id for update of w`.execute(tx);
  const ids = rows.map(({ id }) => id);
  if (ids.length === 0) return;
  for (const { id } of rows.filter(({ state }) => isOpen(state)))
    await endUnborn(tx, id, { code: 'CANCELED', reason: 'what it says was forgotten' });
  await sql`update whispers w set text = '', forgotten_at = now(), body_hash = gone.hash
    from unnest(${ids}::text[], ${ids.map(contentHash)}::bytea[]) as gone (id, hash) where w.id = gone.id`.execute(tx);
  await tx
    .updateTable('notices')
    .set({ detail: '' })
    .where('ownerId', '=', ownerId)
    .where('key', 'in', ids.map(whisperNotice))
    .execute();
  await tx.deleteFrom('stepResults').where('workId', 'in', ids).execute();
}

/** A draft that was written while its whisper was forgotten is thrown away. */
export async function dropForgottenDrafts(tx: Executor, whisperId: string): Promise<void> {
  // Waits for whoever forgets it in this moment; a condition would be judged by how it stood before.
  const { rows } = await sql<{ forgotten: boolean }>`
    select forgotten_at is not null as forgotten from whispers where id = ${whisperId} for share`.execute(tx);
  if (rows[0]?.forgotten === true) await tx.deleteFrom('stepResults').where('workId', '=', whisperId).execute();
}
