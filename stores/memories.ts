import { sql } from 'kysely';
import type { MemoryKind } from '../domain/states.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
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
}

export interface Memory {
  id: string;
  agentId: string;
  seq: number;
  kind: MemoryKind;
  text: string;
  importance: number;
  source: string;
  occurredAt: string;
}

/** @property unknown agents that do not exist, are another owner's, or are retired */
export interface AddedMemories {
  added: number;
  known: number;
  unknown: string[];
}

export function createMemoryStore(db: Database) {
  return {
    /**
     * Adds memories in one transaction, at most a few thousand at a time (transactions end within 10 s). Sequence numbers
     * are counted under the agents' row locks, taken in the order of their ids, so none commits behind a reflection.
     */
    async add(ownerId: string, memories: readonly NewMemory[]): Promise<AddedMemories> {
      if (memories.length === 0) return { added: 0, known: 0, unknown: [] };
      return db.transaction().execute(async (tx) => {
        const wanted = [...new Set(memories.map((memory) => memory.agentId))].sort();
        const agents = await tx
          .selectFrom('agents')
          .select(['id', 'memorySeq'])
          .where('id', 'in', wanted)
          .where('ownerId', '=', ownerId)
          .where('state', '<>', 'retired')
          .orderBy('id')
          .forUpdate()
          .execute();
        const seq = new Map(agents.map((agent) => [agent.id, agent.memorySeq]));
        const fresh = await withoutKnown(
          tx,
          memories.filter((memory) => seq.has(memory.agentId)),
        );
        const rows = fresh.map((memory) => {
          const next = seq.get(memory.agentId)! + 1;
          seq.set(memory.agentId, next);
          return { ...memory, id: newId('memory'), ownerId, seq: next };
        });
        if (rows.length > 0) {
          await insertRows(tx, rows);
          const touched = [...new Set(rows.map((row) => row.agentId))];
          await sql`
            update agents set memory_seq = new.seq
            from unnest(${touched}::text[], ${touched.map((id) => seq.get(id)!)}::bigint[]) as new (id, seq)
            where agents.id = new.id`.execute(tx);
          await appendEvents(
            tx,
            touched.map((agentId) => ({
              ownerId,
              type: 'memories.added',
              subject: agentId,
              data: { toSeq: seq.get(agentId)! },
            })),
          );
        }
        const unknown = wanted.filter((id) => !seq.has(id));
        const refused = memories.filter((memory) => !seq.has(memory.agentId)).length;
        return { added: rows.length, known: memories.length - refused - rows.length, unknown };
      });
    },

    /** Memories of an agent with `fromSeq` < seq ≤ `toSeq`, oldest first. */
    async between(agentId: string, fromSeq: number, toSeq: number): Promise<Memory[]> {
      const rows = await db
        .selectFrom('memories')
        .select(['id', 'agentId', 'seq', 'kind', 'text', 'importance', 'source', 'occurredAt'])
        .where('agentId', '=', agentId)
        .where('seq', '>', fromSeq)
        .where('seq', '<=', toSeq)
        .orderBy('seq')
        .execute();
      return rows.map((row) => ({ ...row, kind: row.kind as MemoryKind, occurredAt: row.occurredAt.toISOString() }));
    },
  };
}
export type MemoryStore = ReturnType<typeof createMemoryStore>;

async function withoutKnown(tx: Executor, memories: readonly NewMemory[]): Promise<NewMemory[]> {
  if (memories.length === 0) return [];
  const { rows } = await sql<{ agentId: string; externalKey: string }>`
    select m.agent_id, m.external_key
    from unnest(${memories.map((m) => m.agentId)}::text[], ${memories.map((m) => m.externalKey)}::text[]) as new (agent_id, external_key)
    join memories m using (agent_id, external_key)`.execute(tx);
  const known = new Set(rows.map((row) => `${row.agentId} ${row.externalKey}`));
  return memories.filter((memory) => {
    const key = `${memory.agentId} ${memory.externalKey}`;
    if (known.has(key)) return false;
    known.add(key);
    return true;
  });
}

async function insertRows(
  tx: Executor,
  rows: ReadonlyArray<NewMemory & { id: string; ownerId: string; seq: number }>,
): Promise<void> {
  await sql`
    insert into memories (id, owner_id, agent_id, seq, kind, text, importance, source, external_key, occurred_at)
    select * from unnest(
      ${rows.map((r) => r.id)}::text[], ${rows.map((r) => r.ownerId)}::text[], ${rows.map((r) => r.agentId)}::text[],
      ${rows.map((r) => r.seq)}::bigint[], ${rows.map((r) => r.kind)}::text[], ${rows.map((r) => r.text)}::text[],
      ${rows.map((r) => r.importance)}::smallint[], ${rows.map((r) => r.source)}::text[],
      ${rows.map((r) => r.externalKey)}::text[], ${rows.map((r) => r.occurredAt)}::timestamptz[])`.execute(tx);
}
