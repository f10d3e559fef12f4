import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { MemoryKind } from '../domain/states.ts';
import type { Database, Executor } from './database.ts';
import { contentHash } from './embeddings.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { forgetSourceItem } from './source-items.ts';

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

/** What rests on a memory that is taken away. */
export interface Dependents {
  reflections: string[];
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
          .select(['id', 'memorySeq', 'memoryRev'])
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
        const rev = new Map(agents.map((agent) => [agent.id, agent.memoryRev]));
        if (rows.length > 0) {
          await insertRows(
            tx,
            rows.map((row) => {
              rev.set(row.agentId, rev.get(row.agentId)! + 1);
              return { ...row, rev: rev.get(row.agentId)! };
            }),
          );
          const touched = [...new Set(rows.map((row) => row.agentId))];
          await sql`
            update agents set memory_seq = new.seq, memory_rev = new.rev
            from unnest(${touched}::text[], ${touched.map((id) => seq.get(id)!)}::bigint[],
              ${touched.map((id) => rev.get(id)!)}::bigint[]) as new (id, seq, rev)
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

    /**
     * What held until now gives way to what holds from `occurredAt` on; the old row stays, with its end and its successor.
     * A second call with the same key answers with the successor that is there.
     * @throws NOT_FOUND, CONFLICT where the memory was superseded by another or deleted
     */
    async supersede(ownerId: string, id: string, successor: Omit<NewMemory, 'agentId' | 'kind'>): Promise<string> {
      return db.transaction().execute(async (tx) => {
        const old = await lockedMemory(tx, ownerId, id);
        if (old.supersededBy !== null) {
          const known = await tx
            .selectFrom('memories')
            .select('externalKey')
            .where('id', '=', old.supersededBy)
            .executeTakeFirstOrThrow();
          if (known.externalKey === successor.externalKey) return old.supersededBy;
          throw new DomainError('CONFLICT', `${id} was superseded by ${old.supersededBy} already`);
        }
        if (old.deletedAt !== null) throw new DomainError('CONFLICT', `${id} was deleted: ${old.deletedReason}`);
        if (new Date(successor.occurredAt) < old.occurredAt) {
          throw new DomainError(
            'CONFLICT',
            `${id} holds from ${old.occurredAt.toISOString()}; its successor cannot begin before`,
          );
        }
        const clash = await tx
          .selectFrom('memories')
          .select('id')
          .where('agentId', '=', old.agentId)
          .where('externalKey', '=', successor.externalKey)
          .executeTakeFirst();
        if (clash) throw new DomainError('CONFLICT', `${clash.id} has the key ${successor.externalKey} already`);
        const agent = await tx
          .updateTable('agents')
          .set({ memorySeq: sql<number>`memory_seq + 1`, memoryRev: sql<number>`memory_rev + 2` })
          .where('id', '=', old.agentId)
          .returning(['memorySeq', 'memoryRev'])
          .executeTakeFirstOrThrow();
        const next = newId('memory');
        await insertRows(tx, [
          {
            ...successor,
            id: next,
            ownerId,
            agentId: old.agentId,
            kind: old.kind as MemoryKind,
            seq: agent.memorySeq,
            rev: agent.memoryRev - 1,
          },
        ]);
        await tx
          .updateTable('memories')
          .set({
            supersededBy: next,
            supersededAt: sql<Date>`now()`,
            validTo: new Date(successor.occurredAt),
            rev: agent.memoryRev,
          })
          .where('id', '=', id)
          .execute();
        await appendEvents(tx, [
          { ownerId, type: 'memory.superseded', subject: id, data: { agentId: old.agentId, by: next } },
        ]);
        return next;
      });
    },

    /** Leaves a tombstone: the memory is never retrieved again, and what rests on it still shows it. Twice is once. */
    async delete(ownerId: string, id: string, reason: string): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const memory = await lockedMemory(tx, ownerId, id);
        if (memory.deletedAt !== null) return;
        await tx
          .updateTable('memories')
          .set({ deletedAt: sql<Date>`now()`, deletedReason: reason, rev: await nextRev(tx, memory.agentId) })
          .where('id', '=', id)
          .execute();
        await appendEvents(tx, [
          { ownerId, type: 'memory.deleted', subject: id, data: { agentId: memory.agentId, reason } },
        ]);
      });
    },

    /**
     * For a person's request: the text and its vectors are gone for good, also from superseded rows; the tombstone stays.
     * @returns what rested on it, which is not rewritten: it is for the asker to say what becomes of it
     */
    async forget(ownerId: string, id: string, reason: string): Promise<Dependents> {
      return db.transaction().execute(async (tx) => {
        const memory = await lockedMemory(tx, ownerId, id);
        await tx
          .updateTable('memories')
          .set({
            text: '',
            // Also a hash of a short text would tell it.
            contentHash: contentHash(id),
            source: 'forgotten',
            externalKey: id,
            deletedAt: sql<Date>`coalesce(deleted_at, now())`,
            deletedReason: reason,
            rev: await nextRev(tx, memory.agentId),
          })
          .where('id', '=', id)
          .execute();
        await forgetSourceItem(tx, ownerId, memory.externalKey);
        await sql`delete from embeddings e where e.owner_id = ${ownerId} and e.content_hash = ${memory.contentHash}
          and not exists (select from memories m where m.owner_id = e.owner_id and m.content_hash = e.content_hash)`.execute(
          tx,
        );
        const reflections = await tx
          .selectFrom('reflectionEvidence')
          .select('reflectionId')
          .where('memoryId', '=', id)
          .orderBy('reflectionId')
          .execute();
        await appendEvents(tx, [
          { ownerId, type: 'memory.forgotten', subject: id, data: { agentId: memory.agentId, reason } },
        ]);
        return { reflections: reflections.map((row) => row.reflectionId) };
      });
    },

    /** Memories that came to mind are recent again; noted every five minutes at most. */
    async markUsed(ownerId: string, agentId: string, ids: readonly string[], at: Date): Promise<void> {
      if (ids.length === 0) return;
      await db.transaction().execute(async (tx) => {
        // The agent's row first, as everywhere, so that two who mark do not wait for each other in a ring.
        const { memoryRev } = await tx
          .selectFrom('agents')
          .select('memoryRev')
          .where('id', '=', agentId)
          .forUpdate()
          .executeTakeFirstOrThrow();
        const { rows } = await sql<{ rev: number }>`
          update memories m set last_used_at = ${at}, rev = ${memoryRev}::bigint + due.n
          from (
            select id, row_number() over (order by id) as n from memories
            where agent_id = ${agentId} and owner_id = ${ownerId} and id = any(${[...ids]})
              and (last_used_at is null or last_used_at < ${at}::timestamptz - ${usedEvery}::interval)
          ) due
          where m.id = due.id returning m.rev`.execute(tx);
        if (rows.length === 0) return;
        await tx
          .updateTable('agents')
          .set({ memoryRev: memoryRev + rows.length })
          .where('id', '=', agentId)
          .execute();
      });
    },

    /** Living ones of these, in no order. */
    async byIds(ownerId: string, ids: readonly string[]): Promise<Memory[]> {
      if (ids.length === 0) return [];
      const rows = await memoryRows(db)
        .where('ownerId', '=', ownerId)
        .where('id', 'in', [...ids])
        .execute();
      return rows.map(memoryOf);
    },

    /** Memories of an agent with `fromSeq` < seq ≤ `toSeq`, oldest first; what was deleted or superseded is left out. */
    async between(agentId: string, fromSeq: number, toSeq: number): Promise<Memory[]> {
      const rows = await memoryRows(db)
        .where('agentId', '=', agentId)
        .where('seq', '>', fromSeq)
        .where('seq', '<=', toSeq)
        .orderBy('seq')
        .execute();
      return rows.map(memoryOf);
    },
  };
}
export type MemoryStore = ReturnType<typeof createMemoryStore>;

/** Living ones: neither deleted nor superseded. */
function memoryRows(db: Executor) {
  return db
    .selectFrom('memories')
    .select(['id', 'agentId', 'seq', 'kind', 'text', 'importance', 'source', 'occurredAt'])
    .where('deletedAt', 'is', null)
    .where('supersededAt', 'is', null);
}

function memoryOf(row: Awaited<ReturnType<ReturnType<typeof memoryRows>['execute']>>[number]): Memory {
  return { ...row, kind: row.kind as MemoryKind, occurredAt: row.occurredAt.toISOString() };
}

const usedEvery = '5 minutes';

/** Under its agent's lock, which is taken first everywhere. */
async function lockedMemory(tx: Executor, ownerId: string, id: string) {
  const found = await tx
    .selectFrom('memories')
    .select('agentId')
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (!found) throw new DomainError('NOT_FOUND', `no memory ${id}`);
  await tx.selectFrom('agents').select('id').where('id', '=', found.agentId).forUpdate().executeTakeFirstOrThrow();
  return tx
    .selectFrom('memories')
    .select([
      'agentId',
      'kind',
      'occurredAt',
      'externalKey',
      'contentHash',
      'supersededBy',
      'deletedAt',
      'deletedReason',
    ])
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirstOrThrow();
}

async function nextRev(tx: Executor, agentId: string): Promise<number> {
  const { memoryRev } = await tx
    .updateTable('agents')
    .set({ memoryRev: sql<number>`memory_rev + 1` })
    .where('id', '=', agentId)
    .returning('memoryRev')
    .executeTakeFirstOrThrow();
  return memoryRev;
}

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
  rows: ReadonlyArray<NewMemory & { id: string; ownerId: string; seq: number; rev: number }>,
): Promise<void> {
  await sql`
    insert into memories (id, owner_id, agent_id, seq, rev, kind, text, importance, source, external_key, occurred_at, content_hash)
    select * from unnest(
      ${rows.map((r) => r.id)}::text[], ${rows.map((r) => r.ownerId)}::text[], ${rows.map((r) => r.agentId)}::text[],
      ${rows.map((r) => r.seq)}::bigint[], ${rows.map((r) => r.rev)}::bigint[], ${rows.map((r) => r.kind)}::text[], ${rows.map((r) => r.text)}::text[],
      ${rows.map((r) => r.importance)}::smallint[], ${rows.map((r) => r.source)}::text[],
      ${rows.map((r) => r.externalKey)}::text[], ${rows.map((r) => r.occurredAt)}::timestamptz[],
      ${rows.map((r) => contentHash(r.text))}::bytea[])`.execute(tx);
}
