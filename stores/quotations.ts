import { sql } from 'kysely';
import { outputMemoryKinds } from '../domain/drift.ts';
import type { Executor } from './database.ts';

/** Where a memory came from that quotes what it took the place of; see domain/consolidation.ts. */
export const quotationSource = 'consolidated';

/** Of a row of `memories`: its agent's limit took it, whether a quotation tells it or nothing does; nobody took it away. */
export const gaveWay = sql<boolean>`(memories.deleted_reason = ${quotationSource} or (memories.deleted_at is null
  and exists (select from memories q where q.id = memories.superseded_by and q.source = ${quotationSource}
    and (q.deleted_at is null or q.deleted_reason = ${quotationSource}))))`;

/** Of a row of `memories` under this name: something compares its vector, a search or, of outputs that gave way, drift. */
export function isCompared(memories: string) {
  const column = (name: string) => sql.ref(`${memories}.${name}`);
  return sql<boolean>`(${column('deleted_at')} is null or (${column('deleted_reason')} = ${quotationSource}
    and ${column('kind')} = any(${[...outputMemoryKinds]})))`;
}

/** Of a row of `memories`: neither a quotation nor inherited, so that nobody takes it for something new. */
export const asItCame = sql<boolean>`source <> ${quotationSource} and source not like 'inherited:%'`;

/** Ids of what quotes these memories of an agent, and of what quotes those: their words stand there too. */
export async function quotationsOf(
  tx: Executor,
  { ids, agentId }: { ids: readonly string[]; agentId: string },
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    with recursive quoting as (
      select s.id, s.superseded_by from memories m join memories s on s.id = m.superseded_by
        where m.id = any(${[...ids]}) and s.agent_id = ${agentId} and s.source = ${quotationSource}
      union
      select s.id, s.superseded_by from quoting q join memories s on s.id = q.superseded_by
        where s.agent_id = ${agentId} and s.source = ${quotationSource}
    ) select id from quoting order by id`.execute(tx);
  return rows.map(({ id }) => id);
}

export interface Quoted {
  id: string;
  text: string;
  externalKey: string;
  contentHash: Buffer;
}

/** What a quotation quotes, and what those quote where they are quotations themselves; of anything else nothing. */
export async function quotedBy(tx: Executor, { id, agentId }: { id: string; agentId: string }): Promise<Quoted[]> {
  const { rows } = await sql<Quoted>`
    with recursive quoted as (
      select m.id, m.text, m.external_key, m.content_hash, m.source from memories q join memories m on m.superseded_by = q.id
        where q.id = ${id} and q.agent_id = ${agentId} and q.source = ${quotationSource}
      union
      select m.id, m.text, m.external_key, m.content_hash, m.source from quoted q join memories m on m.superseded_by = q.id
        where q.source = ${quotationSource}
    ) select id, text, external_key, content_hash from quoted where text <> '' order by id`.execute(tx);
  return rows;
}

/** What else the quotations among these memories quote: when they go, it lives again as it was. */
export async function livingAgain(tx: Executor, ids: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select m.id from memories m join memories q on q.id = m.superseded_by
    where q.id = any(${[...ids]}) and q.source = ${quotationSource} and m.id <> all(${[...ids]}) order by m.id`.execute(
    tx,
  );
  return rows.map(({ id }) => id);
}
