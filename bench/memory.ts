import { sql } from 'kysely';
import { fleetSchema } from '../domain/fleet.ts';
import { createRandom, type Random } from '../domain/random.ts';
import { cosineShare, evenWeights, recencyPerHour } from '../domain/retrieval.ts';
import { toUnitLength } from '../domain/embeddings.ts';
import type { Database } from '../stores/database.ts';
import { contentHash, createEmbeddingStore } from '../stores/embeddings.ts';
import { createMemoryIndex, type IndexQuery } from '../stores/memory-index.ts';
import { testFleet } from '../test/support/fleets.ts';
import { labOwner, openLab, openLabServers } from '../test/support/lab.ts';
import { median } from './support/fleet-bench.ts';

/**
 * Search over 100,000 memories of one agent in a real Postgres. Exactness against an independent double-precision scan;
 * time against a plain loop over the same vectors (warm) and against fetching the same rows (cold), in turn.
 */
const dimensions = 512;
const many = 100_000;
const few = 1_000;
const model = 'bench';
const now = new Date('2026-06-01T00:00:00Z');
const dayMs = 86_400_000;
const limits = fleetSchema.shape.limits.parse({});
const cacheBytes = () => limits.memoryCacheMiB * 2 ** 20;

const base = await openLabServers();
try {
  const lab = await openLab(base.addresses, { logs: `${base.folder}/logs` });
  try {
    await lab.apply(testFleet({ light: 2 }));
    const random = createRandom(20_261);
    const words = vocabulary(random, 6_000);
    await seed(lab.db, 'light-001', many, random, words);
    await seed(lab.db, 'light-002', few, random, words);
    await sql`analyze`.execute(lab.db);
    report(await measure(lab.db, random, words));
  } finally {
    await lab.close();
  }
} finally {
  await base.close();
}

async function measure(db: Database, random: Random, words: readonly string[]) {
  const queryOf = (agentId: string): IndexQuery => ({
    ownerId: labOwner,
    agentId,
    model,
    vector: randomVector(random),
    text: sentence(random, words),
    now,
  });
  const search = (index: ReturnType<typeof createMemoryIndex>, query: IndexQuery) =>
    index.search(query, { weights: evenWeights, limit: 10 });

  // Cold: a fresh index each time, against fetching the same rows and doing nothing with them.
  const cold: number[] = [];
  const fetched: number[] = [];
  for (let i = 0; i < 5; i += 1) {
    fetched.push(await timed(() => fetchRows(db, 'light-001')));
    const index = createMemoryIndex(db, { cacheBytes });
    cold.push(await timed(() => search(index, queryOf('light-001'))));
  }

  // Warm: everything cached, against a plain loop over one array of the same vectors.
  const index = createMemoryIndex(db, { cacheBytes });
  await search(index, queryOf('light-001'));
  globalThis.gc?.();
  const rssMiB = process.memoryUsage().rss / 2 ** 20;
  const cachedMiB = index.cachedBytes() / 2 ** 20;
  const plain = await plainVectors(db, 'light-001');
  const warm: number[] = [];
  const bare: number[] = [];
  for (let i = 0; i < 25; i += 1) {
    const query = queryOf('light-001');
    bare.push(await timed(() => Promise.resolve(bareScan(plain, query.vector!))));
    warm.push(await timed(() => search(index, query)));
  }
  const small: number[] = [];
  await search(index, queryOf('light-002'));
  for (let i = 0; i < 60; i += 1) {
    const query = queryOf('light-002');
    small.push(await timed(() => search(index, query)));
  }

  let hits = 0;
  const asked = 20;
  for (let i = 0; i < asked; i += 1) {
    const query = queryOf(i % 2 === 0 ? 'light-001' : 'light-002');
    const exact = await independentScan(db, query);
    const { found } = await search(index, query);
    hits += found.filter(({ id }) => exact.has(id)).length;
  }
  return {
    recall_at_10: hits / (asked * 10),
    warm_over_bare_scan: fixed(median(warm) / median(bare)),
    cold_over_fetch: fixed(median(cold) / median(fetched)),
    p50_ms_1k: fixed(median(small)),
    rss_mib: Math.round(rssMiB),
    cached_mib: Math.round(cachedMiB),
    cache_limit_mib: limits.memoryCacheMiB,
    warm_ms: fixed(median(warm)),
    cold_ms: Math.round(median(cold)),
    memories: many,
  };
}

/** Each memory scored alone, in double precision, from its own row; no code of the product's search. */
async function independentScan(db: Database, query: IndexQuery): Promise<Set<string>> {
  const rows: Array<{ id: string; seq: number; importance: number; hours: number; cosine: number; rank: number }> = [];
  let after = 0;
  for (;;) {
    const page = await sql<{
      id: string;
      seq: number;
      importance: number;
      hours: number;
      vector: Buffer;
      rank: number;
    }>`
      with asked as (
        select string_agg(quote_literal(word), ' | ')::tsquery as q from unnest(tsvector_to_array(to_tsvector('english', ${query.text}))) word
      )
      select m.id, m.seq, m.importance, extract(epoch from ${query.now}::timestamptz - m.occurred_at)::float8 / 3600 as hours, e.vector,
        case when m.words @@ asked.q
          then ts_rank_cd(m.words, asked.q)::float8 / ts_rank_cd(to_tsvector('english', ${query.text}), asked.q)::float8 else 0 end as rank
      from memories m join embeddings e on e.content_hash = m.content_hash and e.model = ${model} and e.owner_id = m.owner_id, asked
      where m.agent_id = ${query.agentId} and m.seq > ${after} order by m.seq limit 10000`.execute(db);
    for (const { vector, ...row } of page.rows) {
      let cosine = 0;
      for (let i = 0; i < dimensions; i += 1) cosine += vector.readFloatLE(i * 4) * query.vector![i]!;
      rows.push({ ...row, cosine });
    }
    if (page.rows.length < 10_000) break;
    after = page.rows.at(-1)!.seq;
  }
  const scaled = (values: number[]) => {
    const least = values.reduce((a, b) => Math.min(a, b));
    const most = values.reduce((a, b) => Math.max(a, b));
    return values.map((value) => (most > least ? (value - least) / (most - least) : 0.5));
  };
  const recency = scaled(rows.map(({ hours }) => recencyPerHour ** hours));
  const importance = scaled(rows.map((row) => row.importance));
  const cosine = scaled(rows.map((row) => row.cosine));
  const scores = rows.map(({ id, seq, rank }, i) => {
    const text = Math.min(1, rank);
    return { id, seq, score: recency[i]! + importance[i]! + cosineShare * cosine[i]! + (1 - cosineShare) * text };
  });
  scores.sort((a, b) => b.score - a.score || b.seq - a.seq);
  return new Set(scores.slice(0, 10).map(({ id }) => id));
}

/** What a cold search reads, read and dropped. */
async function fetchRows(db: Database, agentId: string): Promise<number> {
  let rev = 0;
  let rows = 0;
  for (;;) {
    const page = await sql<{ rev: number }>`
      select m.id, m.seq, m.rev, m.importance, coalesce(m.last_used_at, m.occurred_at) as used_at,
        m.deleted_at is null and m.superseded_at is null as living, e.vector
      from memories m
      left join embeddings e on e.owner_id = m.owner_id and e.model = ${model} and e.content_hash = m.content_hash
      where m.agent_id = ${agentId} and m.owner_id = ${labOwner} and m.rev > ${rev}
      order by m.rev limit 2000`.execute(db);
    rows += page.rows.length;
    if (page.rows.length < 2_000) return rows;
    rev = page.rows.at(-1)!.rev;
  }
}

async function plainVectors(db: Database, agentId: string): Promise<Float32Array> {
  const all = new Float32Array(many * dimensions);
  let after = 0;
  let at = 0;
  for (;;) {
    const { rows } = await sql<{ seq: number; vector: Buffer }>`
      select m.seq, e.vector from memories m join embeddings e on e.content_hash = m.content_hash and e.model = ${model}
      where m.agent_id = ${agentId} and m.seq > ${after} order by m.seq limit 5000`.execute(db);
    for (const { vector } of rows) {
      for (let i = 0; i < dimensions; i += 1) all[at + i] = vector.readFloatLE(i * 4);
      at += dimensions;
    }
    if (rows.length < 5_000) return all;
    after = rows.at(-1)!.seq;
  }
}

/** The least that any exact search must do: one multiplication a number. */
function bareScan(vectors: Float32Array, query: Float32Array): number {
  let best = Number.NEGATIVE_INFINITY;
  for (let from = 0; from < vectors.length; from += dimensions) {
    let sum = 0;
    for (let i = 0; i < dimensions; i += 1) sum += vectors[from + i]! * query[i]!;
    if (sum > best) best = sum;
  }
  return best;
}

async function seed(db: Database, agentId: string, count: number, random: Random, words: readonly string[]) {
  const embeddings = createEmbeddingStore(db);
  const batch = 2_000;
  for (let from = 0; from < count; from += batch) {
    const rows = Array.from({ length: Math.min(batch, count - from) }, (_, i) => {
      const seq = from + i + 1;
      const text = `${sentence(random, words)} ${agentId} ${seq}`;
      return {
        id: `mem_${agentId}-${seq}`,
        seq,
        text,
        importance: 1 + random.int(10),
        at: new Date(now.getTime() - random.next() * 365 * dayMs),
        vector: randomVector(random),
        hash: contentHash(text),
      };
    });
    await sql`
      insert into memories (id, owner_id, agent_id, seq, rev, kind, text, importance, source, external_key, occurred_at, content_hash)
      select id, ${labOwner}, ${agentId}, seq, seq, 'observation', text, importance, 'bench', id, at, hash
      from unnest(${rows.map((r) => r.id)}::text[], ${rows.map((r) => r.seq)}::bigint[], ${rows.map((r) => r.text)}::text[],
        ${rows.map((r) => r.importance)}::smallint[], ${rows.map((r) => r.at)}::timestamptz[], ${rows.map((r) => r.hash)}::bytea[])
        as new (id, seq, text, importance, at, hash)`.execute(db);
    await embeddings.put(
      model,
      rows.map((row) => ({ ownerId: labOwner, contentHash: row.hash, vector: row.vector })),
    );
  }
  await sql`update agents set memory_seq = ${count}, memory_rev = ${count} where id = ${agentId}`.execute(db);
}

function vocabulary(random: Random, size: number): string[] {
  const letters = 'bcdfglmnprstvaeiou';
  return Array.from({ length: size }, () =>
    Array.from({ length: 4 + random.int(5) }, () => letters[random.int(letters.length)]!).join(''),
  );
}

/** Twelve words, the low places of the vocabulary often, as in real text. */
function sentence(random: Random, words: readonly string[]): string {
  return Array.from({ length: 12 }, () => words[Math.floor(words.length * random.next() ** 2.5)]!).join(' ');
}

function randomVector(random: Random): Float32Array {
  return toUnitLength(Float64Array.from({ length: dimensions }, () => random.next() + random.next() - 1));
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

function fixed(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function report(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
