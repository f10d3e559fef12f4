import { Context } from '@temporalio/activity';
import { driftLimits, driftOf, driftSpans, nextDriftState, personaText, teaches } from '../domain/drift.ts';
import { embedEach, type Embedder, type EmbeddingSettings, toUnitLength, UnusableText } from '../domain/embeddings.ts';
import { DomainError } from '../domain/errors.ts';
import { createSpaceBuilder, spaceLimits } from '../domain/persona-space.ts';
import type { DriftStore, NewRating, RatedAgent, StoredSpace } from '../stores/drift.ts';
import { contentHash, type EmbeddingStore, type Unembedded } from '../stores/embeddings.ts';
import { soundVector } from '../stores/memory-columns.ts';
import type { JudgementStore } from '../stores/judgements.ts';
import type { AgentOutput, OutputStore } from '../stores/outputs.ts';
import type { FleetReader } from './fleet-view.ts';
import { togetherOrAlone } from './passing-over.ts';

/** Agents rated in one go: their vectors stand in memory together. */
const page = 16;
/** Texts between two heartbeats. */
const embedBatch = 32;
/** A space is learnt anew once there is this much more to learn from. */
const growth = 2;

export interface DriftDeps {
  drift: DriftStore;
  judgements: JudgementStore;
  outputs: OutputStore;
  embeddings: EmbeddingStore;
  embedderOf: (settings: EmbeddingSettings) => Embedder;
  fleet: FleetReader;
}

export interface DriftBasis {
  /** Whose vectors are compared in this period. */
  model: string;
  /** Null while the fleet has said too little. */
  spaceId: string | null;
}

export interface RatedPage {
  /** Where the next page begins; null after the last. */
  next: string | null;
  rated: number;
  changed: number;
  /** Looked at and not rated: they have said too little, or nothing new. */
  left: number;
}

export function createDriftActivities({ drift, judgements, outputs, embeddings, embedderOf, fleet }: DriftDeps) {
  /** The vectors of texts; what is embedded stays stored. A text that the model has no usable vector for has none here. */
  async function embed(
    ownerId: string,
    model: string,
    texts: ReadonlyArray<Omit<Unembedded, 'ownerId'>>,
    put: 'put' | 'putAhead' = 'put',
  ) {
    const context = Context.current();
    const { settings } = await servingModel(ownerId, model);
    const found = new Map<string, Float32Array>();
    for (let from = 0; from < texts.length; from += embedBatch) {
      const batch = texts.slice(from, from + embedBatch);
      const vectors = await embedEach(
        embedderOf(settings),
        batch.map(({ text }) => text),
        context.cancellationSignal,
      );
      const usable = batch.flatMap((each, i) => (vectors[i] ? [{ ...each, ownerId, vector: vectors[i] }] : []));
      await embeddings[put](model, usable);
      for (const each of usable) found.set(each.contentHash.toString('hex'), each.vector);
      context.heartbeat();
    }
    return found;
  }

  /** @throws CONFLICT where another model serves by now: the period is to begin anew */
  async function servingModel(ownerId: string, model: string) {
    const serving = await embeddings.serving(ownerId);
    if (serving?.model !== model) {
      throw new DomainError(
        'CONFLICT',
        `vectors of ${model} were asked for, ${serving?.model ?? 'no model'} serves now`,
      );
    }
    return serving;
  }

  /**
   * Outputs by agent, each with its vector.
   * @throws RangeError or `UnusableText` where one of them has none that can be used
   */
  async function withVectors(ownerId: string, model: string, rows: readonly AgentOutput[]) {
    const missing = new Map(rows.filter(({ vector }) => !vector).map((row) => [row.contentHash.toString('hex'), row]));
    const made = await embed(ownerId, model, [...missing.values()]);
    const dimensions = await embeddings.dimensions(ownerId, model);
    const byAgent = new Map<string, Array<AgentOutput & { at: Float32Array }>>();
    for (const row of rows) {
      const at = row.vector ? soundAt(row.id, row.vector, dimensions) : made.get(row.contentHash.toString('hex'));
      if (!at) throw new UnusableText(`${model} has no usable vector for ${row.id}`);
      const own = byAgent.get(row.agentId);
      if (own) own.push({ ...row, at });
      else byAgent.set(row.agentId, [{ ...row, at }]);
    }
    return byAgent;
  }

  async function personaVectors(ownerId: string, model: string, agents: readonly RatedAgent[]) {
    const texts = agents.map((agent) => {
      const text = personaText(agent);
      return { agentId: agent.agentId, text, contentHash: contentHash(text) };
    });
    const known = await embeddings.known(
      ownerId,
      model,
      texts.map((each) => each.contentHash),
    );
    const made = await embed(
      ownerId,
      model,
      texts.filter((each) => !known.has(each.contentHash.toString('hex'))),
      // With their traits they are the text of no row.
      'putAhead',
    );
    const dimensions = await embeddings.dimensions(ownerId, model);
    return new Map(
      texts.map((each) => {
        const key = each.contentHash.toString('hex');
        const stored = known.get(key);
        const what = `the persona of ${each.agentId}`;
        const at = stored ? soundAt(what, stored, dimensions) : made.get(key);
        if (!at) throw new UnusableText(`${model} has no usable vector for ${what}`);
        return [each.agentId, at];
      }),
    );
  }

  let kept: StoredSpace | undefined;
  async function spaceOf(ownerId: string, { model, spaceId }: DriftBasis) {
    if (spaceId === null) return undefined;
    if (kept?.id !== spaceId) kept = await drift.space(ownerId, model, spaceId);
    if (!kept) throw new DomainError('CONFLICT', `the persona space ${spaceId} is gone`);
    return kept.space;
  }

  return {
    /**
     * What the agents of this period are compared by. The persona space is learnt anew where there is twice as much to
     * learn from; a second execution finds the new one. It is learnt without agents that cannot be read, which are told of
     * as by `ratePage`; the next space is learnt from all again.
     */
    async prepareDrift(): Promise<DriftBasis> {
      const context = Context.current();
      const { fleet: wanted, ownerId } = await fleet();
      const { serving } = await embeddings.models(ownerId, wanted.embeddings);
      const { model } = serving;
      const all = await drift.agentIds(ownerId);
      const step = Math.max(1, all.length / spaceLimits.agents);
      const sampled = all.filter((_, i) => Math.floor(i / step) !== Math.floor((i - 1) / step));
      let counted = 0;
      for (const agentIds of pages(sampled)) {
        counted += await outputs.count(agentIds);
        context.heartbeat();
      }
      const current = await drift.space(ownerId, model);
      if (counted < (current ? current.outputs * growth : spaceLimits.leastOutputs)) {
        return { model, spaceId: current?.id ?? null };
      }
      let builder: ReturnType<typeof createSpaceBuilder> | undefined;
      for (const agentIds of pages(sampled)) {
        await togetherOrAlone(agentIds, {
          work: learnFrom,
          tell: (agentId, why) => drift.noteFailure(ownerId, agentId, why),
        });
        context.heartbeat();
      }
      const space = builder?.build();
      if (!builder || !space) return { model, spaceId: current?.id ?? null };
      return { model, spaceId: await drift.keepSpace(ownerId, model, { space, ...builder.counts() }) };

      async function learnFrom(agentIds: readonly string[]): Promise<void> {
        const rows = await outputs.firstAndLast({ agentIds, model, first: driftLimits.calibration, last: 0 });
        // All of them, or none: who is read twice must not count twice.
        const read = [...(await withVectors(ownerId, model, rows)).values()];
        for (const own of read) {
          builder ??= createSpaceBuilder(own[0]!.at.length);
          builder.add(own.filter(({ place }) => teaches(place)).map(({ at }) => at));
        }
      }
    },

    /**
     * Rates one page of agents after `after`. A rating of this period that is there already stays. An agent that cannot be
     * rated is passed over with a notice, and tried again each period until it can.
     */
    async ratePage(input: DriftBasis & { period: string; after: string }): Promise<RatedPage> {
      const { model, spaceId, period } = input;
      const { fleet: wanted, ownerId } = await fleet();
      const settings = wanted.drift;
      const agents = await drift.agentsAfter(ownerId, input.after, page);
      const next = agents.length < page ? null : agents.at(-1)!.agentId;
      const space = await spaceOf(ownerId, input);
      const done = { stored: 0, changed: 0 };
      await togetherOrAlone(agents, {
        async work(some) {
          const { stored, changed } = await rate(some);
          done.stored += stored;
          done.changed += changed;
        },
        tell: ({ agentId }, why) => drift.noteFailure(ownerId, agentId, why),
      });
      return { next, rated: done.stored, changed: done.changed, left: agents.length - done.stored };

      async function rate(rated: readonly RatedAgent[]) {
        const agentIds = rated.map(({ agentId }) => agentId);
        const rows = await outputs.firstAndLast({
          agentIds,
          model,
          first: driftLimits.calibration,
          last: settings.window + driftLimits.history,
        });
        const totals = new Map(rows.map((row) => [row.agentId, row]));
        const due = rated.filter(({ agentId, standing, failing }) => {
          const newest = totals.get(agentId);
          if (!newest || newest.total < driftLimits.leastOutputs) return false;
          // Who was told of is looked at again, so that mending the row is enough.
          return failing || standing?.newestOutput !== newest.id || standing.model !== model;
        });
        const dueIds = new Set(due.map(({ agentId }) => agentId));
        const byAgent = await withVectors(
          ownerId,
          model,
          rows.filter(({ agentId }) => dueIds.has(agentId)),
        );
        const personas = await personaVectors(ownerId, model, due);
        const ratings = due.map(({ agentId, standing }): NewRating => {
          const own = byAgent.get(agentId)!;
          const { total } = own[0]!;
          const spans = driftSpans(total, settings);
          const at = new Map(own.map((output) => [output.place, output.at]));
          const outputAt = (place: number) => at.get(place)!;
          const rating = driftOf({ agentId, persona: personas.get(agentId)!, spans, outputAt, outputs: total, space });
          const history = spans.history.length;
          const otherModel = standing !== null && standing.model !== model;
          return {
            ...rating,
            agentId,
            after: standing?.ratingId ?? null,
            // What another model said of an agent is no state to hold on to.
            state: nextDriftState(standing && !otherModel ? standing.state : 'calm', rating.z, settings),
            windowSize: total - spans.windowFrom,
            history,
            reason: [
              ...(otherModel
                ? [`the embedding model is ${model} now: earlier ratings, by ${standing.model}, do not compare`]
                : []),
              ...(rating.z === null
                ? [`nothing is usual yet: ${history} outputs to compare the last ${total - spans.windowFrom} with`]
                : []),
              ...(space ? [] : ['the fleet has said too little to tell personas apart: plain vectors are compared']),
            ].join('; '),
            newestOutput: own.at(-1)!.id,
            vector: meanVector(own.filter(({ place }) => place >= spans.windowFrom).map((output) => output.at)),
          };
        });
        const result = await drift.store({
          ownerId,
          period,
          model,
          spaceId,
          ratings,
        });
        for (const { agentId } of ratings) await drift.noteFailure(ownerId, agentId, undefined);
        return result;
      }
    },

    /** All agents of the period are rated: those that drift are judged by their model, the furthest first. @returns how many */
    async askJudgements({ period }: { period: string }): Promise<number> {
      const { fleet: wanted, ownerId } = await fleet();
      const { judgedPerPeriod: most, samples } = wanted.drift;
      return judgements.ask({ ownerId, period, most, samples });
    },
  };
}
export type DriftActivities = ReturnType<typeof createDriftActivities>;

/** @throws RangeError that says whose vector is damaged */
function soundAt(what: string, bytes: Buffer, dimensions: number): Float32Array {
  try {
    return soundVector(bytes, dimensions);
  } catch (err) {
    if (!(err instanceof RangeError)) throw err;
    throw new RangeError(`${what}: ${err.message}`, { cause: err });
  }
}

function meanVector(vectors: readonly Float32Array[]): Float32Array {
  const sum = new Float64Array(vectors[0]!.length);
  for (const vector of vectors) for (let i = 0; i < sum.length; i += 1) sum[i]! += vector[i]!;
  // Vectors that cancel each other out have no direction; any of them is as good.
  return sum.some((value) => Math.abs(value) > 1e-9) ? toUnitLength(sum) : vectors[0]!;
}

function* pages(ids: readonly string[]): Iterable<string[]> {
  for (let from = 0; from < ids.length; from += page) yield ids.slice(from, from + page);
}
