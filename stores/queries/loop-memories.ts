import { sql } from 'kysely';
import { type PackedMemory, isLoopKey } from '../../domain/loop-memories.ts';
import { sourceIdOf } from '../../domain/sources.ts';
import type { MemoryKind } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { quotationSource } from '../quotations.ts';

interface Row {
  id: string;
  agentId: string;
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

export interface LoopMemoriesOf {
  ownerId: string;
  agentId: string;
  /** Whether what comes from this source of fleet.yaml stays here; undefined: it names none of this id. */
  isPrivateSource: (sourceId: string) => boolean | undefined;
}

/** Bytes of text that one agent's memories may have to be packed: they are judged in memory. */
export async function memoryBytes(db: Executor, { ownerId, agentId }: { ownerId: string; agentId: string }) {
  const { rows } = await sql<{ bytes: number }>`
    select coalesce(sum(octet_length(text)), 0)::float8 as bytes from memories
    where owner_id = ${ownerId} and agent_id = ${agentId}`.execute(db);
  return rows[0]!.bytes;
}

/**
 * Everything an agent remembers, gone or not, and what of other agents' memories it was inherited from, down to the first: what
 * may be packed is judged by all of it.
 */
export async function loopMemoriesOf(db: Executor, of: LoopMemoriesOf): Promise<PackedMemory[]> {
  const own = await rowsOf(db, sql`m.owner_id = ${of.ownerId} and m.agent_id = ${of.agentId}`);
  const heritage = own.flatMap(({ externalKey }) => inheritedKey.exec(externalKey)?.[1] ?? []);
  const others = await ancestors(db, of.ownerId, heritage);
  const here = new Set([...own, ...others].map(({ id }) => id));
  return [
    ...own.map((row) => judged(row, true, here, of)),
    ...others.filter(({ agentId }) => agentId !== of.agentId).map((row) => judged(row, false, here, of)),
  ];
}

async function rowsOf(db: Executor, where: ReturnType<typeof sql>): Promise<Row[]> {
  const { rows } = await sql<Row>`
    select m.id, m.agent_id, m.kind, m.text, m.importance, m.source, m.external_key, m.occurred_at, m.valid_to,
      m.superseded_at, m.deleted_at, m.deleted_reason, r.model_id, r.prompt_version,
      array(select e.memory_id from reflection_evidence e where e.reflection_id = r.id order by e.ordinal) as evidence,
      array(select o.id from memories o where o.superseded_by = m.id order by o.id) as replaced
    from memories m left join reflections r on r.memory_id = m.id
    where ${where} order by m.seq`.execute(db);
  return rows;
}

async function ancestors(db: Executor, ownerId: string, ids: readonly string[]): Promise<Row[]> {
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

function judged(row: Row, own: boolean, here: ReadonlySet<string>, { isPrivateSource }: LoopMemoriesOf): PackedMemory {
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

function originOf(
  row: Row,
  ancestorIsHere: boolean,
  isPrivateSource: LoopMemoriesOf['isPrivateSource'],
): PackedMemory['origin'] {
  const sourceId = sourceIdOf(row);
  if (sourceId !== undefined) {
    const isPrivate = isPrivateSource(sourceId);
    return isPrivate === undefined ? 'unknown' : isPrivate ? 'private' : 'public';
  }
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
