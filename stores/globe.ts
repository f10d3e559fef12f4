import { sql } from 'kysely';
import { earlyGlobePeriod, firstGlobePeriod, globeWorkflowId } from '../domain/ids.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { insertIntent } from './intents.ts';

/** What was placed last, and of how many. */
export interface GlobeRun {
  period: string;
  /** Whose vectors were compared. */
  model: string;
  /** Of what was placed: ids and vectors. */
  digest: Buffer;
  agents: number;
  memories: number;
}

export interface PlaceableMemory {
  id: string;
  agentId: string;
  contentHash: Buffer;
}

export interface PlacedPoint {
  id: string;
  x: number;
  y: number;
  z: number;
}

/** A version before this one named each by the run that asked. */
const earlyOnes = `${firstGlobePeriod}%-early`;

/**
 * The first globe does not wait for its hour: asked for where memories have got their vectors, with the end of a sweep and of an
 * embedding of all. Once a globe stands nobody asks; while one is being placed it is that one, whoever asks; where nothing could be
 * placed, the next one asks anew.
 * @param as early: of what has its vector so far. whole: of all, so also in place of an early one.
 */
export async function askForFirstGlobe(
  tx: Executor,
  ownerId: string,
  as: 'first' | 'early' | 'whole' = 'first',
): Promise<void> {
  const { rows } = await sql`
    select from embedding_models e where e.owner_id = ${ownerId} and e.state = 'serving'
      and not exists (select from globes g where g.owner_id = e.owner_id
        and (${as} <> 'whole' or g.period not like ${earlyOnes}))
      and exists (select from embeddings v join memories m on m.owner_id = v.owner_id and m.content_hash = v.content_hash
        where v.owner_id = e.owner_id and v.model = e.model and m.deleted_at is null and m.superseded_at is null)`.execute(
    tx,
  );
  if (rows.length === 0) return;
  const period = as === 'early' ? earlyGlobePeriod : firstGlobePeriod;
  await insertIntent(tx, { workflowId: globeWorkflowId(period), type: 'placeGlobe', args: [{ period }] });
}

export function createGlobeStore(db: Database) {
  return {
    askForFirst: (ownerId: string, as: 'early' | 'whole'): Promise<void> => askForFirstGlobe(db, ownerId, as),

    /** What stands there now. */
    async last(ownerId: string): Promise<GlobeRun | undefined> {
      return db
        .selectFrom('globes')
        .select(['period', 'model', 'digest', 'agents', 'memories'])
        .where('ownerId', '=', ownerId)
        .executeTakeFirst();
    },

    /** Who can be placed, by id. */
    async agents(ownerId: string, limit: number): Promise<string[]> {
      const rows = await db
        .selectFrom('agents')
        .select('id')
        .where('ownerId', '=', ownerId)
        .where('state', '<>', 'retired')
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map(({ id }) => id);
    },

    /**
     * Of each agent the living memories that weigh most and have a vector: importance, with two more for one that stands in a
     * thread, since threads are what the globe is looked at for; the newer one of two.
     */
    async memoriesOf(agentIds: readonly string[], model: string, perAgent: number): Promise<PlaceableMemory[]> {
      const { rows } = await sql<PlaceableMemory>`
        select c.id, c.agent_id, c.content_hash from unnest(${[...agentIds]}::text[]) as a (id)
        cross join lateral (
          select m.id, m.agent_id, m.content_hash from memories m
          where m.agent_id = a.id and m.deleted_at is null and m.superseded_at is null
            and exists (select from embeddings e
              where e.owner_id = m.owner_id and e.model = ${model} and e.content_hash = m.content_hash)
          order by m.importance
            + case when exists (select from thread_memories t where t.memory_id = m.id) then 2 else 0 end desc, m.seq desc
          limit ${perAgent}) c
        order by c.id`.execute(db);
      return rows;
    },

    /** Where each stood, by the id of an agent or a memory. */
    async places(ownerId: string): Promise<Map<string, PlacedPoint>> {
      const { rows } = await sql<PlacedPoint>`
        select agent_id as id, x, y, z from globe_agents where owner_id = ${ownerId}
        union all select memory_id, x, y, z from globe_memories where owner_id = ${ownerId}`.execute(db);
      return new Map(rows.map((row) => [row.id, row]));
    },

    /** The same as before was found again. */
    async keep(ownerId: string, period: string): Promise<void> {
      await db.updateTable('globes').set({ period }).where('ownerId', '=', ownerId).execute();
    },

    /**
     * In place of what stood there, in one transaction; what was deleted meanwhile is left out. Two at once follow one another
     * by the row of the globe, and a second execution of the period that stands there changes nothing; nor does an early one that comes
     * after one of all.
     */
    async store(
      ownerId: string,
      run: Pick<GlobeRun, 'period' | 'model' | 'digest'> & {
        agents: readonly PlacedPoint[];
        memories: readonly PlacedPoint[];
      },
    ): Promise<void> {
      const { period, model, digest } = run;
      await db.transaction().execute(async (tx) => {
        const about = { period, model, digest, agents: run.agents.length, memories: run.memories.length };
        const replaced = await tx
          .insertInto('globes')
          .values({ ownerId, ...about })
          .onConflict((conflict) =>
            period === earlyGlobePeriod
              ? conflict.doNothing()
              : conflict
                  .column('ownerId')
                  .doUpdateSet({ ...about, placedAt: sql<Date>`now()` })
                  .where('globes.period', '<>', period),
          )
          .returning('ownerId')
          .executeTakeFirst();
        if (replaced === undefined) return;
        for (const { table, key, points } of [
          { table: 'agents', key: 'agent_id', points: run.agents },
          { table: 'memories', key: 'memory_id', points: run.memories },
        ]) {
          const places = sql.table(`globe_${table}`);
          await sql`delete from ${places} where owner_id = ${ownerId}`.execute(tx);
          await sql`
            insert into ${places} (${sql.ref(key)}, owner_id, x, y, z)
            select p.id, ${ownerId}, p.x, p.y, p.z
            from unnest(${points.map(({ id }) => id)}::text[], ${points.map(({ x }) => x)}::real[],
              ${points.map(({ y }) => y)}::real[], ${points.map(({ z }) => z)}::real[]) as p (id, x, y, z)
            join ${sql.table(table)} o on o.id = p.id and o.owner_id = ${ownerId}
            order by p.id`.execute(tx);
        }
        const { agents, memories } = about;
        await appendEvents(tx, [{ ownerId, type: 'globe.placed', subject: ownerId, data: { agents, memories } }]);
      });
    },
  };
}
export type GlobeStore = ReturnType<typeof createGlobeStore>;
