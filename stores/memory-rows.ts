import { sql } from 'kysely';
import { depthOf } from '../domain/reflections.ts';
import { isLived, type MemoryKind } from '../domain/states.ts';
import type { Executor } from './database.ts';
import { contentHash } from './embeddings.ts';
import { newId } from './ids.ts';

export interface NewMemory {
  agentId: string;
  /** Makes a re-import add nothing twice. */
  externalKey: string;
  kind: MemoryKind;
  text: string;
  importance: number;
  source: string;
  /** ISO time. */
  occurredAt: string;
  /** What has become of it since, where it comes from another fleet. */
  past?: MemoryPast;
  /** Of a reflection that comes from another fleet. */
  reflection?: ToldReflection;
}

/** ISO times. */
export interface MemoryPast {
  validTo?: string | undefined;
  /** It gave way; to what, `linkSuccessors` says once that is here. */
  supersededAt?: string | undefined;
  deleted?: { at: string; reason: string } | undefined;
  lastUsedAt?: string | undefined;
  /** Its text is gone for good: the memory is a tombstone alone. */
  forgotten?: boolean | undefined;
}

export interface ToldReflection {
  /** External keys of memories of the same agent that are here, or stand before it in what is being added. */
  evidence: readonly string[];
  /** What made it, as it was told; empty where it was not. */
  modelId: string;
  promptVersion: string;
}

interface MemoryRow extends NewMemory {
  id: string;
  ownerId: string;
  seq: number;
  rev: number;
  /** Default: 1 for a reflection that was told of, 0 for what was lived. */
  depth?: number;
  /** What a reflection of another fleet rests on. */
  evidenceIds?: readonly string[];
}

/** A chain of imported reflections may be as long as its file; what lies deeper counts as this deep. */
const deepest = 100;

/** What the memory says, as a hash; of a forgotten one also a hash of a short text would tell it. */
export function contentHashOf({ text, externalKey, past }: Pick<NewMemory, 'text' | 'externalKey' | 'past'>): Buffer {
  return contentHash(past?.forgotten ? externalKey : text);
}

/**
 * Leaves out reflections of which no evidence is here (any more), and says which.
 * @returns the memories that can be added, in the same order, with the ids of their evidence
 */
export async function grounded<Row extends NewMemory & { id: string }>(
  tx: Executor,
  rows: readonly Row[],
): Promise<{ rows: Array<Row & { depth: number; evidenceIds: string[] }>; groundless: Row[] }> {
  const claims = rows.flatMap((row) => (row.reflection?.evidence ?? []).map((key) => ({ agentId: row.agentId, key })));
  if (rows.every(({ reflection }) => reflection === undefined)) return { rows: rows.map(ungrounded), groundless: [] };
  const known = new Map<string, { id: string; depth: number }>();
  const { rows: found } = await sql<{ agentId: string; externalKey: string; id: string; depth: number }>`
    select m.agent_id, m.external_key, m.id, m.depth
    from unnest(${claims.map((claim) => claim.agentId)}::text[], ${claims.map((claim) => claim.key)}::text[])
      as claim (agent_id, external_key)
    join memories m using (agent_id, external_key)`.execute(tx);
  for (const { agentId, externalKey, id, depth } of found) known.set(`${agentId} ${externalKey}`, { id, depth });
  const groundless: Row[] = [];
  const kept: Array<Row & { depth: number; evidenceIds: string[] }> = [];
  for (const row of rows) {
    const evidence = (row.reflection?.evidence ?? []).flatMap((key) => known.get(`${row.agentId} ${key}`) ?? []);
    if (row.reflection && evidence.length === 0) {
      groundless.push(row);
      continue;
    }
    // One that says what it rests on may come in one file with one that does not.
    const grounds = row.reflection ? Math.min(deepest, depthOf(evidence.map((each) => each.depth))) : 1;
    const depth = isLived(row.kind) ? 0 : grounds;
    known.set(`${row.agentId} ${row.externalKey}`, { id: row.id, depth });
    kept.push({ ...row, depth, evidenceIds: [...new Set(evidence.map((each) => each.id))] });
  }
  return { rows: kept, groundless };
}

function ungrounded<Row extends NewMemory>(row: Row): Row & { depth: number; evidenceIds: string[] } {
  return { ...row, depth: isLived(row.kind) ? 0 : 1, evidenceIds: [] };
}

/** Under the agents' row locks; the agents' counters are the caller's. */
export async function insertMemoryRows(tx: Executor, rows: readonly MemoryRow[]): Promise<void> {
  await sql`
    insert into memories (id, owner_id, agent_id, seq, rev, kind, text, importance, source, external_key, occurred_at, content_hash,
      depth, valid_to, superseded_at, deleted_at, deleted_reason, last_used_at)
    select * from unnest(
      ${rows.map((r) => r.id)}::text[], ${rows.map((r) => r.ownerId)}::text[], ${rows.map((r) => r.agentId)}::text[],
      ${rows.map((r) => r.seq)}::bigint[], ${rows.map((r) => r.rev)}::bigint[], ${rows.map((r) => r.kind)}::text[],
      ${rows.map((r) => (r.past?.forgotten ? '' : r.text))}::text[],
      ${rows.map((r) => r.importance)}::smallint[], ${rows.map((r) => r.source)}::text[],
      ${rows.map((r) => r.externalKey)}::text[], ${rows.map((r) => r.occurredAt)}::timestamptz[],
      ${rows.map((r) => contentHashOf(r))}::bytea[], ${rows.map((r) => r.depth ?? (isLived(r.kind) ? 0 : 1))}::smallint[],
      ${rows.map((r) => r.past?.validTo ?? null)}::timestamptz[], ${rows.map((r) => r.past?.supersededAt ?? null)}::timestamptz[],
      ${rows.map((r) => r.past?.deleted?.at ?? null)}::timestamptz[], ${rows.map((r) => r.past?.deleted?.reason ?? null)}::text[],
      ${rows.map((r) => r.past?.lastUsedAt ?? null)}::timestamptz[])`.execute(tx);
  await insertToldReflections(
    tx,
    rows.filter((row) => row.reflection !== undefined),
  );
}

/** What another fleet drew from its memories stands among the reflections, with its evidence, and says where it is from. */
async function insertToldReflections(tx: Executor, rows: readonly MemoryRow[]): Promise<void> {
  if (rows.length === 0) return;
  const told = rows.map((row) => ({ row, id: newId('reflection') }));
  await tx
    .insertInto('reflections')
    .values(
      told.map(({ row, id }) => ({
        id,
        ownerId: row.ownerId,
        agentId: row.agentId,
        memoryId: row.id,
        ordinal: 0,
        text: row.text,
        modelId: row.reflection!.modelId,
        source: 'import',
        promptVersion: row.reflection!.promptVersion,
        degraded: false,
        tokens: 0,
        seconds: 0,
      })),
    )
    .execute();
  await tx
    .insertInto('reflectionEvidence')
    .values(
      told.flatMap(({ row, id }) =>
        (row.evidenceIds ?? []).map((memoryId, ordinal) => ({ reflectionId: id, ordinal, memoryId })),
      ),
    )
    .execute();
}
