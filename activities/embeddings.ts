import { Context } from '@temporalio/activity';
import type { Embedder, EmbeddingSettings } from '../domain/embeddings.ts';
import { embedAndKeep, type EmbeddingStore } from '../stores/embeddings.ts';
import type { FleetReader } from './fleet-view.ts';

/** Texts between two heartbeats. */
const batch = 64;
const deletedAtOnce = 5_000;

export interface EmbeddingDeps {
  embeddings: EmbeddingStore;
  embedderOf: (settings: EmbeddingSettings) => Embedder;
  fleet: FleetReader;
}

export function createEmbeddingActivities({ embeddings, embedderOf, fleet }: EmbeddingDeps) {
  return {
    /**
     * Embeds living memories that have no vector of the fleet's model, the newest first. What is stored stays stored, so
     * another execution goes on from there. A new model serves from the moment in which nothing is left; then the
     * vectors of the one before are deleted. A text that it has no usable vector for is marked, passed over and told of; it is asked for again after a week.
     * @returns how many texts it embedded, at most about `most`
     */
    async embedMissing({ most }: { most: number }): Promise<{ embedded: number }> {
      const context = Context.current();
      const { fleet: wanted, ownerId } = await fleet();
      const { serving, building } = await embeddings.models(ownerId, wanted.embeddings);
      const { model, settings } = building ?? serving;
      const embedder = embedderOf(settings);
      let embedded = 0;
      while (embedded < most) {
        const missing = await embeddings.missing({ ownerId, model, limit: batch });
        if (missing.length === 0) {
          if (building) await embeddings.serve(ownerId, model);
          while ((await embeddings.deleteUnused(ownerId, deletedAtOnce)) > 0) context.heartbeat({ embedded });
          await embeddings.tellUnusable(ownerId, model);
          break;
        }
        await embedAndKeep(embeddings, embedder, missing, context.cancellationSignal);
        embedded += missing.length;
        context.heartbeat({ embedded });
      }
      return { embedded };
    },
  };
}
export type EmbeddingActivities = ReturnType<typeof createEmbeddingActivities>;
