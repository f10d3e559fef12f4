import { sql } from 'kysely';
import { type ClusterChange, followClusters, type NamedCluster } from '../domain/cluster-lineage.ts';
import type { ClusterTerm } from '../domain/cluster-terms.ts';
import type { Spawning } from '../domain/spawn-policy.ts';
import { whisperOfBirths } from './cluster-whispers.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { takeLock } from './locks.ts';
import { replaceNotices } from './notices.ts';

export interface ClusterableAgent {
  agentId: string;
  drift: number;
  vector: Buffer;
}

export interface NewClusterRun {
  ownerId: string;
  period: string;
  model: string | null;
  agents: number;
  sampledShare: number;
  memoryLimitMib: number;
  seconds: number;
  /** Nothing was looked for: the clusters there are stay as they are. */
  skipped: boolean;
  reason: string;
  /** Members of each cluster found, with the words that set them apart. */
  clusters: ReadonlyArray<{ members: readonly string[]; terms: readonly ClusterTerm[] }>;
  /** How whispers of births are admitted; left out where births do not whisper. */
  spawning?: Spawning;
  /** Agents that could not be clustered, and why; told in notices, which the next run without them closes. */
  leftOut?: ReadonlyMap<string, string>;
}

export interface ClusterRunResult {
  runId: string;
  agents: number;
  clusters: number;
  apart: number;
  sampledShare: number;
}

/** Agents of one owner that have a rating by the model, so that strata stand together: by archetype, then id. */
const clusterable = (ownerId: string, model: string) => sql`
  from agent_drift d join agents a on a.id = d.agent_id
  where d.owner_id = ${ownerId} and d.model = ${model} and a.state <> 'retired'`;

export function createClusterStore(db: Database) {
  return {
    /** What a period's run came to, if there was one. */
    async runOf(ownerId: string, period: string): Promise<ClusterRunResult | undefined> {
      return runResult(db, ownerId, period);
    },

    /** Agents, and bytes of a vector as most have it: one that is damaged does not set the measure. */
    async count(ownerId: string, model: string): Promise<{ agents: number; bytes: number }> {
      const { rows } = await sql<{ agents: number; bytes: number }>`
        select count(*) as agents,
          coalesce(mode() within group (order by octet_length(d.vector) desc), 0) as bytes ${clusterable(ownerId, model)}`.execute(
        db,
      );
      return rows[0]!;
    },

    /** In one order for all pages. */
    async page(
      ownerId: string,
      model: string,
      after: { archetype: string; agentId: string } | undefined,
      limit: number,
    ): Promise<Array<ClusterableAgent & { archetype: string }>> {
      const { rows } = await sql<ClusterableAgent & { archetype: string }>`
        select d.agent_id, r.drift, d.vector, a.archetype
        from agent_drift d join agents a on a.id = d.agent_id join drift_ratings r on r.id = d.rating_id
        where d.owner_id = ${ownerId} and d.model = ${model} and a.state <> 'retired'
          and (a.archetype, a.id) > (${after?.archetype ?? ''}, ${after?.agentId ?? ''})
        order by a.archetype, a.id limit ${limit}`.execute(db);
      return rows;
    },

    /**
     * Stores a run with its clusters, their members, and what became of the clusters of the run before, in one transaction.
     * Agents that were retired meanwhile are left out. A run of the period that is there already stays.
     */
    async store(run: NewClusterRun): Promise<ClusterRunResult> {
      const { ownerId, period } = run;
      return db.transaction().execute(async (tx) => {
        // Runs follow each other: two at once would both follow the same one.
        await takeLock(tx, 'clusters', ownerId);
        const known = await runResult(tx, ownerId, period);
        if (known) return known;
        // Births whisper; whoever is admitted holds it before any agent's row.
        if (run.spawning !== undefined) await takeLock(tx, 'admission', ownerId);
        const living = await livingOf(
          tx,
          ownerId,
          run.clusters.flatMap(({ members }) => members),
        );
        const clusters = run.clusters
          .map(({ members, terms }) => ({ members: members.filter((member) => living.has(member)).toSorted(), terms }))
          .filter(({ members }) => members.length > 0);
        const before = run.skipped ? [] : await standing(tx, ownerId);
        const { ids, changes } = followClusters(
          before,
          clusters.map(({ members }) => members),
          clusters.map(() => newId('cluster')),
        );
        const runId = newId('clusterRun');
        const clustered = clusters.reduce((sum, { members }) => sum + members.length, 0);
        await tx
          .insertInto('clusterRuns')
          .values({
            id: runId,
            ownerId,
            period,
            model: run.model,
            agents: run.agents,
            clusters: clusters.length,
            apart: Math.max(0, run.agents - clustered),
            sampledShare: run.sampledShare,
            memoryLimitMib: run.memoryLimitMib,
            seconds: run.seconds,
            skipped: run.skipped,
            reason: run.reason,
          })
          .execute();
        await writeClusters(tx, ownerId, runId, clusters, ids, changes);
        if (run.leftOut) await tellLeftOut(tx, ownerId, run.leftOut);
        await appendEvents(
          tx,
          changes.flatMap((change) => eventsOf(ownerId, runId, change)),
        );
        // Before the first run all were apart: what it finds is no news.
        if (run.spawning !== undefined && before.length > 0) {
          const born = new Set(changes.flatMap(({ kind, id }) => (kind === 'born' ? [id] : [])));
          const named = clusters.map((cluster, i) => ({ ...cluster, id: ids[i]! }));
          await whisperOfBirths(
            tx,
            ownerId,
            named.filter(({ id }) => born.has(id)),
            run.spawning,
          );
        }
        return (await runResult(tx, ownerId, period))!;
      });
    },
  };
}
export type ClusterStore = ReturnType<typeof createClusterStore>;

async function tellLeftOut(tx: Executor, ownerId: string, leftOut: ReadonlyMap<string, string>): Promise<void> {
  await replaceNotices(
    tx,
    { ownerId, kind: 'clustering_failing' },
    [...leftOut].map(([agentId, reason]) => ({
      id: newId('notice'),
      key: `clustering_failing:${agentId}`,
      subject: agentId,
      title: `${agentId} was left out of the clusters`,
      detail: `${reason}. Each run looks at it again.`,
      action: 'delete its row of agent_drift: the next rating makes it anew',
    })),
  );
}

async function runResult(db: Executor, ownerId: string, period: string): Promise<ClusterRunResult | undefined> {
  return db
    .selectFrom('clusterRuns')
    .select(['id as runId', 'agents', 'clusters', 'apart', 'sampledShare'])
    .where('ownerId', '=', ownerId)
    .where('period', '=', period)
    .executeTakeFirst();
}

/** With the firsts of their lineages, which whispers of births take too: all in the order of their ids. */
async function livingOf(tx: Executor, ownerId: string, agentIds: readonly string[]): Promise<Set<string>> {
  if (agentIds.length === 0) return new Set();
  const { rows } = await sql<{ id: string; state: string }>`
    select id, state from agents where owner_id = ${ownerId}
      and (id = any(${[...agentIds]}) or id in (select lineage_id from agents where id = any(${[...agentIds]})))
    order by id for share`.execute(tx);
  const asked = new Set(agentIds);
  return new Set(rows.flatMap(({ id, state }) => (asked.has(id) && state !== 'retired' ? [id] : [])));
}

/** Living clusters with their members of the newest run that looked for any, by id. */
async function standing(tx: Executor, ownerId: string): Promise<NamedCluster[]> {
  const { rows } = await sql<NamedCluster>`
    select c.id, array_agg(m.agent_id order by m.agent_id) as members from clusters c
    join cluster_members m on m.cluster_id = c.id
    where c.owner_id = ${ownerId} and c.state = 'living'
      and m.run_id = (select id from cluster_runs where owner_id = ${ownerId} and not skipped order by id desc limit 1)
    group by c.id order by c.id`.execute(tx);
  return rows;
}

async function writeClusters(
  tx: Executor,
  ownerId: string,
  runId: string,
  clusters: ReadonlyArray<{ members: readonly string[]; terms: readonly ClusterTerm[] }>,
  ids: readonly string[],
  changes: readonly ClusterChange[],
): Promise<void> {
  const from = new Map(
    changes.flatMap((change) => (change.kind === 'split' ? [[change.id, change.from] as const] : [])),
  );
  for (const [i, { members, terms }] of clusters.entries()) {
    const about = { members: members.length, terms: JSON.stringify(terms) };
    await tx
      .insertInto('clusters')
      .values({ id: ids[i]!, ownerId, state: 'living', splitFrom: from.get(ids[i]!) ?? null, ...about })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(about))
      .execute();
    await sql`
      insert into cluster_members (run_id, agent_id, cluster_id)
      select ${runId}, agent_id, ${ids[i]!} from unnest(${[...members]}::text[]) as m (agent_id)`.execute(tx);
  }
  for (const change of changes) {
    if (change.kind !== 'merged' && change.kind !== 'gone') continue;
    await tx
      .updateTable('clusters')
      .set({
        state: change.kind,
        mergedInto: change.kind === 'merged' ? change.into : null,
        endedAt: sql<Date>`now()`,
      })
      .where('id', '=', change.id)
      .execute();
  }
}

/** One that goes on with the same members is no news. */
function eventsOf(ownerId: string, runId: string, { kind, id, ...about }: ClusterChange) {
  if (kind === 'kept' && 'joined' in about && about.joined === 0 && about.left === 0) return [];
  return [{ ownerId, type: `cluster.${kind}`, subject: id, data: { runId, ...about } }];
}
