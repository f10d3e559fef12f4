import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { countedImportance } from '../domain/importance.ts';
import { mostLoopMemories } from '../domain/loop-manifest.ts';
import { isLived, type MemoryKind } from '../domain/states.ts';
import type { AsOf } from '../domain/validity.ts';
import { type Database, type DatabaseTransaction, type Executor, inTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { type Forgotten, type ForgottenDependents, whatGoes } from './forgettable.ts';
import { forgetMemory } from './forgetting.ts';
import { newId } from './ids.ts';
import { addImportance } from './importance.ts';
import { isDue } from './due-memories.ts';
import { quotationSource } from './quotations.ts';
import { leaveThreads } from './threads.ts';
import { heldAndKnown } from './memory-times.ts';
import { grounded, insertMemoryRows, type NewMemory } from './memory-rows.ts';
import { searchAhead } from './quote-search.ts';

export type { NewMemory };

export interface Memory {
  id: string;
  agentId: string;
  seq: number;
  kind: MemoryKind;
  text: string;
  importance: number;
  source: string;
  occurredAt: string;
  /** Until when it held; null: it still does. */
  validTo: string | null;
  /** 0: lived; a reflection lies one above the deepest of what it rests on. */
  depth: number;
}

export interface AddedMemories {
  added: number;
  known: number;
  /** Agents that do not exist, are another owner's, or are retired. */
  unknown: string[];
  /** Reflections of which no evidence is here. */
  groundless: Array<{ agentId: string; externalKey: string }>;
}

/** A memory and what took its place, by their external keys. */
export interface Succession {
  key: string;
  successor: string;
}

export function createMemoryStore(db: Database) {
  return {
    /**
     * Adds memories in one transaction, the caller's or its own, at most a few thousand at a time (transactions end within 10 s). Sequence numbers
     * are counted under the agents' row locks, taken in the order of their ids, so none commits behind a reflection.
     * `within`: as part of a transaction of the caller's.
     */
    async add(ownerId: string, memories: readonly NewMemory[], within?: DatabaseTransaction): Promise<AddedMemories> {
      if (memories.length === 0) return { added: 0, known: 0, unknown: [], groundless: [] };
      return inTransaction(db, within, async (tx) => {
        const wanted = [...new Set(memories.map((memory) => memory.agentId))].sort();
        const agents = await tx
          .selectFrom('agents')
          .select(['id', 'memorySeq', 'memoryRev', 'state'])
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
        const { rows: kept, groundless } = await grounded(
          tx,
          fresh.map((memory) => ({ ...memory, id: newId('memory'), ownerId })),
        );
        const rows = kept.map((memory) => {
          const next = seq.get(memory.agentId)! + 1;
          seq.set(memory.agentId, next);
          return { ...memory, seq: next };
        });
        const rev = new Map(agents.map((agent) => [agent.id, agent.memoryRev]));
        refuseMoreOfDormant(agents, seq);
        if (rows.length > 0) {
          await insertMemoryRows(
            tx,
            rows.map((row) => {
              rev.set(row.agentId, rev.get(row.agentId)! + 1);
              return { ...row, rev: rev.get(row.agentId)! };
            }),
          );
          const touched = [...new Set(rows.map((row) => row.agentId))];
          const lived = new Map(rows.filter(({ kind }) => isLived(kind)).map((row) => [row.agentId, row.seq]));
          await sql`
            update agents set memory_seq = new.seq, memory_rev = new.rev, lived_seq = greatest(lived_seq, new.lived)
            from unnest(${touched}::text[], ${touched.map((id) => seq.get(id)!)}::bigint[],
              ${touched.map((id) => rev.get(id)!)}::bigint[], ${touched.map((id) => lived.get(id) ?? 0)}::bigint[]) as new (id, seq, rev, lived)
            where agents.id = new.id`.execute(tx);
          const now = new Date();
          const moved = new Map<string, number>();
          for (const row of rows) moved.set(row.agentId, (moved.get(row.agentId) ?? 0) + countedImportance(row, now));
          await addImportance(tx, moved);
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
        return {
          added: rows.length,
          known: memories.length - refused - groundless.length - rows.length,
          unknown,
          groundless: groundless.map(({ agentId, externalKey }) => ({ agentId, externalKey })),
        };
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
        if (old.supersededAt !== null) throw new DomainError('CONFLICT', `${id} gave way to one that is not here`);
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
          .set({
            memorySeq: sql<number>`memory_seq + 1`,
            memoryRev: sql<number>`memory_rev + 2`,
            ...(isLived(old.kind as MemoryKind) ? { livedSeq: sql<number>`memory_seq + 1` } : {}),
          })
          .where('id', '=', old.agentId)
          .returning(['memorySeq', 'memoryRev', 'state'])
          .executeTakeFirstOrThrow();
        refuseMoreOfDormant([{ id: old.agentId, state: agent.state }], new Map([[old.agentId, agent.memorySeq]]));
        const next = newId('memory');
        await insertMemoryRows(tx, [
          {
            ...successor,
            id: next,
            ownerId,
            agentId: old.agentId,
            kind: old.kind as MemoryKind,
            seq: agent.memorySeq,
            rev: agent.memoryRev - 1,
            depth: old.depth,
          },
        ]);
        await tx
          .updateTable('memories')
          .set({
            supersededBy: next,
            supersededAt: sql<Date>`now()`,
            // One whose end was told already ended then.
            validTo: sql<Date>`least(valid_to, ${new Date(successor.occurredAt)}::timestamptz)`,
            rev: agent.memoryRev,
          })
          .where('id', '=', id)
          .execute();
        const kind = old.kind as MemoryKind;
        await addImportance(tx, new Map([[old.agentId, countedImportance({ ...successor, kind }, new Date())]]));
        await appendEvents(tx, [
          { ownerId, type: 'memory.superseded', subject: id, data: { agentId: old.agentId, by: next } },
        ]);
        return next;
      });
    },

    /**
     * Names the successors of memories that came from another fleet before these did. What is linked already, or has not
     * given way here, stays as it is.
     */
    async linkSuccessors(ownerId: string, agentId: string, pairs: readonly Succession[]): Promise<void> {
      if (pairs.length === 0) return;
      await db.transaction().execute(async (tx) => {
        const agent = await tx
          .selectFrom('agents')
          .select('memoryRev')
          .where('id', '=', agentId)
          .where('ownerId', '=', ownerId)
          .forUpdate()
          .executeTakeFirst();
        if (!agent) return;
        const { rows } = await sql`
          update memories m set superseded_by = due.successor_id, rev = ${agent.memoryRev}::bigint + due.n
          from (
            select old.id, next.id as successor_id, row_number() over (order by old.id) as n
            from unnest(${pairs.map((pair) => pair.key)}::text[], ${pairs.map((pair) => pair.successor)}::text[])
              as pair (key, successor)
            join memories old on old.agent_id = ${agentId} and old.external_key = pair.key
            join memories next on next.agent_id = ${agentId} and next.external_key = pair.successor
            where old.superseded_by is null and old.superseded_at is not null and old.id <> next.id
          ) due
          where m.id = due.id returning m.id`.execute(tx);
        if (rows.length === 0) return;
        await tx
          .updateTable('agents')
          .set({ memoryRev: agent.memoryRev + rows.length })
          .where('id', '=', agentId)
          .execute();
      });
    },

    /** Leaves a tombstone: the memory is never retrieved again, and what rests on it still shows it. Twice is once. */
    async delete(ownerId: string, id: string, reason: string): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const memory = await lockedMemory(tx, ownerId, id);
        // What a limit took may still be taken away: it counts as said until then.
        if (memory.deletedAt !== null && memory.deletedReason !== quotationSource) return;
        await tx
          .updateTable('memories')
          .set({ deletedAt: sql<Date>`now()`, deletedReason: reason, rev: await nextRev(tx, memory.agentId) })
          .where('id', '=', id)
          .execute();
        await leaveThreads(tx, ownerId, [id]);
        await appendEvents(tx, [
          { ownerId, type: 'memory.deleted', subject: id, data: { agentId: memory.agentId, reason } },
        ]);
      });
    },

    /** For a person's request; see stores/forgetting.ts. */
    async forget(
      ownerId: string,
      id: string,
      reason: string,
      dependents: ForgottenDependents = 'keep',
    ): Promise<Forgotten> {
      const ahead = await searchAhead(db, { ownerId, id });
      return db.transaction().execute(async (tx) => {
        const memory = await lockedMemory(tx, ownerId, id);
        return forgetMemory(tx, { ...memory, ownerId, id }, { reason, dependents, ahead });
      });
    },

    /** What `forget` would take; changes nothing. */
    async forgettable(ownerId: string, id: string, dependents: ForgottenDependents = 'keep'): Promise<Forgotten> {
      const ahead = await searchAhead(db, { ownerId, id });
      return db.transaction().execute(async (tx) => {
        const memory = await lockedMemory(tx, ownerId, id);
        return (await whatGoes(tx, { ...memory, ownerId, id }, { dependents, ahead })).told;
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

    /** Living ones of these, or those that held and were known then, in no order. */
    async byIds(ownerId: string, ids: readonly string[], asOf?: AsOf): Promise<Memory[]> {
      if (ids.length === 0) return [];
      const rows = await (asOf ? everyRow(db).where(heldAndKnown(asOf, 'memories')) : memoryRows(db))
        .where('ownerId', '=', ownerId)
        .where('id', 'in', [...ids])
        .execute();
      return rows.map(memoryOf);
    },

    /** What an agent lived with `fromSeq` < seq ≤ `toSeq`, oldest first; what was deleted or superseded is left out. */
    async between(agentId: string, fromSeq: number, toSeq: number): Promise<Memory[]> {
      const rows = await memoryRows(db)
        .where('agentId', '=', agentId)
        .where('seq', '>', fromSeq)
        .where('seq', '<=', toSeq)
        .where(isDue(fromSeq))
        .orderBy('seq')
        .execute();
      return rows.map(memoryOf);
    },

    /** The agent's last reflections under a depth, the last first. */
    async lastReflections(agentId: string, underDepth: number, limit: number): Promise<Memory[]> {
      const rows = await memoryRows(db)
        .where('agentId', '=', agentId)
        .where('kind', '=', 'reflection')
        .where('depth', '<', underDepth)
        .orderBy('seq', 'desc')
        .limit(limit)
        .execute();
      return rows.map(memoryOf);
    },
  };
}
export type MemoryStore = ReturnType<typeof createMemoryStore>;

/** Living ones: neither deleted nor superseded. */
function memoryRows(db: Executor) {
  return everyRow(db).where('deletedAt', 'is', null).where('supersededAt', 'is', null);
}

function everyRow(db: Executor) {
  return db
    .selectFrom('memories')
    .select(['id', 'agentId', 'seq', 'kind', 'text', 'importance', 'source', 'occurredAt', 'validTo', 'depth']);
}

function memoryOf(row: Awaited<ReturnType<ReturnType<typeof memoryRows>['execute']>>[number]): Memory {
  return {
    ...row,
    kind: row.kind as MemoryKind,
    occurredAt: row.occurredAt.toISOString(),
    validTo: row.validTo?.toISOString() ?? null,
  };
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
    .select(['agentId', 'kind', 'depth', 'text', 'occurredAt', 'externalKey', 'contentHash'])
    .select(['supersededBy', 'supersededAt', 'deletedAt', 'deletedReason'])
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

/** Nothing consolidates what a dormant agent remembers, so it has as much as a package takes and no more. @throws CONFLICT */
function refuseMoreOfDormant(
  agents: ReadonlyArray<{ id: string; state: string }>,
  seq: ReadonlyMap<string, number>,
): void {
  const full = agents.find(({ id, state }) => state === 'dormant' && seq.get(id)! > mostLoopMemories);
  if (full) throw new DomainError('CONFLICT', `${full.id} is dormant and remembers ${mostLoopMemories} things at most`);
}
