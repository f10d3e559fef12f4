import { sql } from 'kysely';
import type { Executor } from './database.ts';
import { contentHash } from './embeddings.ts';
import { openWhisperStates } from '../domain/whispers.ts';
import { whisperNotice } from './whispers.ts';

/**
 * The whisper that a memory tells loses its text, with its notice and the drafts of personas made of it; so do whispers of
 * the same words that were refused, since no memory tells of them. Whether the same request comes again can no longer be
 * told: its hash would tell the words, too.
 */
export async function forgetWhisper(
  tx: Executor,
  ownerId: string,
  { externalKey, text }: { externalKey: string; text: string },
): Promise<void> {
  const { rows } = await sql<{ id: string }>`
    select w.id from whispers w where w.owner_id = ${ownerId} and w.state <> all(${[...openWhisperStates]}) and w.text <> ''
      and exists (select from whispers told where told.id = ${externalKey} and told.owner_id = ${ownerId})
      and (w.id = ${externalKey} or (w.agent_id is null and w.text = ${text}))
    order by w.id for update`.execute(tx);
  const ids = rows.map(({ id }) => id);
  if (ids.length === 0) return;
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
