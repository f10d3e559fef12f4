import { sql } from 'kysely';
import { memoryWords } from '../domain/memory-words.ts';
import type { WeavableMemory } from '../domain/thread-links.ts';
import type { Database } from './database.ts';
import { vectorOf } from './memory-columns.ts';

/** Rows read at a time. */
const page = 2_000;
/** Of one text; see mostWords in domain/memory-words.ts. */
const mostLetters = 4_000;

/** Living and lived: not what an agent made of its memories, nor what was quoted or handed on from others; as the trigger says. */
const isWeavable = sql<boolean>`m.kind <> 'reflection' and m.deleted_at is null and m.superseded_at is null
  and m.source <> 'consolidated' and m.source not like 'inherited:%'`;

interface WeavableRow {
  id: string;
  agentId: string;
  name: string;
  at: Date;
  exactAt: string;
  text: string;
  hash: Buffer;
}

export interface PendingMemories {
  /** In order of when they happened, then id. */
  ids: string[];
  /** Those of them that still hold. */
  living: string[];
  fromMs: number;
  toMs: number;
}

/** What `weaveMemories` reads: the unwoven, what happened around them, and vectors. */
export function createWeavingStore(db: Database) {
  return {
    /**
     * The memories that have waited longest by when they happened, so many at most and none more than `spanMs` after the
     * first: what is woven together can then be compared with a window of bounded span. Undefined: all are woven.
     */
    async pending(ownerId: string, limit: number, spanMs: number): Promise<PendingMemories | undefined> {
      const { rows } = await sql<{ id: string; at: Date; living: boolean }>`
        with first as (
          select occurred_at from unwoven_memories where owner_id = ${ownerId} order by occurred_at limit 1
        )
        select u.memory_id as id, u.occurred_at as at, m.deleted_at is null and m.superseded_at is null as living
        from first, unwoven_memories u join memories m on m.id = u.memory_id
        where u.owner_id = ${ownerId} and u.occurred_at <= first.occurred_at + make_interval(secs => ${spanMs / 1000})
        order by u.occurred_at, u.memory_id limit ${limit}`.execute(db);
      const [first] = rows;
      if (!first) return undefined;
      return {
        ids: rows.map(({ id }) => id),
        living: rows.filter(({ living }) => living).map(({ id }) => id),
        fromMs: first.at.getTime(),
        // A Date has no microseconds, and the last one must lie within.
        toMs: rows.at(-1)!.at.getTime() + 1,
      };
    },

    /** Ids of the unwoven of a span of time. */
    async unwovenBetween(ownerId: string, fromMs: number, toMs: number): Promise<Set<string>> {
      const { rows } = await sql<{ id: string }>`
        select memory_id as id from unwoven_memories
        where owner_id = ${ownerId} and occurred_at between ${new Date(fromMs)} and ${new Date(toMs)}`.execute(db);
      return new Set(rows.map(({ id }) => id));
    },

    /** Letters that the rules would read of what happened in a span of time, both ends in it: what it takes in memory. */
    async lettersBetween(ownerId: string, fromMs: number, toMs: number): Promise<number> {
      const { rows } = await sql<{ letters: number }>`
        select coalesce(sum(least(length(m.text), ${mostLetters})), 0)::float8 as letters from memories m
        where m.owner_id = ${ownerId} and ${isWeavable}
          and m.occurred_at between ${new Date(fromMs)} and ${new Date(toMs)}`.execute(db);
      return rows[0]!.letters;
    },

    /** The memories of a span of time as the rules compare them, page by page in order of time. */
    async *between(ownerId: string, fromMs: number, toMs: number): AsyncIterable<WeavableMemory[]> {
      // As text, since a Date has no microseconds and would read the last row again.
      let after = { at: new Date(fromMs).toISOString(), id: '' };
      for (;;) {
        const { rows } = await sql<WeavableRow>`
          select m.id, m.agent_id, a.name, m.occurred_at as at, m.occurred_at::text as exact_at, m.text, m.content_hash as hash
          from memories m join agents a on a.id = m.agent_id
          where m.owner_id = ${ownerId} and ${isWeavable}
            and (m.occurred_at, m.id) > (${after.at}::timestamptz, ${after.id}) and m.occurred_at <= ${new Date(toMs)}
          order by m.occurred_at, m.id limit ${page}`.execute(db);
        const last = rows.at(-1);
        if (!last) return;
        yield rows.map(({ id, agentId, name, at, text, hash }) => ({
          id,
          agentId,
          atMs: at.getTime(),
          contentHash: hash.toString('base64'),
          words: memoryWords(text, name),
        }));
        if (rows.length < page) return;
        after = { at: last.exactAt, id: last.id };
      }
    },

    /** Vectors of memories by a model; those it has none of are left out. */
    async vectors(ownerId: string, model: string, ids: readonly string[]): Promise<Map<string, Float32Array>> {
      const vectors = new Map<string, Float32Array>();
      for (let from = 0; from < ids.length; from += page) {
        const { rows } = await sql<{ id: string; vector: Buffer }>`
          select m.id, e.vector from memories m
          join embeddings e on e.owner_id = m.owner_id and e.model = ${model} and e.content_hash = m.content_hash
          where m.owner_id = ${ownerId} and m.id = any(${ids.slice(from, from + page)})`.execute(db);
        for (const { id, vector } of rows) vectors.set(id, vectorOf(vector));
      }
      return vectors;
    },
  };
}
export type WeavingStore = ReturnType<typeof createWeavingStore>;
