import { type DensityClusters, hdbscan, type Points } from './hdbscan.ts';
import { type Components, principalComponents, type Vectors } from './principal-components.ts';
import { project, withoutNoise } from './projection.ts';

/** Agents that speak and drift alike: density clusters over the vectors of what they said of late. See docs/clusters.md. */
export interface AgentVectors extends Vectors {
  /** One number an agent, in the order of the vectors. */
  drift: Float64Array;
}

/** Directions that are kept at most; distances in many more say little. */
const mostComponents = 32;
/** While they are looked for, a few more are held, each as basis, image and result. */
const followedComponents = mostComponents + 8;
/** The how-manieth nearest agent makes the core distance. */
const minSamples = 5;
/** Fewer agents alike than this are chance. */
const leastMembers = 5;
const mib = 2 ** 20;
/** A thread with an empty heap, and what its heap may take; the arrays that are counted for each agent lie outside of it. */
export const threadHeapMiB = 32;
const threadMiB = threadHeapMiB + 16;
/** What is read and not yet handed to the thread: a page of vectors, as it came and as numbers. */
const readMiB = 12;

/** A larger fleet has larger groups: half the root of the agents, five at least. */
export function leastMembersOf(agents: number): number {
  return Math.max(leastMembers, Math.ceil(Math.sqrt(agents) / 2));
}

/** Bytes that clustering holds for each agent: its vector, its place in the space, core distances, tree and labels. */
function bytesPerAgent(dimensions: number): number {
  const tree = 160;
  return dimensions * 4 + (mostComponents + 1) * 8 * 2 + minSamples * 8 + tree;
}

/** How many agents may be clustered within a limit of memory; the others are then only assigned. */
export function agentsWithin(limitMiB: number, dimensions: number): number {
  const components = followedComponents * dimensions * 8 * 3;
  return Math.max(0, Math.floor(((limitMiB - threadMiB - readMiB) * mib - components) / bytesPerAgent(dimensions)));
}

/** Of `all` places the `count` that lie evenly among them, in order: strata that stand together are drawn from alike. */
export function evenlyDrawn(all: number, count: number): Int32Array {
  const drawn = Math.min(all, count);
  return Int32Array.from({ length: drawn }, (_, i) => Math.floor((i * all) / drawn));
}

export interface ClusteredAgents {
  /** Cluster of each agent; −1 for none. */
  labels: Int32Array;
  clusters: number;
  /** To assign others who were not drawn. */
  model: ClusterModel;
}

export interface ClusterModel {
  components: Components;
  drift: { middle: number; scale: number };
  points: Points;
  found: DensityClusters;
}

export function clusterAgents(agents: AgentVectors): ClusteredAgents {
  const components = withoutNoise(principalComponents(agents, mostComponents), agents);
  const drift = driftScale(agents.drift, components);
  const points = place(agents, components, drift);
  const found = hdbscan(points, { minClusterSize: leastMembersOf(agents.size), minSamples });
  return { labels: found.labels, clusters: found.bornAt.length, model: { components, drift, points, found } };
}

/**
 * The clusters of agents who were not drawn: that of the nearest drawn one by mutual reachability, where it is nearer than
 * the distance at which that cluster was born; else none. The rule of approximate_predict of the hdbscan library (McInnes et al. 2017).
 */
export function assignAgents({ components, drift, points, found }: ClusterModel, others: AgentVectors): Int32Array {
  const places = place(others, components, drift);
  const { dimensions } = points;
  const labels = new Int32Array(others.size).fill(-1);
  for (let other = 0; other < others.size; other += 1) {
    let nearest = Number.POSITIVE_INFINITY;
    for (let drawn = 0; drawn < points.size; drawn += 1) {
      const core = found.cores[drawn]!;
      if (core >= nearest) continue;
      let squares = 0;
      for (let i = 0; i < dimensions; i += 1) {
        squares += (places.values[other * dimensions + i]! - points.values[drawn * dimensions + i]!) ** 2;
      }
      const reach = Math.max(core, Math.sqrt(squares));
      if (reach >= nearest) continue;
      nearest = reach;
      const cluster = found.labels[drawn]!;
      labels[other] = cluster >= 0 && reach < found.bornAt[cluster]! ? cluster : -1;
    }
  }
  return labels;
}

function place(agents: AgentVectors, components: Components, { middle, scale }: ClusterModel['drift']): Points {
  const points = project(agents, components, 1);
  const last = points.dimensions - 1;
  for (let row = 0; row < agents.size; row += 1) {
    points.values[row * points.dimensions + last] = (agents.drift[row]! - middle) * scale;
  }
  return points;
}

/** Drift counts as one more component of average variance; where all drift alike it says nothing. */
function driftScale(drift: Float64Array, { variances, count }: Components): ClusterModel['drift'] {
  const middle = drift.reduce((sum, value) => sum + value, 0) / Math.max(1, drift.length);
  const variance = drift.reduce((sum, value) => sum + (value - middle) ** 2, 0) / Math.max(1, drift.length);
  let average = 0;
  for (let i = 0; i < count; i += 1) average += variances[i]! / count;
  return { middle, scale: variance > 1e-12 ? Math.sqrt(average / variance) : 0 };
}
