import { sql } from 'kysely';
import type { MemoryKind } from '../../domain/states.ts';
import type { AsOf } from '../../domain/validity.ts';
import type { Executor } from '../database.ts';
import { heldAndKnown } from '../memory-times.ts';
import { iso, type PageRequest } from './page.ts';

export interface MemoryView {
  id: string;
  agentId: string;
  seq: number;
  kind: MemoryKind;
  text: string;
  importance: number;
  source: string;
  externalKey: string;
  occurredAt: string;
  recordedAt: string;
  validTo: string | null;
  supersededBy: string | null;
  deletedAt: string | null;
  deletedReason: string | null;
  lastUsedAt: string | null;
}

function memoryQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('memories')
    .select(['id', 'agentId', 'seq', 'kind', 'text', 'importance', 'source', 'externalKey', 'occurredAt', 'recordedAt'])
    .select(['validTo', 'supersededBy', 'deletedAt', 'deletedReason', 'lastUsedAt'])
    .where('ownerId', '=', ownerId);
}
type MemoryRow = Awaited<ReturnType<ReturnType<typeof memoryQuery>['execute']>>[number];

function memoryView(row: MemoryRow): MemoryView {
  return {
    ...row,
    kind: row.kind as MemoryKind,
    occurredAt: iso(row.occurredAt),
    recordedAt: iso(row.recordedAt),
    validTo: row.validTo && iso(row.validTo),
    deletedAt: row.deletedAt && iso(row.deletedAt),
    lastUsedAt: row.lastUsedAt && iso(row.lastUsedAt),
  };
}

/**
 * Memories of one agent, the last recorded first; `after` is a sequence number.
 * @param asOf only what held or was known then; without it all that there is, also what was deleted
 */
export async function listMemories(
  db: Executor,
  { asOf, ...page }: PageRequest & { agentId: string; asOf?: AsOf | undefined },
): Promise<MemoryView[]> {
  let query = memoryQuery(db, page.ownerId).where('agentId', '=', page.agentId);
  if (page.after !== undefined) query = query.where('seq', '<', Number(page.after));
  if (asOf) query = query.where(heldAndKnown(asOf, 'memories'));
  const rows = await query.orderBy('seq', 'desc').limit(page.limit).execute();
  return rows.map(memoryView);
}

export async function findMemory(db: Executor, ownerId: string, id: string): Promise<MemoryView | undefined> {
  const row = await memoryQuery(db, ownerId).where('id', '=', id).executeTakeFirst();
  return row && memoryView(row);
}

export async function findMemoryByKey(
  db: Executor,
  ownerId: string,
  key: { agentId: string; externalKey: string },
): Promise<MemoryView | undefined> {
  const row = await memoryQuery(db, ownerId)
    .where('agentId', '=', key.agentId)
    .where('externalKey', '=', key.externalKey)
    .executeTakeFirst();
  return row && memoryView(row);
}

/** Of these agents the ones that take memories: the owner's, and not retired. */
export async function agentsTakingMemories(
  db: Executor,
  ownerId: string,
  agentIds: readonly string[],
): Promise<Set<string>> {
  if (agentIds.length === 0) return new Set();
  const rows = await db
    .selectFrom('agents')
    .select('id')
    .where('id', 'in', [...agentIds])
    .where('ownerId', '=', ownerId)
    .where('state', '<>', 'retired')
    .execute();
  return new Set(rows.map((row) => row.id));
}

export interface KnownMemory {
  contentHash: Buffer;
  /** It gave way to a memory that is not here yet. */
  waitsForSuccessor: boolean;
}

/** Which of these are here, by `agentId externalKey`. */
export async function memoriesByKeys(
  db: Executor,
  ownerId: string,
  keys: ReadonlyArray<{ agentId: string; externalKey: string }>,
): Promise<Map<string, KnownMemory>> {
  if (keys.length === 0) return new Map();
  const { rows } = await sql<KnownMemory & { agentId: string; externalKey: string }>`
    select m.agent_id, m.external_key, m.content_hash,
      m.superseded_at is not null and m.superseded_by is null as waits_for_successor
    from unnest(${keys.map((key) => key.agentId)}::text[], ${keys.map((key) => key.externalKey)}::text[])
      as wanted (agent_id, external_key)
    join memories m using (agent_id, external_key)
    where m.owner_id = ${ownerId}`.execute(db);
  return new Map(rows.map(({ agentId, externalKey, ...known }) => [`${agentId} ${externalKey}`, known]));
}
