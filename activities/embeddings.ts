import { Context } from '@temporalio/activity';
import type { Embedder, EmbeddingSettings } from '../domain/embeddings.ts';
import { isDomainError } from '../domain/errors.ts';
import { earlyMemories } from '../domain/globe.ts';
import { embedAndKeep, type EmbeddingModel, type EmbeddingStore } from '../stores/embeddings.ts';
import type { GlobeStore } from '../stores/globe.ts';
import { beating } from './beating.ts';
import type { FleetReader } from './fleet-view.ts';
import { reasonOf } from './passing-over.ts';

const batch = 64;
const deletedAtOnce = 5_000;

export interface EmbeddingDeps {
  embeddings: EmbeddingStore;
  globe: Pick<GlobeStore, 'askForFirst' | 'last'>;
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
     * one before are deleted, and a fleet without a globe gets its first; where that takes long, one of what weighs most before. A text that it has no usable vector for is marked, passed over and told of; it is asked for again after a week.
     * @returns how many texts it embedded, at most about `most`
     * @throws EMBEDDINGS_FAILED where the model that is wanted does not answer
     */
    embedMissing({ most }: { most: number }): Promise<{ embedded: number }> {
      const { cancellationSignal, info } = Context.current();
      // The workflow that places the globe does so itself, once this has ended.
      const isOfGlobe = info.workflowType === 'placeGlobe';
      return beating(() => embedMissing({ most, isOfGlobe }, cancellationSignal));
    },
  };

  async function embedMissing(
    { most, isOfGlobe }: { most: number; isOfGlobe: boolean },
    signal: AbortSignal,
  ): Promise<{ embedded: number }> {
    const { fleet: wanted, ownerId } = await fleet();
    const { serving, building } = await embeddings.models(ownerId, wanted.embeddings);
    const answered: EmbeddingModel[] = [];
    const failed = new Map<EmbeddingModel, unknown>();
    let embedded = 0;
    let whole = false;
    const hasNoGlobe = (await globe.last(ownerId)) === undefined;
    for (const each of building ? [serving, building] : [serving]) {
      // The model wanted is the last of them: whether nothing is left of it decides.
      whole = false;
      const before = embedded;
      try {
        if (hasNoGlobe && each === serving) embedded += await embedWeightiest(ownerId, each, signal);
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
      if (!isOfGlobe) await globe.askForFirst(ownerId, 'whole');
    }
    await embeddings.tellModels(ownerId, {
      answered: answered.map(({ model }) => model),
      failed: [...failed].map(([{ model }, err]) => ({ model, reason: reasonOf(err) })),
    });
    const ofWanted = failed.get(building ?? serving);
    if (ofWanted !== undefined) throw ofWanted;
    return { embedded };
  }

  /**
   * Where much is to be embedded the first globe does not wait for all of it: what weighs most of each agent comes first, and is
   * placed while the rest goes on.
   */
  async function embedWeightiest(
    ownerId: string,
    { model, settings }: EmbeddingModel,
    signal: AbortSignal,
  ): Promise<number> {
    const waiting = await embeddings.missing({ ownerId, model, limit: earlyMemories + 1 });
    if (waiting.length <= earlyMemories) return 0;
    const weightiest = await embeddings.weightiestMissing({ ownerId, model, limit: earlyMemories });
    for (let from = 0; from < weightiest.length; from += batch)
      await embedAndKeep(embeddings, embedderOf(settings), weightiest.slice(from, from + batch), signal);
    await globe.askForFirst(ownerId, 'early');
    return weightiest.length;
  }
}
export type EmbeddingActivities = ReturnType<typeof createEmbeddingActivities>;
