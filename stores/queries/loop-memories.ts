import { sql } from 'kysely';
import { type PackedMemory, isLoopKey } from '../../domain/loop-memories.ts';
import { guildMemorySource } from '../../domain/invites.ts';
import { sourceIdOf } from '../../domain/sources.ts';
import type { MemoryKind } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { quotationSource } from '../quotations.ts';

/** A memory as it is read for packing; plain, so that another thread can be told it. */
export interface LoopRow {
  id: string;
  agentId: string;
  seq: number;
  kind: MemoryKind;
  text: string;
  importance: number;
  source: string;
  externalKey: string;
  occurredAt: Date;
  validTo: Date | null;
  supersededAt: Date | null;
  deletedAt: Date | null;
  deletedReason: string | null;
  modelId: string | null;
  promptVersion: string | null;
  evidence: string[];
  replaced: string[];
}

/** Where a memory of a child was handed on from: stores/births.ts. */
const inheritedKey = /^inherited:(mem_[0-9a-f-]{36})$/;

interface Whose {
  ownerId: string;
  agentId: string;
}

/** Whether what comes from this source of fleet.yaml stays here. */
type IsPrivateSource = (sourceId: string) => boolean | undefined;

/** Memories that are read in one statement: what one takes of the event loop. */
const page = 500;

/** Bytes of text that one agent's memories may have to be packed: they are judged in memory. */
export async function memoryBytes(db: Executor, { ownerId, agentId }: { ownerId: string; agentId: string }) {
  const { rows } = await sql<{ bytes: number }>`
    select coalesce(sum(octet_length(text)), 0)::float8 as bytes from memories
    where owner_id = ${ownerId} and agent_id = ${agentId}`.execute(db);
  return rows[0]!.bytes;
}

/**
 * Everything an agent remembers, gone or not, and what of other agents' memories it was inherited from, down to the first: what
 * may be packed is judged by all of it. Also what its ancestors were called for, which a persona that was made of theirs may say.
 * @param take page after page, in order; of one look where the transaction gives it
 */
export async function readLoopRows(db: Executor, of: Whose, take: (rows: LoopRow[]) => void): Promise<void> {
  const heritage: string[] = [];
  for (let seq = 0; ; ) {
    const rows = await rowsOf(
      db,
      sql`m.owner_id = ${of.ownerId} and m.agent_id = ${of.agentId} and m.seq > ${seq}`,
      sql`limit ${page}`,
    );
    take(rows);
    heritage.push(...rows.flatMap(({ externalKey }) => inheritedKey.exec(externalKey)?.[1] ?? []));
    if (rows.length < page) break;
    seq = rows.at(-1)!.seq;
  }
  const others = await ancestors(db, of.ownerId, heritage);
  const known = new Set(others.map(({ id }) => id));
  others.push(...(await lineageWhispers(db, of)).filter(({ id }) => !known.has(id)));
  take(others.filter(({ agentId }) => agentId !== of.agentId));
}

/** What the rules of packing go by. @param isPrivateSource undefined: fleet.yaml names no source of this id */
export function judgedMemories(
  rows: readonly LoopRow[],
  agentId: string,
  isPrivateSource: IsPrivateSource,
): PackedMemory[] {
  const here = new Set(rows.map(({ id }) => id));
  return rows.map((row) => judged(row, row.agentId === agentId, here, isPrivateSource));
}

async function rowsOf(
  db: Executor,
  where: ReturnType<typeof sql>,
  tail: ReturnType<typeof sql> = sql``,
): Promise<LoopRow[]> {
  const { rows } = await sql<LoopRow>`
    select m.id, m.agent_id, m.seq, m.kind, m.text, m.importance, m.source, m.external_key, m.occurred_at, m.valid_to,
      m.superseded_at, m.deleted_at, m.deleted_reason, r.model_id, r.prompt_version,
      array(select e.memory_id from reflection_evidence e where e.reflection_id = r.id order by e.ordinal) as evidence,
      array(select o.id from memories o where o.superseded_by = m.id order by o.id) as replaced
    from memories m left join reflections r on r.memory_id = m.id
    where ${where} order by m.seq ${tail}`.execute(db);
  return rows;
}

async function ancestors(db: Executor, ownerId: string, ids: readonly string[]): Promise<LoopRow[]> {
  if (ids.length === 0) return [];
  const { rows } = await sql<{ id: string }>`
    with recursive reach as (
      select id from memories where owner_id = ${ownerId} and id = any(${[...ids]})
      union
      select m.id from reach cross join lateral (
        select e.memory_id as id from reflections r join reflection_evidence e on e.reflection_id = r.id where r.memory_id = reach.id
        union all select o.id from memories o where o.superseded_by = reach.id
        union all select substr(own.external_key, 11) from memories own where own.id = reach.id and own.external_key like 'inherited:%'
      ) came join memories m on m.id = came.id and m.owner_id = ${ownerId}
    ) select id from reach`.execute(db);
  return rowsOf(db, sql`m.id = any(${rows.map(({ id }) => id)})`);
}

async function lineageWhispers(db: Executor, { ownerId, agentId }: Whose): Promise<LoopRow[]> {
  return rowsOf(
    db,
    sql`m.owner_id = ${ownerId} and m.kind = 'whisper' and m.agent_id in (
      with recursive line as (
        select parent_id as id from agents where id = ${agentId} and owner_id = ${ownerId}
        union select a.parent_id from line join agents a on a.id = line.id and a.owner_id = ${ownerId}
      ) select id from line where id is not null)`,
  );
}

function judged(row: LoopRow, own: boolean, here: ReadonlySet<string>, isPrivateSource: IsPrivateSource): PackedMemory {
  const { id, kind, text, importance, source, externalKey, evidence, replaced } = row;
  // What gave way for room was good enough to be told; what somebody deleted was not.
  const forRoom = row.deletedReason === quotationSource;
  const inheritedFrom = inheritedKey.exec(externalKey)?.[1];
  return {
    id,
    own,
    kind,
    text,
    importance,
    source,
    occurredAt: row.occurredAt.toISOString(),
    validTo: row.validTo?.toISOString() ?? null,
    deleted: text === '' || (row.deletedAt !== null && !forRoom),
    superseded: row.supersededAt !== null || forRoom,
    origin: originOf(row, inheritedFrom === undefined || here.has(inheritedFrom), isPrivateSource),
    evidence,
    replaced,
    inheritedFrom,
    quotes: source === quotationSource,
    modelId: row.modelId ?? '',
    promptVersion: row.promptVersion ?? '',
  };
}

function originOf(row: LoopRow, ancestorIsHere: boolean, isPrivateSource: IsPrivateSource): PackedMemory['origin'] {
  const sourceId = sourceIdOf(row);
  if (sourceId !== undefined) {
    const isPrivate = isPrivateSource(sourceId);
    return isPrivate === undefined ? 'unknown' : isPrivate ? 'private' : 'public';
  }
  if (row.source === guildMemorySource) return 'private';
  // What came with a package was judged where that was made.
  if (isLoopKey(row.externalKey)) return 'public';
  const inherited = row.source.startsWith('inherited:') || row.externalKey.startsWith('inherited:');
  return inherited && !(inheritedKey.test(row.externalKey) && ancestorIsHere) ? 'unknown' : 'public';
}

/** The model that wrote the agent's persona, where one did. */
export async function personaWriter(
  db: Executor,
  { ownerId, agentId }: { ownerId: string; agentId: string },
): Promise<string | undefined> {
  const row = await db
    .selectFrom('whispers')
    .select('modelId')
    .where('ownerId', '=', ownerId)
    .where('agentId', '=', agentId)
    .where('personaSource', '=', 'model')
    .executeTakeFirst();
  return row?.modelId ?? undefined;
}
