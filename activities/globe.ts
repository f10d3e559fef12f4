import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { toUnitLength } from '../domain/embeddings.ts';
import { globeLimits } from '../domain/globe.ts';
import { earlyGlobePeriod } from '../domain/ids.ts';
import type { Vectors } from '../domain/principal-components.ts';
import type { PlaceOnSphere } from '../integrations/globe/placer.ts';
import type { EmbeddingStore } from '../stores/embeddings.ts';
import type { GlobeStore, PlaceableMemory, PlacedPoint } from '../stores/globe.ts';
import { soundVector } from '../stores/memory-columns.ts';
import type { FleetReader } from './fleet-view.ts';

const beatMs = 2_000;
const vectorsAtOnce = 500;

export interface GlobeDeps {
  globe: GlobeStore;
  embeddings: EmbeddingStore;
  placeOnSphere: PlaceOnSphere;
  fleet: FleetReader;
}

export interface PlacedGlobe {
  agents: number;
  memories: number;
  /** Nothing is new since the last run: nobody moved. */
  unchanged: boolean;
}

export function createGlobeActivities({ globe, embeddings, placeOnSphere, fleet }: GlobeDeps) {
  return {
    /**
     * Places agents and their weightiest memories on the globe, beginning from where each stood. A second execution finds the
     * period done. A damaged vector is left out: search and clusters tell of it.
     */
    async placeGlobePoints({ period }: { period: string }): Promise<PlacedGlobe> {
      const context = Context.current();
      const { ownerId } = await fleet();
      const last = await globe.last(ownerId);
      if (last?.period === period) return { agents: last.agents, memories: last.memories, unchanged: false };
      // It would take the place of one of all.
      if (last && period === earlyGlobePeriod) return { agents: last.agents, memories: last.memories, unchanged: true };
      const model = (await embeddings.serving(ownerId))?.model;
      if (model === undefined) return { agents: 0, memories: 0, unchanged: true };
      const beat = setInterval(() => context.heartbeat(), beatMs);
      try {
        const agentIds = await globe.agents(ownerId, globeLimits.agents);
        const perAgent = Math.max(1, Math.floor(globeLimits.memories / Math.max(1, agentIds.length)));
        const chosen = await globe.memoriesOf(agentIds, model, perAgent);
        const dimensions = await embeddings.dimensions(ownerId, model);
        const memories = await memoryVectors({ ownerId, model, dimensions }, chosen);
        const agents = await agentVectors({ ownerId, model, dimensions }, agentIds, memories);
        if (memories.length === 0) return { agents: 0, memories: 0, unchanged: true };
        const ids = { memories: memories.map(({ id }) => id), agents: [...agents.keys()] };
        const vectors = [...memories.map(({ vector }) => vector), ...agents.values()];
        const digest = digestOf(model, [...ids.memories, ...ids.agents], vectors);
        if (last?.digest.equals(digest)) {
          await globe.keep(ownerId, period);
          return { agents: last.agents, memories: last.memories, unchanged: true };
        }
        // Another model has other neighbours: nobody's place says anything of them.
        const stood = last?.model === model ? await globe.places(ownerId) : new Map<string, PlacedPoint>();
        const before = Float64Array.from([...ids.memories, ...ids.agents].flatMap((id) => placeOf(stood.get(id))));
        const places = await placeOnSphere(
          {
            memories: columns(vectors.slice(0, ids.memories.length), dimensions),
            agents: columns(vectors.slice(ids.memories.length), dimensions),
            before,
          },
          context.cancellationSignal,
        );
        const pointAt = (id: string, i: number): PlacedPoint => ({
          id,
          x: places[i * 3]!,
          y: places[i * 3 + 1]!,
          z: places[i * 3 + 2]!,
        });
        await globe.store(ownerId, {
          period,
          model,
          digest,
          memories: ids.memories.map(pointAt),
          agents: ids.agents.map((id, i) => pointAt(id, ids.memories.length + i)),
        });
        return { agents: ids.agents.length, memories: ids.memories.length, unchanged: false };
      } finally {
        clearInterval(beat);
      }
    },
  };

  async function memoryVectors(
    { ownerId, model, dimensions }: Model,
    chosen: readonly PlaceableMemory[],
  ): Promise<Array<{ id: string; agentId: string; vector: Float32Array }>> {
    const found: Array<{ id: string; agentId: string; vector: Float32Array }> = [];
    for (let from = 0; from < chosen.length; from += vectorsAtOnce) {
      const page = chosen.slice(from, from + vectorsAtOnce);
      const known = await embeddings.known(
        ownerId,
        model,
        page.map(({ contentHash }) => contentHash),
      );
      for (const { id, agentId, contentHash } of page) {
        const vector = sound(known.get(contentHash.toString('hex')), dimensions);
        if (vector !== undefined) found.push({ id, agentId, vector });
      }
    }
    return found;
  }

  /** The mean of its memories on the globe, or its persona where it has none there; who has neither is not placed. */
  async function agentVectors(
    { ownerId, model, dimensions }: Model,
    agentIds: readonly string[],
    memories: ReadonlyArray<{ agentId: string; vector: Float32Array }>,
  ): Promise<Map<string, Float32Array>> {
    const sums = new Map<string, Float64Array>();
    for (const { agentId, vector } of memories) {
      const sum = sums.get(agentId) ?? new Float64Array(dimensions);
      for (let i = 0; i < dimensions; i += 1) sum[i]! += vector[i]!;
      sums.set(agentId, sum);
    }
    const placed = new Map<string, Float32Array>();
    for (const [agentId, sum] of sums) {
      if (sum.some((value) => value !== 0)) placed.set(agentId, toUnitLength([...sum]));
    }
    const silent = new Set(agentIds.filter((id) => !placed.has(id)));
    for (let after = ''; silent.size > 0; ) {
      const page = await embeddings.personas({ ownerId, model, after, limit: vectorsAtOnce });
      for (const { agentId, vector } of page) {
        const persona = silent.has(agentId) ? sound(vector, dimensions) : undefined;
        if (persona !== undefined) placed.set(agentId, persona);
      }
      if (page.length < vectorsAtOnce) break;
      after = page.at(-1)!.agentId;
    }
    return new Map(agentIds.flatMap((id) => (placed.has(id) ? [[id, placed.get(id)!] as const] : [])));
  }
}
export type GlobeActivities = ReturnType<typeof createGlobeActivities>;

interface Model {
  ownerId: string;
  model: string;
  dimensions: number;
}

function digestOf(model: string, ids: readonly string[], vectors: readonly Float32Array[]): Buffer {
  const hash = createHash('sha256').update([model, ...ids].join('\0'));
  for (const { buffer, byteOffset, byteLength } of vectors) hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  return hash.digest();
}

function placeOf(place: PlacedPoint | undefined): number[] {
  return place === undefined ? [Number.NaN, Number.NaN, Number.NaN] : [place.x, place.y, place.z];
}

function sound(bytes: Buffer | undefined, dimensions: number): Float32Array | undefined {
  if (bytes === undefined) return undefined;
  try {
    return soundVector(bytes, dimensions);
  } catch (err) {
    if (!(err instanceof RangeError)) throw err;
    return undefined;
  }
}

function columns(vectors: readonly Float32Array[], dimensions: number): Vectors {
  const values = new Float32Array(vectors.length * dimensions);
  for (const [i, vector] of vectors.entries()) values.set(vector, i * dimensions);
  return { values, size: vectors.length, dimensions };
}
