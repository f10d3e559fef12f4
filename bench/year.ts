import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import { parseFleet } from '../config/fleet-file.ts';
import { repositoryRoot } from '../deploy/embedded/own-parts.ts';
import { durationSeconds } from '../domain/durations.ts';
import { toUnitLength } from '../domain/embeddings.ts';
import { type Fleet, fleetAgents, modelVariants } from '../domain/fleet.ts';
import { createRandom, type Random } from '../domain/random.ts';
import { evenWeights } from '../domain/retrieval.ts';
import { type WorldMemory, worldMemories } from '../domain/world.ts';
import type { Database } from '../stores/database.ts';
import { contentHash, createEmbeddingStore } from '../stores/embeddings.ts';
import { createMemoryIndex } from '../stores/memory-index.ts';
import { bornAgents } from '../test/support/born-agents.ts';
import { type ModelServer, startModelServer } from '../test/support/model-server.ts';
import { type Lab, labOwner, openLab, openLabServers, until } from '../test/support/lab.ts';

/**
 * A year of the shipped fleet: what it takes in Postgres, what a reflection takes in Temporal, and what a year of memories does to
 * looking them up. Memories come at the rate of the shipped town, through the shipped stores, for one agent in `share`; reflections
 * are real ones, by the shipped workers and a double of a model server, over a few of its days. What is told of a year is what was
 * measured, times how often it happens in one: an agent reflects at each of its times at which there is something new, and rows go with their retention.
 */
const { values } = parseArgs({
  options: { share: { type: 'string', default: '9' }, rounds: { type: 'string', default: '3' } },
});
const share = Number(values.share);
const rounds = Number(values.rounds);
const days = 365;
const dayMs = 86_400_000;
const monthDays = 30;
const dimensions = 512;
const model = 'bench';
/** Both, since some agents wait for the model of the bigger one. */
const machineIds = ['mainpc', 'pc2'];
/** Warm searches of an agent, each for something else; the best of `tries` counts, as other work on the box is no matter of theirs. */
const searches = 5;
const tries = 3;

/** Written by each reflection; a row of `runs` by each time of an agent, also where nothing was new. */
const byRun = ['run_calls', 'step_results', 'reflections', 'reflection_evidence', 'token_spends', 'events'] as const;
const byMemory = ['memories', 'embeddings'] as const;

/** What a model writes is stored as its answer is; how fast it comes changes nothing here. */
let server: ModelServer | undefined;
const base = await openLabServers();
try {
  const lab = await openLab(base.addresses, { logs: `${base.folder}/logs`, workerLogLevel: 'warn' });
  try {
    process.stdout.write(`${JSON.stringify(await measure(lab))}\n`);
  } finally {
    await lab.close();
    await server?.close();
  }
} finally {
  await base.close();
}

async function measure(lab: Lab) {
  const file = join(repositoryRoot, 'fleet.yaml');
  const parsed = parseFleet(readFileSync(file, 'utf8'), file);
  if ('errors' in parsed) throw new Error(`${file} does not follow its schema`);
  const { fleet } = parsed;
  const cadences = new Map(fleetAgents(fleet).map(({ id, cadence }) => [id, durationSeconds(cadence) * 1000]));
  const agents = cadences.size;
  const sample = new Set([...cadences.keys()].sort().filter((_, i) => i % share === 0));
  const year = yearOf(fleet).filter(({ agentId }) => sample.has(agentId));
  const startsAt = Date.parse(year[0]!.occurredAt);
  const countUntil = (day: number) =>
    year.filter(({ occurredAt }) => Date.parse(occurredAt) < startsAt + day * dayMs).length;
  const random = createRandom(365);
  const { db } = lab;

  const names = modelVariants(fleet).map(({ id, servedAs }) => servedAs.ollama ?? id);
  const { url } = (server = await startModelServer({ slots: 64, tokensPerSecond: 5_000, models: names }));
  const machines = fleet.machines.map((machine) => ({ ...machine, modelServer: { ...machine.modelServer!, url } }));
  // Only what is asked for below reflects.
  await lab.apply({ ...fleet, machines, schedules: { ...fleet.schedules, paused: true } });
  for (const machineId of machineIds) lab.startWorker(machineId);
  await lab.settled(machineIds, 120_000);
  // What a fleet begins with, and its first days, each with what the agents make of it.
  let stored = 0;
  const store = async (count: number) => {
    const next = year.slice(stored, count);
    stored = count;
    await lab.remember(next);
    await embed(db, next, random);
  };
  await store(countUntil(monthDays));
  await reflected(lab, 0);
  const first = await lookedUp(db, sample, random);
  const before = await sizes(db);
  const runsBefore = await counted(db);
  for (let round = 1; round <= rounds; round += 1) {
    await store(countUntil(monthDays + 4 * round));
    await reflected(lab, round);
  }
  const after = await sizes(db);
  const runsAfter = await counted(db);
  const runs = runsAfter.runs - runsBefore.runs;
  const events = await historyEvents(lab, rounds);
  await store(year.length);
  await sql`analyze`.execute(db);
  const last = await lookedUp(db, sample, random);

  const runsOfYear = timesOf(year, cadences) * (agents / sample.size);
  const grown = (table: string) => Math.max(0, (after.get(table) ?? 0) - (before.get(table) ?? 0)) / runs;
  const now = await sizes(db);
  const kept = (retention: string) => Math.min(1, durationSeconds(retention) / (days * 86_400));
  const shareKept: Partial<Record<(typeof byRun)[number], number>> = {
    step_results: kept(fleet.retention.stepResults),
    token_spends: kept(fleet.retention.stepResults),
    events: kept(fleet.retention.events),
  };
  const perRun = Object.fromEntries(byRun.map((table) => [table, Math.round(grown(table))]));
  // A reflection is a memory, too, and the worker adds vectors of its own model where it looks something up.
  const rows = await rowsOf(db, [...byMemory, 'runs']);
  const memoriesOfYear = year.length * (agents / sample.size) + runsOfYear * (await reflectionsPerRun(db));
  const times = [...cadences.values()].reduce((sum, cadence) => sum + Math.floor((days * dayMs) / cadence), 0);
  const perTime = Math.round(now.get('runs')! / rows.get('runs')!);
  const perMemory = Object.fromEntries(
    byMemory.map((table) => [table, Math.round((now.get(table) ?? 0) / Math.max(1, rows.get(table)!))]),
  );
  const bytes: Record<string, number> = Object.fromEntries([
    ['runs', Math.round(perTime * times * kept(fleet.retention.runs))] as const,
    ...byRun.map((table) => [table, Math.round(grown(table) * runsOfYear * (shareKept[table] ?? 1))] as const),
    ...byMemory.map((table) => [table, Math.round(perMemory[table]! * memoriesOfYear)] as const),
  ]);
  return {
    agents,
    days,
    bytes_by_table: bytes,
    bytes_in_all: Object.values(bytes).reduce((sum, each) => sum + each, 0),
    bytes_per_agent: Math.round(Object.values(bytes).reduce((sum, each) => sum + each, 0) / agents),
    history_events_per_reflection: fixed(events),
    retrieval_p95_growth: fixed(last.p95 / first.p95),
    retrieval_p95_ms: [fixed(first.p95), fixed(last.p95)],
    memories_per_agent: [Math.round(first.memories), Math.round(last.memories)],
    reflections_per_agent_day: fixed(runsOfYear / agents / days),
    times_per_agent_day: fixed(times / agents / days),
    bytes_per_time: perTime,
    bytes_per_run: perRun,
    bytes_per_memory: perMemory,
    sampled_agents: sample.size,
    real_reflections: runs,
  };
}

/** Twelve months and five days of the town, each month another one. */
function yearOf(fleet: Fleet): WorldMemory[] {
  const traits = new Map(fleetAgents(fleet).map((agent) => [agent.id, agent.traits]));
  const agents = bornAgents(fleet).map(({ id, name, archetype }) => ({
    id,
    name,
    archetypeId: archetype,
    traits: traits.get(id)!,
  }));
  const end = Math.floor(Date.now() / dayMs) * dayMs;
  const months = Math.ceil(days / monthDays);
  return Array.from({ length: months }, (_, month) => {
    const endsAt = new Date(end - (months - 1 - month) * monthDays * dayMs).toISOString();
    return [...worldMemories(agents, { seed: 1_000 + month, endsAt, days: monthDays })];
  })
    .flat()
    .filter(({ occurredAt }) => Date.parse(occurredAt) >= end - days * dayMs)
    .toSorted((a, b) => (a.occurredAt < b.occurredAt ? -1 : 1));
}

/** How often in a year an agent's time comes and something has happened since the last. */
function timesOf(memories: readonly WorldMemory[], cadences: ReadonlyMap<string, number>): number {
  return new Set(
    memories.map(
      ({ agentId, occurredAt }) => `${agentId} ${Math.floor(Date.parse(occurredAt) / cadences.get(agentId)!)}`,
    ),
  ).size;
}

/** As the built-in model would have: the same number of bytes, of other numbers. */
async function embed(db: Database, memories: readonly WorldMemory[], random: Random): Promise<void> {
  const embeddings = createEmbeddingStore(db);
  for (let from = 0; from < memories.length; from += 2_000) {
    await embeddings.put(
      model,
      memories
        .slice(from, from + 2_000)
        .map((memory) => ({ ownerId: labOwner, contentHash: contentHash(memory.text), vector: randomVector(random) })),
    );
  }
}

function randomVector(random: Random): Float32Array {
  return toUnitLength(Float64Array.from({ length: dimensions }, () => random.next() + random.next() - 1));
}

async function reflected(lab: Lab, round: number): Promise<void> {
  const { db } = lab;
  await (await lab.sweep(`year-${round}`)).result();
  await until(
    'every run has ended',
    async () => {
      const { rows } = await sql<{ n: number }>`select count(*)::int as n from runs where ended_at is null`.execute(db);
      return rows[0]!.n === 0;
    },
    240_000,
  );
}

async function counted(db: Database): Promise<{ runs: number }> {
  const { rows } = await sql<{
    runs: number;
  }>`select count(*)::int as runs from runs where state = 'done'`.execute(db);
  return rows[0]!;
}

async function rowsOf(db: Database, tables: readonly string[]): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const table of tables) {
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from ${sql.table(table)}`.execute(db);
    counts.set(table, rows[0]!.n);
  }
  return counts;
}

async function reflectionsPerRun(db: Database): Promise<number> {
  const { rows } = await sql<{ n: number }>`
    select coalesce(avg(reflections), 0)::float8 as n from runs where state = 'done'`.execute(db);
  return rows[0]!.n;
}

/** With their indexes and what lies outside of the rows; packed first, as a file grows in steps that are more than a day of so few agents writes. */
async function sizes(db: Database): Promise<Map<string, number>> {
  for (const table of ['runs', ...byRun, ...byMemory]) await sql`vacuum (full) ${sql.table(table)}`.execute(db);
  const { rows } = await sql<{ name: string; bytes: number }>`
    select relname as name, pg_total_relation_size(oid)::float8 as bytes from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r'`.execute(db);
  return new Map(rows.map(({ name, bytes }) => [name, bytes]));
}

/** Of those reflections that came to their end, events of their histories on the average. */
async function historyEvents({ client, db }: Lab, last: number): Promise<number> {
  const { rows } = await sql<{ workflowId: string }>`
    select 'reflect:' || agent_id || ':' || period as workflow_id from runs where state = 'done' and period = ${`call-year-${last}`}
    order by agent_id limit 20`.execute(db);
  let events = 0;
  for (const { workflowId } of rows) events += (await client.workflow.getHandle(workflowId).describe()).historyLength;
  return events / rows.length;
}

async function lookedUp(db: Database, agentIds: ReadonlySet<string>, random: Random) {
  const index = createMemoryIndex(db, { cacheBytes: () => 256 * 2 ** 20 });
  const { rows: texts } = await sql<{ text: string }>`select text from memories order by md5(id) limit 200`.execute(db);
  const times: number[] = [];
  for (const agentId of agentIds) {
    for (let i = 0; i <= searches; i += 1) {
      const query = {
        ownerId: labOwner,
        agentId,
        model,
        vector: randomVector(random),
        text: texts[random.int(texts.length)]!.text,
        now: new Date(),
      };
      let best = Number.POSITIVE_INFINITY;
      for (let attempt = 0; attempt < tries; attempt += 1) {
        const startedAt = performance.now();
        await index.search(query, { weights: evenWeights, limit: 10 });
        best = Math.min(best, performance.now() - startedAt);
      }
      // The first one reads the agent into memory.
      if (i > 0) times.push(best);
    }
  }
  times.sort((a, b) => a - b);
  const { rows } = await sql<{
    n: number;
  }>`select count(*)::float8 as n from memories where deleted_at is null`.execute(db);
  return { p95: times[Math.floor(times.length * 0.95)]!, memories: rows[0]!.n / agentIds.size };
}

function fixed(value: number): number {
  return Math.round(value * 1000) / 1000;
}
