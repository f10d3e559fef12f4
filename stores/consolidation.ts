import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { consolidated, type ConsolidationGroup, type KeptMemory, type RankedMemory } from '../domain/consolidation.ts';
import type { MemoryKind } from '../domain/states.ts';
import type { Database, Executor } from './database.ts';
import { contentHash } from './embeddings.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { quotationSource } from './quotations.ts';
import { leaveThreads } from './threads.ts';

export interface CountedAgent {
  id: string;
  archetype: string;
}

export interface Consolidation {
  /** Memories fewer than before. */
  freed: number;
  /** A reflection is reading the agent's memories: nothing was touched. */
  busy: boolean;
}

export function createConsolidationStore(db: Database) {
  return {
    /** Agents behind `after` that may hold more than `least` memories, in order of their ids. */
    async candidates(ownerId: string, least: number, after: string, limit: number): Promise<CountedAgent[]> {
      return (
        db
          .selectFrom('agents')
          .select(['id', 'archetype'])
          .where('ownerId', '=', ownerId)
          .where('state', '<>', 'retired')
          // None has more living memories than it ever had.
          .where('memorySeq', '>', least)
          .where('id', '>', after)
          .orderBy('id')
          .limit(limit)
          .execute()
      );
    },

    async countLiving(agentId: string): Promise<number> {
      const { count } = await db
        .selectFrom('memories')
        .select((eb) => eb.fn.countAll<number>().as('count'))
        .where('agentId', '=', agentId)
        .where('deletedAt', 'is', null)
        .where('supersededAt', 'is', null)
        .executeTakeFirstOrThrow();
      return count;
    },

    /** What may give way, without its text: places in the order of usefulness are found among all of it. */
    async unprotected(agentId: string): Promise<RankedMemory[]> {
      const { rows } = await sql<{ id: string; importance: number; usedAt: Date; occurredAt: Date }>`
        select m.id, m.importance, coalesce(m.last_used_at, m.occurred_at) as used_at, m.occurred_at
        from memories m where m.agent_id = ${agentId} and ${mayGiveWay}`.execute(db);
      return rows.map((row) => ({
        ...row,
        usedAt: row.usedAt.toISOString(),
        occurredAt: row.occurredAt.toISOString(),
      }));
    },

    async read(ids: readonly string[]): Promise<KeptMemory[]> {
      return keptMemories(db, sql`m.id = any(${[...ids]}) and ${mayGiveWay}`);
    },

    /**
     * Puts one memory in the place of each group, in one transaction under the agent's row. What has become evidence of a
     * reflection or part of a live thread since it was read is left out, as is what somebody took away.
     */
    async consolidate(ownerId: string, agentId: string, groups: readonly ConsolidationGroup[]): Promise<Consolidation> {
      return db.transaction().execute(async (tx) => {
        const agent = await tx
          .selectFrom('agents')
          .select(['memorySeq', 'memoryRev'])
          .where('id', '=', agentId)
          .where('ownerId', '=', ownerId)
          .forUpdate()
          .executeTakeFirst();
        if (!agent) return { freed: 0, busy: false };
        // A run that has begun may cite what it reads. One that begins now waits for the agent's row and reads what is left.
        const reading = await tx
          .selectFrom('runs')
          .select('id')
          .where('agentId', '=', agentId)
          .where('state', 'in', ['queued', 'running', 'parked'])
          .where('toSeq', 'is not', null)
          .executeTakeFirst();
        if (reading) return { freed: 0, busy: true };
        const ids = groups.flatMap(({ members }) => members.map(({ id }) => id));
        const now = new Map(
          (await keptMemories(tx, sql`m.agent_id = ${agentId} and m.id = any(${ids}) and ${mayGiveWay}`)).map(
            (memory) => [memory.id, memory],
          ),
        );
        let { memorySeq: seq, memoryRev: rev } = agent;
        let made = 0;
        let freed = 0;
        const entombed: string[] = [];
        for (const { members } of groups) {
          const left = members.flatMap(({ id }) => now.get(id) ?? []);
          if (left.length === 0 || (left.length === 1 && members.length > 1)) continue;
          if (left.length === 1) {
            rev += 1;
            await entomb(tx, left[0]!.id, rev);
            entombed.push(left[0]!.id);
            freed += 1;
            continue;
          }
          seq += 1;
          rev += 1;
          const id = newId('memory');
          await insertConsolidated(tx, { id, ownerId, agentId, seq, rev, members: left });
          await sql`update memories m set superseded_by = ${id}, superseded_at = now(), rev = ${rev}::bigint + gone.n
            from unnest(${left.map((member) => member.id)}::text[]) with ordinality as gone (id, n)
            where m.id = gone.id`.execute(tx);
          rev += left.length;
          freed += left.length - 1;
          made += 1;
        }
        if (freed === 0) return { freed, busy: false };
        await leaveThreads(tx, ownerId, entombed);
        await tx
          .updateTable('agents')
          // A quotation of what has been reflected on makes no run due; see due-memories.ts.
          .set({ memorySeq: seq, memoryRev: rev })
          .where('id', '=', agentId)
          .execute();
        await appendEvents(tx, [
          { ownerId, type: 'memories.consolidated', subject: agentId, data: { freed, into: made } },
        ]);
        return { freed, busy: false };
      });
    },

    /** Says that the rest of an agent's memories may not give way; taken back once it is within its limit. */
    async noteLimit(
      ownerId: string,
      agentId: string,
      over: { living: number; limit: number } | undefined,
    ): Promise<void> {
      const key = `memory_limit:${agentId}`;
      if (!over) return resolveNotice(db, key);
      await openNotice(db, {
        id: newId('notice'),
        ownerId,
        kind: 'memory_limit',
        key,
        subject: agentId,
        title: `${agentId} remembers ${over.living}, over its limit of ${over.limit}`,
        detail:
          'What is left is evidence of reflections, part of live threads, or reflections: nothing of it gives way.',
        action: 'raise memoriesPerAgent in fleet.yaml, or delete reflections',
      });
    },

    /** Says that an agent was passed over because its memories could not be consolidated; taken back once they could. */
    async noteFailure(ownerId: string, agentId: string, reason: string | undefined): Promise<void> {
      const key = `consolidation_failing:${agentId}`;
      if (reason === undefined) return resolveNotice(db, key);
      await openNotice(db, {
        id: newId('notice'),
        ownerId,
        kind: 'consolidation_failing',
        key,
        subject: agentId,
        title: `The memories of ${agentId} could not be consolidated`,
        detail: reason,
      });
    },
  };
}
export type ConsolidationStore = ReturnType<typeof createConsolidationStore>;

/**
 * Living, lived and held by nothing: reflections themselves, what a living reflection rests on and what stands in a live
 * thread stay as they are.
 */
const mayGiveWay = sql<boolean>`m.deleted_at is null and m.superseded_at is null and m.kind <> 'reflection'
  and not exists (select from reflection_evidence e join reflections r on r.id = e.reflection_id
    join memories made on made.id = r.memory_id
    where e.memory_id = m.id and made.deleted_at is null and made.superseded_at is null)
  and not exists (select from thread_memories s join threads t on t.id = s.thread_id
    where s.memory_id = m.id and t.state = 'live')`;

async function keptMemories(db: Executor, where: ReturnType<typeof sql<boolean>>): Promise<KeptMemory[]> {
  const { rows } = await sql<{
    id: string;
    kind: MemoryKind;
    text: string;
    importance: number;
    occurredAt: Date;
    validTo: Date | null;
    usedAt: Date;
    contentHash: Buffer;
  }>`select m.id, m.kind, m.text, m.importance, m.occurred_at, m.valid_to, m.content_hash,
      coalesce(m.last_used_at, m.occurred_at) as used_at
    from memories m where ${where}`.execute(db);
  return rows.map((row) => ({
    ...row,
    occurredAt: row.occurredAt.toISOString(),
    validTo: row.validTo?.toISOString() ?? null,
    usedAt: row.usedAt.toISOString(),
    contentHash: row.contentHash.toString('base64'),
  }));
}

async function insertConsolidated(
  tx: Executor,
  {
    id,
    members,
    ...row
  }: { id: string; ownerId: string; agentId: string; seq: number; rev: number; members: KeptMemory[] },
): Promise<void> {
  const { kind, text, importance, occurredAt, validTo, usedAt } = consolidated({ members });
  const ids = members.map((member) => member.id);
  await tx
    .insertInto('memories')
    .values({
      ...row,
      id,
      kind,
      text,
      importance,
      source: quotationSource,
      externalKey: `consolidated:${createHash('sha256').update(ids.join(' ')).digest('hex').slice(0, 32)}`,
      occurredAt,
      validTo,
      lastUsedAt: usedAt,
      contentHash: contentHash(text),
    })
    .execute();
}

async function entomb(tx: Executor, id: string, rev: number): Promise<void> {
  await tx
    .updateTable('memories')
    .set({ deletedAt: sql<Date>`now()`, deletedReason: quotationSource, rev })
    .where('id', '=', id)
    .execute();
}
