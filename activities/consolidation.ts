import { Context } from '@temporalio/activity';
import { groupsOf, keptOf, leastUsefulFirst, memoryLimitOf } from '../domain/consolidation.ts';
import type { ConsolidationStore } from '../stores/consolidation.ts';
import type { EmbeddingStore } from '../stores/embeddings.ts';
import { dot } from '../stores/memory-columns.ts';
import type { WeavingStore } from '../stores/weaving.ts';
import type { FleetReader } from './fleet-view.ts';
import { isPassedOver, reasonOf } from './passing-over.ts';

/** Memories that one transaction frees, and among how many of the least useful they are looked for. */
const freedAtOnce = 200;
const pool = 600;
const agentsAtOnce = 100;

export interface ConsolidationDeps {
  consolidation: ConsolidationStore;
  weaving: WeavingStore;
  embeddings: EmbeddingStore;
  fleet: FleetReader;
}

export interface ConsolidateAgentsInput {
  /** ISO time by which usefulness is judged: the workflow's period. */
  now: string;
  /** The last agent that was looked at. */
  after: string;
}
export interface ConsolidateAgentsResult {
  /** Where to go on; null: every agent has been looked at. */
  after: string | null;
  /** Agents that had more than their limit, and memories fewer than before. */
  agents: number;
  freed: number;
  /** Agents still over their limit: the rest may not give way. */
  over: number;
  /** Agents over their limit whose memories a reflection is reading; the next period looks again. */
  busy: number;
}

export function createConsolidationActivities({ consolidation, weaving, embeddings, fleet }: ConsolidationDeps) {
  return {
    /**
     * Brings the next agents that remember too much under their limit, the least useful memories first, batch by batch. What
     * is consolidated stays so; another execution finds less to do.
     */
    async consolidateAgents({ now, after }: ConsolidateAgentsInput): Promise<ConsolidateAgentsResult> {
      const view = await fleet();
      const { ownerId } = view;
      const { serving } = await embeddings.models(ownerId, view.fleet.embeddings);
      const least = Math.min(
        view.fleet.limits.memoriesPerAgent,
        ...[...view.fleet.archetypes, ...Object.values(view.fleet.agents)].flatMap(
          (each) => each.memoriesPerAgent ?? [],
        ),
      );
      const result: ConsolidateAgentsResult = { after: null, agents: 0, freed: 0, over: 0, busy: 0 };
      const agents = await consolidation.candidates(ownerId, least, after, agentsAtOnce);
      for (const agent of agents) {
        const limit = memoryLimitOf(view.fleet, agent);
        const living = await consolidation.countLiving(agent.id);
        const done =
          living > limit
            ? await passingOver(agent.id, () => bringUnder(agent.id, living, limit))
            : { freed: 0, busy: false, left: living };
        if (done === undefined) continue;
        if (living > limit) result.agents += 1;
        result.freed += done.freed;
        if (done.busy) {
          result.busy += 1;
        } else {
          if (done.left > limit) result.over += 1;
          await consolidation.noteLimit(
            ownerId,
            agent.id,
            done.left > limit ? { living: done.left, limit } : undefined,
          );
        }
        Context.current().heartbeat({ agentId: agent.id });
        Context.current().cancellationSignal.throwIfAborted();
      }
      if (agents.length === agentsAtOnce) result.after = agents.at(-1)!.id;
      return result;

      /** What fails for one agent and will again is told and does not keep the others waiting. */
      async function passingOver<Done>(agentId: string, work: () => Promise<Done>): Promise<Done | undefined> {
        try {
          const done = await work();
          await consolidation.noteFailure(ownerId, agentId, undefined);
          return done;
        } catch (err) {
          if (!isPassedOver(err)) throw err;
          await consolidation.noteFailure(ownerId, agentId, reasonOf(err));
          return undefined;
        }
      }

      async function bringUnder(agentId: string, living: number, most: number) {
        let left = living;
        let freed = 0;
        while (left > keptOf(most)) {
          const groups = await nextGroups(agentId, Math.min(freedAtOnce, left - keptOf(most)));
          const step = await consolidation.consolidate(ownerId, agentId, groups);
          if (step.busy) return { freed, busy: true, left };
          if (step.freed === 0) break;
          freed += step.freed;
          left = await consolidation.countLiving(agentId);
          Context.current().heartbeat({ agentId, freed });
        }
        return { freed, busy: false, left };
      }

      async function nextGroups(agentId: string, free: number) {
        const order = leastUsefulFirst(new Date(now));
        const ranked = (await consolidation.unprotected(agentId)).sort(order).slice(0, pool);
        const memories = (await consolidation.read(ranked.map(({ id }) => id))).sort(order);
        // A memory whose vector is damaged is like one without.
        const { vectors } = await weaving.vectors(
          { ownerId, model: serving.model, dimensions: await embeddings.dimensions(ownerId, serving.model) },
          memories.map(({ id }) => id),
        );
        const byPlace = memories.map(({ id }) => vectors.get(id));
        return groupsOf(memories, free, (a, b) => {
          const [one, other] = [byPlace[a], byPlace[b]];
          return one && other ? dot(one, 0, other) : Number.NaN;
        });
      }
    },
  };
}
export type ConsolidationActivities = ReturnType<typeof createConsolidationActivities>;
