import { sql } from 'kysely';
import { type Candidates, type RetrievalWeights, retrieve, type Retrieved } from '../domain/retrieval.ts';
import type { AsOf } from '../domain/validity.ts';
import type { Database } from './database.ts';
import { dot, MemoryColumns, type MemoryRow, vectorOf } from './memory-columns.ts';
import { heldAndKnown } from './memory-times.ts';

/** Rows read at a time: what is read must not stand in memory twice. */
const page = 2_000;
const hourMs = 3_600_000;

export interface MemoryIndexOptions {
  /** Bytes of vectors that may stand in memory, over all agents; those not asked for longest leave first. */
  cacheBytes: () => number | Promise<number>;
}

export interface IndexQuery {
  ownerId: string;
  agentId: string;
  model: string;
  /** Unit length; without it words alone count. */
  vector: Float32Array | undefined;
  /** Matched by Postgres full text; empty for cosine alone. */
  text: string;
  now: Date;
  /** What held or was known then, instead of what is living now. */
  asOf?: AsOf | undefined;
}

export interface FoundPlaces {
  found: Array<Retrieved & { id: string }>;
  /** Living memories, or those that held and were known then; all of them were scored. */
  scored: number;
  /** Of these, without a vector of the model yet: found by their words alone. */
  unembedded: number;
}

/**
 * All memories of an agent against a query, by brute force: exact, and for what an agent comes to in years faster than a
 * service to ask. What is cached is brought up to date at each query by what has changed since (`memories.rev`); an agent
 * whose vectors alone are over the limit is read anew each time, and only its cosines are kept. So is what held or was
 * known at another time: it is asked for seldom, and takes no room from what is asked for often.
 */
export function createMemoryIndex(db: Database, { cacheBytes }: MemoryIndexOptions) {
  /** By owner, agent and model; the one asked for last stands last. */
  const cached = new Map<string, MemoryColumns>();
  /** Queries of one agent go one after the other: each brings the columns up to date. */
  const turns = new Map<string, Promise<unknown>>();

  function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const turn = (turns.get(key) ?? Promise.resolve()).then(work, work);
    turns.set(key, turn);
    const leave = () => {
      if (turns.get(key) === turn) turns.delete(key);
    };
    turn.then(leave, leave);
    return turn;
  }

  async function search(
    key: string,
    query: IndexQuery,
    weights: RetrievalWeights,
    limit: number,
  ): Promise<FoundPlaces> {
    const columns = cached.get(key) ?? new MemoryColumns();
    cached.delete(key);
    const { cosine, fits } = await refresh(columns, query, await cacheBytes());
    if (fits) cached.set(key, columns);
    return scored(columns, cosine, query, weights, limit);
  }

  async function scored(
    columns: MemoryColumns,
    cosine: ArrayLike<number> | undefined,
    query: IndexQuery,
    weights: RetrievalWeights,
    limit: number,
  ): Promise<FoundPlaces> {
    const living = columns.livingPlaces();
    const found = await retrieve(candidatesOf(columns, living, cosine, query), weights, limit);
    return {
      found: found.map((each) => ({ ...each, id: columns.ids[living[each.place]!]! })),
      scored: living.length,
      unembedded: cosine
        ? living.reduce((sum, place) => sum + (Number.isNaN(cosine[place]!) ? 1 : 0), 0)
        : living.length,
    };
  }

  /** The living among the columns' places as `retrieve` takes them: its place is the index into `living`. */
  function candidatesOf(
    columns: MemoryColumns,
    living: readonly number[],
    cosine: ArrayLike<number> | undefined,
    query: IndexQuery,
  ): Candidates {
    const nowMs = query.now.getTime();
    return {
      count: living.length,
      hoursSinceUse: (i) => (nowMs - columns.usedAtMs[living[i]!]!) / hourMs,
      importance: (i) => columns.importances[living[i]!]!,
      cosine: living.length === columns.count ? cosine : cosine && living.map((place) => cosine[place]!),
      textMatch: async (places) => {
        const bySeq = await textMatches(
          db,
          query,
          places.map((i) => columns.seqs[living[i]!]!),
        );
        return new Map(
          places.flatMap((i) => {
            const match = bySeq.get(columns.seqs[living[i]!]!);
            return match === undefined ? [] : [[i, match] as const];
          }),
        );
      },
      order: (i) => columns.seqs[living[i]!]!,
    };
  }

  /**
   * Takes in what has changed since the columns' revision. Where the vectors do not fit into the cache their cosines are
   * made while they are read, and the columns are good for this query alone; for another time always.
   */
  async function refresh(
    columns: MemoryColumns,
    { ownerId, agentId, model, vector, asOf }: IndexQuery,
    allowed: number,
  ): Promise<{ cosine: ArrayLike<number> | undefined; fits: boolean }> {
    let early: number[] | undefined = asOf && [];
    const wanted = asOf ? heldAndKnown(asOf, 'm') : sql<boolean>`true`;
    const living = asOf ? sql<boolean>`true` : sql<boolean>`m.deleted_at is null and m.superseded_at is null`;
    const takeVector = (place: number, bytes: Buffer) => {
      // Nothing to compare with, nothing to keep: a later search reads it.
      if (!vector) return;
      if (!early) columns.takeVector(place, bytes, vector.length);
      else if (bytes.length === vector.length * 4) early[place] = dot(vectorOf(bytes), 0, vector);
    };
    for (;;) {
      const { rows } = await sql<MemoryRow>`
        select m.id, m.seq, m.rev, m.importance, coalesce(m.last_used_at, m.occurred_at) as used_at,
          ${living} as living, e.vector
        from memories m
        left join embeddings e on e.owner_id = m.owner_id and e.model = ${model} and e.content_hash = m.content_hash
        where m.agent_id = ${agentId} and m.owner_id = ${ownerId} and m.rev > ${columns.rev} and ${wanted}
        order by m.rev limit ${page}`.execute(db);
      for (const row of rows) {
        const place = columns.take(row);
        if (early) early[place] = Number.NaN;
        if (row.vector) takeVector(place, row.vector);
      }
      if (!early && !makeRoom(columns.bytes, allowed)) {
        early = vector ? [...columns.cosines(vector)] : [];
        columns.dropVectors();
      }
      if (rows.length < page) break;
    }
    // A vector may come after its memory, which does not change for it.
    const waiting = early ? [] : columns.waiting();
    for (let from = 0; from < waiting.length; from += page) {
      const { rows } = await sql<{ id: string; vector: Buffer }>`
        select m.id, e.vector from memories m
        join embeddings e on e.owner_id = m.owner_id and e.model = ${model} and e.content_hash = m.content_hash
        where m.owner_id = ${ownerId} and m.id = any(${waiting.slice(from, from + page)})`.execute(db);
      for (const row of rows) takeVector(columns.placeOf(row.id)!, row.vector);
    }
    return { cosine: vector && (early ?? columns.cosines(vector)), fits: early === undefined };
  }

  /** Lets others go until `bytes` fit beside what is cached. @returns whether they do */
  function makeRoom(bytes: number, allowed: number): boolean {
    let all = bytes;
    for (const each of cached.values()) all += each.bytes;
    for (const [key, each] of cached) {
      if (all <= allowed) break;
      cached.delete(key);
      all -= each.bytes;
    }
    return all <= allowed;
  }

  return {
    /** The best of all living memories of the agent, or of those that held and were known then, best first. */
    search(query: IndexQuery, { weights, limit }: { weights: RetrievalWeights; limit: number }): Promise<FoundPlaces> {
      if (query.asOf) {
        const columns = new MemoryColumns();
        return refresh(columns, query, 0).then(({ cosine }) => scored(columns, cosine, query, weights, limit));
      }
      const key = `${query.ownerId} ${query.agentId} ${query.model}`;
      return inTurn(key, () => search(key, query, weights, limit));
    },

    /** Bytes of vectors in memory now. */
    cachedBytes: () => [...cached.values()].reduce((sum, columns) => sum + columns.bytes, 0),
  };
}

/**
 * How well the words of the agent's memories match the text, in [0, 1], by sequence number: full-text rank ÷ the rank
 * that the text has for itself, which is what a memory that says all of it comes to.
 */
async function textMatches(
  db: Database,
  { ownerId, agentId, text }: IndexQuery,
  seqs: readonly number[],
): Promise<Map<number, number>> {
  const { rows } = await sql<{ seq: number; match: number }>`
    with asked as materialized (select to_tsvector('english', ${text}) as words),
    query as materialized (
      select words, (select string_agg('''' || replace(replace(word, '\\', '\\\\'), '''', '''''') || '''', ' | ')
        from unnest(tsvector_to_array(words)) as word)::tsquery as any_word from asked
    )
    select m.seq, least(1, ts_rank_cd(m.words, query.any_word) / ts_rank_cd(query.words, query.any_word))::float8 as match
    from memories m, query
    where m.agent_id = ${agentId} and m.owner_id = ${ownerId} and m.seq = any(${[...seqs]}::bigint[])
      and m.words @@ query.any_word`.execute(db);
  return new Map(rows.map(({ seq, match }) => [seq, match]));
}
