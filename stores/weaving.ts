import { sql } from 'kysely';
import { memoryWords } from '../domain/memory-words.ts';
import type { WeavableMemory } from '../domain/thread-links.ts';
import type { Database } from './database.ts';
import { newId } from './ids.ts';
import { takeLock } from './locks.ts';
import { soundVector } from './memory-columns.ts';
import { replaceNotices } from './notices.ts';

/** Rows read at a time. */
const page = 2_000;
/** Of one text; see mostWords in domain/memory-words.ts. */
const mostLetters = 4_000;

/** Memories that a notice names. */
const named = 5;

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
  /** Living ones that happened at no time that can be told; then there are no others among `living`. */
  untimed: string[];
  fromMs: number;
  toMs: number;
}

/** Memories as the rules compare them, and why some of their rows cannot be compared, by id. */
export interface ReadMemories {
  memories: WeavableMemory[];
  faults: ReadonlyMap<string, string>;
}

/** Vectors by memory, and why those of some cannot be used. */
export interface ReadVectors {
  vectors: Map<string, Float32Array>;
  faults: Map<string, string>;
}

/** What `weaveMemories` reads: the unwoven, what happened around them, and vectors. */
export function createWeavingStore(db: Database) {
  return {
    /**
     * The memories that have waited longest by when they happened, so many at most and none more than `spanMs` after the
     * first: what is woven together can then be compared with a window of bounded span. What was passed over in this period
     * (or, by another run, in a later one) is left out. Undefined: nothing is left for this period.
     * @param period ISO time
     */
    async pending(
      { ownerId, period }: { ownerId: string; period: string },
      limit: number,
      spanMs: number,
    ): Promise<PendingMemories | undefined> {
      const due = sql<boolean>`u.owner_id = ${ownerId} and (u.passed_over is null or u.passed_over < ${period})`;
      const { rows } = await sql<{ id: string; at: Date | number; living: boolean }>`
        with first as (
          select u.occurred_at from unwoven_memories u where ${due} order by u.occurred_at limit 1
        )
        select u.memory_id as id, u.occurred_at as at, m.deleted_at is null and m.superseded_at is null as living
        from first, unwoven_memories u join memories m on m.id = u.memory_id
        where ${due} and u.occurred_at <= first.occurred_at + make_interval(secs => ${spanMs / 1000})
        order by u.occurred_at, u.memory_id limit ${limit}`.execute(db);
      const times = rows.map(({ at }) => (at instanceof Date ? at.getTime() : Number.NaN));
      const [first] = times;
      if (first === undefined) return undefined;
      const living = rows.filter((row) => row.living).map(({ id }) => id);
      if (times.some(Number.isNaN)) {
        const ids = rows.filter((row) => !row.living).map(({ id }) => id);
        return { ids, living: [], untimed: living, fromMs: 0, toMs: 0 };
      }
      return {
        ids: rows.map(({ id }) => id),
        living,
        untimed: [],
        fromMs: first,
        // A Date has no microseconds, and the last one must lie within.
        toMs: times.at(-1)! + 1,
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
    async *between(ownerId: string, fromMs: number, toMs: number): AsyncIterable<ReadMemories> {
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
        yield compared(rows);
        if (rows.length < page) return;
        after = { at: last.exactAt, id: last.id };
      }
    },

    /** Vectors of memories by a model; those it has none of are left out, those of other dimensions and no unit length told. */
    async vectors(
      { ownerId, model, dimensions }: { ownerId: string; model: string; dimensions: number },
      ids: readonly string[],
    ): Promise<ReadVectors> {
      const read: ReadVectors = { vectors: new Map(), faults: new Map() };
      for (let from = 0; from < ids.length; from += page) {
        const { rows } = await sql<{ id: string; vector: Buffer }>`
          select m.id, e.vector from memories m
          join embeddings e on e.owner_id = m.owner_id and e.model = ${model} and e.content_hash = m.content_hash
          where m.owner_id = ${ownerId} and m.id = any(${ids.slice(from, from + page)})`.execute(db);
        for (const { id, vector } of rows) {
          try {
            read.vectors.set(id, soundVector(vector, dimensions));
          } catch (err) {
            read.faults.set(id, faultOf(err));
          }
        }
      }
      return read;
    },

    /** Leaves memories for the period after this one, each with its reason. Of two runs the later period counts. */
    async passOver(
      { ownerId, period }: { ownerId: string; period: string },
      faults: ReadonlyMap<string, string>,
    ): Promise<void> {
      if (faults.size === 0) return;
      // Locked in the order of their ids, as by who weaves or forgets them.
      await sql`
        with due as (
          select memory_id from unwoven_memories where owner_id = ${ownerId} and memory_id = any(${[...faults.keys()]}::text[])
          order by memory_id for update
        )
        update unwoven_memories u set passed_over = greatest(u.passed_over, ${period}), reason = f.reason
        from due, unnest(${[...faults.keys()]}::text[], ${[...faults.values()]}::text[]) as f (id, reason)
        where u.memory_id = due.memory_id and f.id = due.memory_id`.execute(db);
    },

    /** One notice for each agent of whose living memories some are passed over; closed once they are woven or gone. */
    async tellPassedOver(ownerId: string): Promise<void> {
      await db.transaction().execute(async (tx) => {
        // Two that tell at once would close what the other has opened.
        await takeLock(tx, 'threads', ownerId);
        const { rows } = await sql<{ agentId: string; count: number; ids: string[]; reason: string }>`
          select m.agent_id, count(*) as count, (array_agg(m.id order by m.id))[1:${named}::int] as ids,
            min(u.reason) as reason
          from unwoven_memories u join memories m on m.id = u.memory_id
          where u.owner_id = ${ownerId} and u.passed_over is not null and m.deleted_at is null and m.superseded_at is null
          group by m.agent_id order by m.agent_id`.execute(tx);
        await replaceNotices(
          tx,
          { ownerId, kind: 'weaving_failing' },
          rows.map(({ agentId, count, ids, reason }) => ({
            id: newId('notice'),
            key: `weaving_failing:${agentId}`,
            subject: agentId,
            title: `${count} of the memories of ${agentId} could not be woven into threads`,
            detail: `${ids.join(', ')}${count > ids.length ? ', …' : ''}: ${reason}. Each weaving tries them again.`,
            action:
              'delete the damaged rows from embeddings, which makes them anew, or supersede or delete the memories',
          })),
        );
      });
    },
  };
}

/** Row by row, so that one that the rules cannot take keeps nothing else from them. */
function compared(rows: readonly WeavableRow[]): ReadMemories {
  const memories: WeavableMemory[] = [];
  const faults = new Map<string, string>();
  for (const { id, agentId, name, at, text, hash } of rows) {
    try {
      const words = memoryWords(text, name);
      memories.push({ id, agentId, atMs: at.getTime(), contentHash: hash.toString('base64'), words });
    } catch (err) {
      faults.set(id, faultOf(err));
    }
  }
  return { memories, faults };
}

function faultOf(err: unknown): string {
  return err instanceof Error ? err.message : String(err);
}

export type WeavingStore = ReturnType<typeof createWeavingStore>;
