import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import { parseFleet } from '../config/fleet-file.ts';
import { repositoryRoot } from '../deploy/embedded/own-parts.ts';
import { durationSeconds } from '../domain/durations.ts';
import { builtInModel } from '../domain/embeddings.ts';
import { fleetAgents } from '../domain/fleet.ts';
import { type ThreadKind, threadKinds } from '../domain/states.ts';
import { coordinationQueue } from '../domain/task-queues.ts';
import { worldHistory } from '../domain/world.ts';
import type { Database } from '../stores/database.ts';
import { vectorOf } from '../stores/memory-columns.ts';
import { bornAgents } from '../test/support/born-agents.ts';
import { type Lab, type LabProcess, openLab, openLabServers } from '../test/support/lab.ts';
import { createWorldTruth, judged, keyOf, partneredBy, type ToldMemory } from '../test/support/world-truth.ts';
import { cosineAlone } from './support/cosine-threads.ts';

/**
 * Threads over a month of the shipped town, by the shipped worker on real servers. What its maker knows of each memory is the
 * truth; cosine alone, at its best threshold, is the baseline. The seed is another than the shipped world's, on which the
 * thresholds of domain/thread-links.ts were chosen.
 */
const { values } = parseArgs({ options: { seed: { type: 'string', default: '298' } } });
const machineId = 'pc2';
const dayMs = 86_400_000;

const base = await openLabServers();
try {
  const lab = await openLab(base.addresses, { logs: `${base.folder}/logs` });
  try {
    process.stdout.write(`${JSON.stringify(await measure(lab))}\n`);
  } finally {
    await lab.close();
  }
} finally {
  await base.close();
}

async function measure(lab: Lab) {
  const file = join(repositoryRoot, 'fleet.yaml');
  const parsed = parseFleet(readFileSync(file, 'utf8'), file);
  if ('errors' in parsed) throw new Error(`${file} does not follow its schema`);
  const { fleet } = parsed;
  const windows = {
    eventMs: durationSeconds(fleet.threads.eventWindow) * 1000,
    echoMs: durationSeconds(fleet.threads.echoWindow) * 1000,
  };
  const traits = new Map(fleetAgents(fleet).map((agent) => [agent.id, agent.traits]));
  const agents = bornAgents(fleet).map(({ id, name, archetype }) => ({
    id,
    name,
    archetypeId: archetype,
    traits: traits.get(id)!,
  }));
  const endsAt = new Date();
  const history: ToldMemory[] = [
    ...worldHistory(agents, { seed: Number(values.seed), endsAt: endsAt.toISOString(), days: 30 }),
  ];
  const lastDay = new Date(Math.floor(endsAt.getTime() / dayMs) * dayMs - dayMs).toISOString();
  const [before, after] = [true, false].map((early) =>
    history.filter(({ memory }) => memory.occurredAt < lastDay === early).map(({ memory }) => memory),
  );

  await lab.apply(fleet);
  await lab.remember(before!);
  const worker = lab.startWorker(machineId);
  await lab.settled([machineId], 120_000);
  const embedding = await embedded(lab);
  const month = await woven(lab);
  await lab.remember(after!);
  await embedded(lab);
  const day = await woven(lab);
  const again = await woven(lab);

  const truth = createWorldTruth(history);
  const byKind = <T>(make: (kind: ThreadKind) => T) =>
    Object.fromEntries(threadKinds.map((kind) => [kind, make(kind)])) as Record<ThreadKind, T>;
  const partnered = byKind((kind) => partneredBy(history, kind, truth, windows));
  const told = new Map(history.map((each) => [keyOf(each.memory), each]));
  const rows = await linkRows(lab.db);
  const ours = byKind((kind) =>
    judged(
      rows
        .filter((row) => row.kind === kind)
        .map(({ memory, other }) => ({ memory: told.get(memory)!, other: told.get(other)! })),
      kind,
      truth,
      partnered[kind],
    ),
  );
  const alone = cosineAlone(history, await vectorsByKey(lab.db), partnered, windows);
  const { rows: counted } = await sql<{ threads: number; biggest: number }>`
    select count(*)::int as threads, max(memories) as biggest from threads where memories > 0`.execute(lab.db);
  return {
    agents: agents.length,
    memories: history.length,
    seed: Number(values.seed),
    ...Object.fromEntries(
      threadKinds.flatMap((kind) => [
        [`${kind}_links`, ours[kind].links],
        [`${kind}_precision`, fixed(ours[kind].precision)],
        [`${kind}_found`, fixed(ours[kind].found)],
        [`${kind}_precision_cosine_alone`, fixed(alone[kind].precision)],
        [`${kind}_found_cosine_alone`, fixed(alone[kind].found)],
      ]),
    ),
    ...counted[0],
    month_seconds: fixed(month.seconds),
    last_day_memories: day.woven,
    last_day_seconds: fixed(day.seconds),
    nothing_new_seconds: fixed(again.seconds),
    embedding_seconds: Math.round(embedding),
    worker_peak_mib: peakMiB(worker),
  };
}

async function embedded({ client }: Lab): Promise<number> {
  const since = performance.now();
  await client.workflow.execute('reembedMemories', {
    workflowId: `reembed-memories:bench-${since}`,
    taskQueue: coordinationQueue,
    args: [{}],
  });
  return (performance.now() - since) / 1000;
}

async function woven({ client }: Lab): Promise<{ woven: number; seconds: number }> {
  const since = performance.now();
  const result = (await client.workflow.execute('weaveMemories', {
    workflowId: `weave:bench-${since}`,
    taskQueue: coordinationQueue,
    args: [{}],
  })) as { woven: number };
  return { woven: result.woven, seconds: (performance.now() - since) / 1000 };
}

async function linkRows(db: Database) {
  const { rows } = await sql<{ kind: string; memory: string; other: string }>`
    select l.kind, m.agent_id || '/' || m.external_key as memory, o.agent_id || '/' || o.external_key as other
    from thread_links l join memories m on m.id = l.memory_id join memories o on o.id = l.other_id`.execute(db);
  return rows;
}

async function vectorsByKey(db: Database): Promise<Map<string, Float32Array>> {
  const vectors = new Map<string, Float32Array>();
  let after = '';
  for (;;) {
    const { rows } = await sql<{ id: string; key: string; vector: Buffer }>`
      select m.id, m.agent_id || '/' || m.external_key as key, e.vector from memories m
      join embeddings e on e.owner_id = m.owner_id and e.content_hash = m.content_hash and e.model = ${builtInModel}
      where m.id > ${after} order by m.id limit 2000`.execute(db);
    for (const { key, vector } of rows) vectors.set(key, vectorOf(vector));
    if (rows.length < 2_000) return vectors;
    after = rows.at(-1)!.id;
  }
}

/** The most memory that the worker ever had, of which its embedding model takes the greater part. */
function peakMiB({ pid }: LabProcess): number | null {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) return null;
  const status = readFileSync(file, 'utf8');
  const peak = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
  return peak === undefined ? null : Math.round(Number(peak) / 1024);
}

function fixed(value: number): number {
  return Math.round(value * 1000) / 1000;
}
