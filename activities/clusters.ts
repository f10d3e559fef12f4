import { Context } from '@temporalio/activity';
import { clusterTerms } from '../domain/cluster-terms.ts';
import { type AgentVectors, agentsWithin, evenlyDrawn, leastMembersOf } from '../domain/clustering.ts';
import { DomainError } from '../domain/errors.ts';
import type { Clusterer } from '../integrations/clustering/clusterer.ts';
import type { ClusterableAgent, ClusterRunResult, ClusterStore } from '../stores/clusters.ts';
import type { EmbeddingStore } from '../stores/embeddings.ts';
import { soundVector } from '../stores/memory-columns.ts';
import type { OutputStore } from '../stores/outputs.ts';
import type { FleetReader } from './fleet-view.ts';
import { reasonOf } from './passing-over.ts';

/** Vectors read at a time: so many, and no more bytes than this. */
const most = { rows: 1_000, bytes: 4 * 2 ** 20 };
const beatMs = 2_000;
/** What is looked at for the words of a cluster: so many members, so many of the last things each said. */
const quoted = { members: 24, outputs: 6 };

export interface ClusterDeps {
  clusters: ClusterStore;
  outputs: OutputStore;
  embeddings: EmbeddingStore;
  openClusterer: (signal: AbortSignal) => Clusterer;
  fleet: FleetReader;
}

/** What is read: whose vectors by which model; those that are damaged are noted in `leftOut`. */
interface Clustered {
  ownerId: string;
  model: string;
  dimensions: number;
  leftOut: Map<string, string>;
}

interface SoundAgent {
  agentId: string;
  drift: number;
  vector: Float32Array;
}

export function createClusterActivities({ clusters, outputs, embeddings, openClusterer, fleet }: ClusterDeps) {
  /**
   * All agents in the order of the store; `take` is given each with its place. One whose numbers are damaged keeps its place
   * and is left out.
   */
  async function eachAgent(
    { ownerId, model, dimensions, leftOut }: Clustered,
    take: (agent: SoundAgent, place: number) => Promise<void> | void,
  ): Promise<void> {
    const page = pageOf(dimensions);
    let after: { archetype: string; agentId: string } | undefined;
    for (let place = 0; ; ) {
      const rows = await clusters.page(ownerId, model, after, page);
      for (const row of rows) {
        const agent = sound(row);
        if (agent) await take(agent, place);
        place += 1;
      }
      if (rows.length < page) return;
      after = rows.at(-1)!;
    }

    function sound({ agentId, drift, vector }: ClusterableAgent): SoundAgent | undefined {
      try {
        if (!Number.isFinite(drift)) throw new RangeError(`its drift is ${drift}, no number`);
        return { agentId, drift, vector: soundVector(vector, dimensions) };
      } catch (err) {
        if (!(err instanceof RangeError)) throw err;
        leftOut.set(agentId, reasonOf(err));
        return undefined;
      }
    }
  }

  return {
    /**
     * One run: agents' recent vectors and drift, clustered within the limit of memory. What does not fit is drawn from
     * evenly over archetypes and the others are assigned. An agent whose vector is damaged is left out, with a notice. A
     * second execution finds the run.
     */
    async clusterPeriod({ period }: { period: string }): Promise<ClusterRunResult> {
      const context = Context.current();
      const { fleet: wanted, ownerId } = await fleet();
      const known = await clusters.runOf(ownerId, period);
      if (known) return known;
      const startedAt = performance.now();
      const limit = wanted.clusters.memoryMiB;
      const model = (await embeddings.serving(ownerId))?.model ?? null;
      const { agents, bytes } = model === null ? { agents: 0, bytes: 0 } : await clusters.count(ownerId, model);
      const none = { ownerId, period, model, agents, memoryLimitMib: limit, clusters: [] };
      if (model === null || agents < 2 * leastMembersOf(agents)) {
        const reason = `${agents} agents have a rating of their drift; two clusters take ${2 * leastMembersOf(agents)}`;
        return clusters.store({ ...none, sampledShare: 1, seconds: 0, skipped: true, reason });
      }
      const dimensions = bytes / 4;
      const drawn = evenlyDrawn(agents, agentsWithin(limit, dimensions));
      if (drawn.length < 2 * leastMembersOf(drawn.length)) {
        throw new DomainError('CONFLICT', `clusters.memoryMiB (${limit}) is too little for any two clusters; raise it`);
      }
      const clusterer = openClusterer(context.cancellationSignal);
      const leftOut = new Map<string, string>();
      const beat = setInterval(() => context.heartbeat(), beatMs);
      try {
        const members = await cluster(clusterer, { ownerId, model, dimensions, drawn, agents, leftOut });
        if (members === undefined) {
          const sound = agents - leftOut.size;
          const reason = `${sound} agents are left beside ${leftOut.size} whose numbers are damaged; two clusters take ${2 * leastMembersOf(sound)}`;
          return await clusters.store({
            ...none,
            agents: sound,
            leftOut,
            sampledShare: 1,
            seconds: 0,
            skipped: true,
            reason,
          });
        }
        const said = await Promise.all(
          members.map((ids) => outputs.last(ids.slice(0, quoted.members), quoted.outputs)),
        );
        const terms = clusterTerms(said);
        return await clusters.store({
          ...none,
          agents: agents - leftOut.size,
          leftOut,
          sampledShare: drawn.length / agents,
          seconds: (performance.now() - startedAt) / 1000,
          skipped: false,
          reason: [
            ...(drawn.length < agents
              ? [`${drawn.length} of ${agents} agents were clustered within ${limit} MiB, the others assigned`]
              : []),
            ...(leftOut.size > 0 ? [`${leftOut.size} with damaged numbers were left out`] : []),
          ].join('; '),
          clusters: members.map((ids, i) => ({ members: ids, terms: terms[i]! })),
          ...(wanted.spawning.fromClusters ? { spawning: wanted.spawning } : {}),
        });
      } finally {
        clearInterval(beat);
        await clusterer.close();
      }
    },
  };

  /** Members of each cluster; undefined where too many are left out for any two. */
  async function cluster(
    clusterer: Clusterer,
    of: Clustered & { drawn: Int32Array; agents: number },
  ): Promise<string[][] | undefined> {
    const { dimensions, drawn } = of;
    const sample = emptyVectors(drawn.length, dimensions);
    const sampleIds: string[] = [];
    let next = 0;
    await eachAgent(of, (agent, place) => {
      // The places of those left out are passed.
      while (drawn[next]! < place) next += 1;
      if (drawn[next] !== place) return;
      next += 1;
      put(sample, sampleIds.length, agent);
      sampleIds.push(agent.agentId);
    });
    if (sampleIds.length < sample.size) shorten(sample, sampleIds.length);
    if (sample.size < 2 * leastMembersOf(sample.size)) return undefined;
    const found = await clusterer.ask({ kind: 'cluster', agents: sample });
    const members = Array.from({ length: found.clusters }, (): string[] => []);
    sampleIds.forEach((agentId, i) => members[found.labels[i]!]?.push(agentId));
    if (drawn.length < of.agents) await assignOthers(clusterer, of, new Set(sampleIds), members);
    return members;
  }

  async function assignOthers(
    clusterer: Clusterer,
    of: Clustered,
    sampled: ReadonlySet<string>,
    members: string[][],
  ): Promise<void> {
    const { dimensions } = of;
    const page = pageOf(dimensions);
    let others = emptyVectors(page, dimensions);
    let ids: string[] = [];
    const flush = async () => {
      if (ids.length === 0) return;
      shorten(others, ids.length);
      const { labels } = await clusterer.ask({ kind: 'assign', agents: others });
      ids.forEach((agentId, i) => members[labels[i]!]?.push(agentId));
      others = emptyVectors(page, dimensions);
      ids = [];
    };
    await eachAgent(of, async (agent) => {
      if (sampled.has(agent.agentId)) return;
      put(others, ids.length, agent);
      ids.push(agent.agentId);
      if (ids.length === page) await flush();
    });
    await flush();
  }
}
export type ClusterActivities = ReturnType<typeof createClusterActivities>;

function pageOf(dimensions: number): number {
  return Math.max(1, Math.min(most.rows, Math.floor(most.bytes / (dimensions * 4))));
}

function emptyVectors(size: number, dimensions: number): AgentVectors {
  return { values: new Float32Array(size * dimensions), drift: new Float64Array(size), size, dimensions };
}

function put({ values, drift, dimensions }: AgentVectors, at: number, agent: SoundAgent): void {
  values.set(agent.vector, at * dimensions);
  drift[at] = agent.drift;
}

/** Agents may have been left out, or retired between the counting and the reading. */
function shorten(vectors: AgentVectors, size: number): void {
  if (size === vectors.size) return;
  vectors.values = vectors.values.slice(0, size * vectors.dimensions);
  vectors.drift = vectors.drift.slice(0, size);
  vectors.size = size;
}
