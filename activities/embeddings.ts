import { Context } from '@temporalio/activity';
import type { Embedder, EmbeddingSettings } from '../domain/embeddings.ts';
import { isDomainError } from '../domain/errors.ts';
import { embedAndKeep, type EmbeddingModel, type EmbeddingStore } from '../stores/embeddings.ts';
import type { GlobeStore } from '../stores/globe.ts';
import { beating } from './beating.ts';
import type { FleetReader } from './fleet-view.ts';
import { reasonOf } from './passing-over.ts';

const batch = 64;
const deletedAtOnce = 5_000;

export interface EmbeddingDeps {
  embeddings: EmbeddingStore;
  globe: Pick<GlobeStore, 'askForFirst'>;
  embedderOf: (settings: EmbeddingSettings) => Embedder;
  fleet: FleetReader;
}

export function createEmbeddingActivities({ embeddings, globe, embedderOf, fleet }: EmbeddingDeps) {
  return {
    /**
     * Embeds living memories that have no vector of the fleet's model, the newest first. What is stored stays stored, so
     * another execution goes on from there. The model that searches go by comes before the one that is to follow it: a new
     * one that does not answer takes nothing from searches, and an old one that is gone keeps the new one from nothing. Which
     * of them does not answer is told. A new model serves from the moment in which nothing is left; then the vectors of the
     * one before are deleted, and a fleet without a globe gets its first. A text that it has no usable vector for is marked, passed over and told of; it is asked for again after a week.
     * @returns how many texts it embedded, at most about `most`
     * @throws EMBEDDINGS_FAILED where the model that is wanted does not answer
     */
    embedMissing({ most }: { most: number }): Promise<{ embedded: number }> {
      const { cancellationSignal, info } = Context.current();
      return beating(() => embedMissing(most, info.workflowExecution?.runId ?? info.activityId, cancellationSignal));
    },
  };

  async function embedMissing(most: number, run: string, signal: AbortSignal): Promise<{ embedded: number }> {
    const { fleet: wanted, ownerId } = await fleet();
    const { serving, building } = await embeddings.models(ownerId, wanted.embeddings);
    const answered: EmbeddingModel[] = [];
    const failed = new Map<EmbeddingModel, unknown>();
    let embedded = 0;
    let whole = false;
    for (const each of building ? [serving, building] : [serving]) {
      // The model wanted is the last of them: whether nothing is left of it decides.
      whole = false;
      const before = embedded;
      try {
        while (embedded < most && !whole) {
          const missing = await embeddings.missing({ ownerId, model: each.model, limit: batch });
          whole = missing.length === 0;
          if (whole) break;
          await embedAndKeep(embeddings, embedderOf(each.settings), missing, signal);
          embedded += missing.length;
        }
        // Where nothing is left to ask of it, there is nothing to tell of it either.
        if (whole || embedded > before) answered.push(each);
      } catch (err) {
        if (signal.aborted || !isDomainError(err, 'EMBEDDINGS_FAILED')) throw err;
        failed.set(each, err);
      }
    }
    if (whole) {
      if (building) await embeddings.serve(ownerId, building.model);
      while ((await embeddings.deleteUnused(ownerId, deletedAtOnce)) > 0) signal.throwIfAborted();
      await embeddings.tellUnusable(ownerId, (building ?? serving).model);
      await globe.askForFirst(ownerId, run);
    }
    await embeddings.tellModels(ownerId, {
      answered: answered.map(({ model }) => model),
      failed: [...failed].map(([{ model }, err]) => ({ model, reason: reasonOf(err) })),
    });
    const ofWanted = failed.get(building ?? serving);
    if (ofWanted !== undefined) throw ofWanted;
    return { embedded };
  }
}
export type EmbeddingActivities = ReturnType<typeof createEmbeddingActivities>;
