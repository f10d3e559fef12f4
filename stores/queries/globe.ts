import { sql } from 'kysely';
import { globeLimits, type Place, regionAround } from '../../domain/globe.ts';
import type { MemoryKind, ThreadKind } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso } from './page.ts';

/** Places are thousandths, three whole numbers each; columns are as long as their `ids`. */
export interface GlobeView {
  placedAt: string | null;
  /** When the first and the last of its memories happened. */
  from: string | null;
  to: string | null;
  agents: { ids: string[]; names: string[]; maskSeeds: number[]; places: number[] };
  /** In the order in which they happened. */
  memories: {
    ids: string[];
    /** Index of each memory's agent; −1 where it is not on the globe. */
    agents: number[];
    kinds: MemoryKind[];
    texts: string[];
    /** Seconds since 1970. */
    times: number[];
    places: number[];
  };
  arcs: Array<{ threadId: string; kind: ThreadKind; from: number; to: number }>;
  regions: Array<{ clusterId: string; terms: string[]; members: number; middle: number[]; reach: number }>;
}

interface Placed {
  id: string;
  x: number;
  y: number;
  z: number;
}

/** What stands on the globe now. Of what was forgotten, superseded or retired since it was laid out nothing is told. */
export async function readGlobe(db: Executor, ownerId: string): Promise<GlobeView> {
  const globe = await db.selectFrom('globes').select('placedAt').where('ownerId', '=', ownerId).executeTakeFirst();
  const { rows: agents } = await sql<Placed & { name: string; maskSeed: number }>`
    select a.id, a.name, a.mask_seed, g.x, g.y, g.z from globe_agents g join agents a on a.id = g.agent_id
    where g.owner_id = ${ownerId} and a.state <> 'retired'
    order by a.id limit ${globeLimits.agents}`.execute(db);
  const { rows: memories } = await sql<
    Placed & { agentId: string; kind: MemoryKind; text: string; isCut: boolean; occurredAt: Date }
  >`
    select m.id, m.agent_id, m.kind, left(m.text, ${globeLimits.text}) as text,
      length(m.text) > ${globeLimits.text} as is_cut, m.occurred_at, g.x, g.y, g.z
    from globe_memories g join memories m on m.id = g.memory_id join agents a on a.id = m.agent_id
    where g.owner_id = ${ownerId} and m.deleted_at is null and m.superseded_at is null and a.state <> 'retired'
    order by m.occurred_at, m.id limit ${globeLimits.memories}`.execute(db);
  const placeOfAgent = new Map(agents.map(({ id }, i) => [id, i]));
  const first = memories[0];
  return {
    placedAt: globe === undefined ? null : iso(globe.placedAt),
    from: first === undefined ? null : iso(first.occurredAt),
    to: first === undefined ? null : iso(memories.at(-1)!.occurredAt),
    agents: {
      ids: agents.map(({ id }) => id),
      names: agents.map(({ name }) => name),
      maskSeeds: agents.map(({ maskSeed }) => maskSeed),
      places: agents.flatMap(thousandths),
    },
    memories: {
      ids: memories.map(({ id }) => id),
      agents: memories.map(({ agentId }) => placeOfAgent.get(agentId) ?? -1),
      kinds: memories.map(({ kind }) => kind),
      texts: memories.map(({ text, isCut }) => (isCut ? `${text}…` : text)),
      times: memories.map(({ occurredAt }) => Math.floor(occurredAt.getTime() / 1000)),
      places: memories.flatMap(thousandths),
    },
    arcs: await arcsOf(db, ownerId, new Map(memories.map(({ id }, i) => [id, i]))),
    regions: await regionsOf(db, ownerId, new Map(agents.map((agent) => [agent.id, [agent.x, agent.y, agent.z]]))),
  };
}

function thousandths({ x, y, z }: Placed): number[] {
  return [x, y, z].map((value) => Math.round(value * 1000));
}

/** Each thread from memory to memory in the order in which they happened. The newest threads first, where there are too many. */
async function arcsOf(db: Executor, ownerId: string, places: ReadonlyMap<string, number>): Promise<GlobeView['arcs']> {
  const { rows } = await sql<{ threadId: string; kind: ThreadKind; memoryId: string }>`
    select tm.thread_id, tm.kind, tm.memory_id from thread_memories tm
    join globe_memories g on g.memory_id = tm.memory_id
    where g.owner_id = ${ownerId} order by tm.thread_id desc`.execute(db);
  const byThread = Map.groupBy(
    rows.filter(({ memoryId }) => places.has(memoryId)),
    ({ threadId }) => threadId,
  );
  const arcs = [...byThread.values()].flatMap((members) => {
    const order = members.map(({ memoryId }) => places.get(memoryId)!).sort((a, b) => a - b);
    const { threadId, kind } = members[0]!;
    return order.slice(1).map((to, i) => ({ threadId, kind, from: order[i]!, to }));
  });
  return arcs.slice(0, globeLimits.arcs);
}

async function regionsOf(
  db: Executor,
  ownerId: string,
  places: ReadonlyMap<string, Place>,
): Promise<GlobeView['regions']> {
  const { rows } = await sql<{ id: string; terms: Array<{ term: string }>; agentIds: string[] }>`
    select c.id, c.terms, array_agg(m.agent_id order by m.agent_id) as agent_ids from clusters c
    join cluster_members m on m.cluster_id = c.id
    where c.owner_id = ${ownerId} and c.state = 'living'
      and m.run_id = (select id from cluster_runs where owner_id = ${ownerId} and not skipped order by id desc limit 1)
    group by c.id order by count(*) desc, c.id limit ${globeLimits.regions}`.execute(db);
  return rows.flatMap(({ id, terms, agentIds }) => {
    const members = agentIds.flatMap((agentId) => (places.has(agentId) ? [places.get(agentId)!] : []));
    const region = regionAround(members);
    if (region === undefined) return [];
    const { middle, reach } = region;
    return [
      {
        clusterId: id,
        terms: terms.map(({ term }) => term),
        members: members.length,
        middle: middle.map((value) => Math.round(value * 1000)),
        reach: Math.round(reach * 1000),
      },
    ];
  });
}
