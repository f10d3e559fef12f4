import { sql } from 'kysely';
import { type ClusterTerm, quoteOf } from '../../domain/cluster-terms.ts';
import type { ClusterState, DriftState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { outputTexts } from '../outputs.ts';
import { iso, type PageRequest } from './page.ts';

export interface ClusterView {
  id: string;
  state: ClusterState;
  members: number;
  /** The words that set its members apart. */
  terms: string[];
  splitFrom: string | null;
  mergedInto: string | null;
  bornAt: string;
  endedAt: string | null;
}

export interface ClusterDetail extends ClusterView {
  agents: Array<{ id: string; name: string; drift: DriftState | null }>;
  /** Words with what members said, as they said it; what was taken away since is left out. */
  why: Array<{ term: string; quotes: Array<{ agentId: string; outputId: string; quote: string }> }>;
  /** The run that its members are of. */
  run: { id: string; period: string; agents: number; sampledShare: number; madeAt: string } | null;
}

function clusterQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('clusters')
    .select(['id', 'state', 'members', 'terms', 'splitFrom', 'mergedInto', 'bornAt', 'endedAt'])
    .where('ownerId', '=', ownerId);
}
type ClusterRow = Awaited<ReturnType<ReturnType<typeof clusterQuery>['execute']>>[number];

const termsOf = (row: ClusterRow) => row.terms as unknown as ClusterTerm[];

function clusterView(row: ClusterRow): ClusterView {
  return {
    ...row,
    state: row.state as ClusterState,
    terms: termsOf(row).map(({ term }) => term),
    bornAt: iso(row.bornAt),
    endedAt: iso(row.endedAt),
  };
}

/** The last born first. */
export async function listClusters(
  db: Executor,
  page: PageRequest & { state?: ClusterState | undefined },
): Promise<ClusterView[]> {
  let query = clusterQuery(db, page.ownerId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  if (page.state !== undefined) query = query.where('state', '=', page.state);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map(clusterView);
}

export interface ClusterRunView {
  id: string;
  period: string;
  /** Agents that were looked at, and of them those in no cluster. */
  agents: number;
  clusters: number;
  apart: number;
  sampledShare: number;
  memoryLimitMib: number;
  /** Too few agents had a vector: the clusters there are stayed. */
  skipped: boolean;
  reason: string;
  seconds: number;
  madeAt: string;
}

/** The newest first. */
export async function listClusterRuns(db: Executor, page: PageRequest): Promise<ClusterRunView[]> {
  let query = db
    .selectFrom('clusterRuns')
    .select(['id', 'period', 'agents', 'clusters', 'apart', 'sampledShare', 'memoryLimitMib', 'skipped', 'reason'])
    .select(['seconds', 'madeAt'])
    .where('ownerId', '=', page.ownerId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map((row) => ({ ...row, madeAt: iso(row.madeAt) }));
}

export async function findCluster(db: Executor, ownerId: string, id: string): Promise<ClusterDetail | undefined> {
  const row = await clusterQuery(db, ownerId).where('id', '=', id).executeTakeFirst();
  if (!row) return undefined;
  const run = await db
    .selectFrom('clusterRuns')
    .select(['id', 'period', 'agents', 'sampledShare', 'madeAt'])
    .where('id', '=', sql<string>`(select max(run_id) from cluster_members where cluster_id = ${id})`)
    .executeTakeFirst();
  const agents = run
    ? await db
        .selectFrom('clusterMembers')
        .innerJoin('agents', 'agents.id', 'clusterMembers.agentId')
        .leftJoin('agentDrift', 'agentDrift.agentId', 'agents.id')
        .select(['agents.id as id', 'agents.name as name', 'agentDrift.state as drift'])
        .where('clusterId', '=', id)
        .where('runId', '=', run.id)
        .orderBy('agents.id')
        .execute()
    : [];
  const terms = termsOf(row);
  const texts = await outputTexts(
    db,
    ownerId,
    terms.flatMap(({ outputs }) => outputs),
  );
  return {
    ...clusterView(row),
    agents: agents.map((agent) => ({ ...agent, drift: agent.drift as DriftState | null })),
    why: terms.map(({ term, outputs }) => ({
      term,
      quotes: outputs.flatMap((outputId) => {
        const said = texts.get(outputId);
        const quote = said && quoteOf(said.text, term);
        return said && quote !== undefined ? [{ agentId: said.agentId, outputId, quote }] : [];
      }),
    })),
    run: run ? { ...run, madeAt: iso(run.madeAt) } : null,
  };
}
