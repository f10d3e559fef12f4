import { sql } from 'kysely';
import type { Executor } from './database.ts';
import { contentHash } from './embeddings.ts';
import { leaveThreads } from './threads.ts';

/** Where a memory came from that quotes what it took the place of; see domain/consolidation.ts. */
export const quotationSource = 'consolidated';

/**
 * Forgets every memory that quotes this one, and what quotes those, since its words stand in them too. What else they quote
 * lives again as it was. In the transaction that forgets the memory itself and holds its agent's row.
 * @returns the ids of the quotations
 */
export async function forgetQuotations(
  tx: Executor,
  { ownerId, agentId, id, reason }: { ownerId: string; agentId: string; id: string; reason: string },
): Promise<string[]> {
  const rows = await quotationsOf(tx, { id, agentId });
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const { memoryRev } = await tx
    .selectFrom('agents')
    .select('memoryRev')
    .where('id', '=', agentId)
    .executeTakeFirstOrThrow();
  await sql`update memories m set text = '', content_hash = gone.hash, source = 'forgotten', external_key = m.id,
      deleted_at = coalesce(m.deleted_at, now()), deleted_reason = ${reason}, rev = ${memoryRev}::bigint + gone.n
    from unnest(${ids}::text[], ${ids.map(contentHash)}::bytea[]) with ordinality as gone (id, hash, n)
    where m.id = gone.id`.execute(tx);
  await sql`delete from embeddings e where e.owner_id = ${ownerId} and e.content_hash = any(${rows.map(({ hash }) => hash)}::bytea[])
    and not exists (select from memories m where m.owner_id = e.owner_id and m.content_hash = e.content_hash)`.execute(
    tx,
  );
  const back = await sql<{ id: string }>`
    select id from memories where superseded_by = any(${ids}) and id <> ${id} and not (id = any(${ids})) order by id`.execute(
    tx,
  );
  const restored = back.rows.map((row) => row.id);
  await sql`update memories m set superseded_by = null, superseded_at = null, rev = ${memoryRev + ids.length}::bigint + back.n
    from unnest(${restored}::text[]) with ordinality as back (id, n) where m.id = back.id`.execute(tx);
  await tx
    .updateTable('agents')
    .set({ memoryRev: memoryRev + ids.length + restored.length })
    .where('id', '=', agentId)
    .execute();
  for (const quotation of ids) await leaveThreads(tx, ownerId, quotation);
  return ids;
}

/** What quotes this memory, and what quotes those. */
export async function quotationsOf(
  tx: Executor,
  { id, agentId }: { id: string; agentId: string },
): Promise<Array<{ id: string; hash: Buffer }>> {
  const { rows } = await sql<{ id: string; hash: Buffer }>`
    with recursive quoting as (
      select s.id, s.content_hash, s.superseded_by from memories m join memories s on s.id = m.superseded_by
        where m.id = ${id} and s.agent_id = ${agentId} and s.source = ${quotationSource}
      union
      select s.id, s.content_hash, s.superseded_by from quoting q join memories s on s.id = q.superseded_by
        where s.agent_id = ${agentId} and s.source = ${quotationSource}
    ) select id, content_hash as hash from quoting order by id`.execute(tx);
  return rows;
}
