import { type Components, principalComponents, type Vectors } from './principal-components.ts';
import type { Points } from './hdbscan.ts';
import { project, withoutNoise } from './projection.ts';

/** The memory globe: memories stand on a sphere by what they say, agents among the memories that say what they say. See docs/globe.md. */

/** What is placed and shown at most. */
export const globeLimits = { agents: 1_000, memories: 3_000, arcs: 2_000, regions: 48, text: 140 };

/** Of a fleet that has much to embed: the first globe is of so many memories, and does not wait for the rest. */
export const earlyMemories = 512;

/** Fewer memories than this have no neighbourhoods to keep: they stand by the directions in which they differ most. */
export const leastPlaced = 16;
/** The point itself is counted. */
const neighbourCount = 15;
const mostComponents = 32;
/** Known neighbours that say where one that is new begins. */
const guides = 5;

export interface GlobeVectors {
  /** Of unit length. */
  memories: Vectors;
  /** Of unit length, with as many numbers. */
  agents: Vectors;
  /** Where each stood before, three numbers each, memories first; NaN for one that is new. */
  before: Float64Array;
}

/** Of each point, memories first: itself at 0, then the memories nearest to it, with their distances. */
export interface Neighbours {
  indices: number[][];
  distances: number[][];
}

/** What the layout begins from. */
export interface GlobeStart {
  neighbours: Neighbours;
  /** On the unit sphere, three numbers each. */
  places: Float64Array;
  /** Most stood somewhere before: they are to stay about there. */
  isKnown: boolean;
}

/**
 * Neighbours in the space of the components that differ more than noise, and where each point begins: where it stood, else amid
 * neighbours that stood somewhere, else by the three strongest components.
 *
 * An agent's neighbours are memories alone: means of many texts are all alike, and would huddle in a country of their own.
 */
export function startOf({ memories, agents, before }: GlobeVectors): GlobeStart {
  const components: Components = withoutNoise(principalComponents(memories, mostComponents), memories);
  const ofMemories = project(memories, components);
  const ofAgents = project(agents, components);
  const count = Math.min(neighbourCount, memories.size);
  const neighbours = joined(
    nearest(ofMemories, ofMemories, count, 0),
    nearest(ofAgents, ofMemories, count, memories.size),
  );
  const size = memories.size + agents.size;
  const places = new Float64Array(size * 3);
  let known = 0;
  for (let i = 0; i < size; i += 1) {
    if (!isPlace(before, i)) continue;
    known += 1;
    put(places, i, before[i * 3]!, before[i * 3 + 1]!, before[i * 3 + 2]!);
  }
  for (let i = 0; i < size; i += 1) {
    if (isPlace(before, i)) continue;
    const beside = neighbours.indices[i]!.filter((other) => other !== i && isPlace(before, other)).slice(0, guides);
    if (beside.length > 0) {
      const sum = [0, 1, 2].map((axis) => beside.reduce((all, other) => all + before[other * 3 + axis]!, 0));
      put(places, i, sum[0]!, sum[1]!, sum[2]!);
    } else {
      const points = i < memories.size ? ofMemories : ofAgents;
      const row = (i < memories.size ? i : i - memories.size) * points.dimensions;
      const at = (axis: number) => (axis < points.dimensions ? points.values[row + axis]! : 0);
      put(places, i, at(0), at(1), at(2));
    }
  }
  return { neighbours, places, isKnown: known * 2 > size };
}

function isPlace(values: Float64Array, i: number): boolean {
  return !Number.isNaN(values[i * 3]!);
}

/** On the unit sphere; what has no direction gets one of its own, evenly about the sphere. */
function put(places: Float64Array, i: number, x: number, y: number, z: number): void {
  const length = Math.hypot(x, y, z);
  if (length > 1e-9) {
    places.set([x / length, y / length, z / length], i * 3);
    return;
  }
  const golden = Math.PI * (3 - Math.sqrt(5));
  const height = 1 - 2 * ((i * 0.618_033_988_75) % 1);
  const around = Math.sqrt(1 - height * height);
  places.set([Math.cos(golden * i) * around, height, Math.sin(golden * i) * around], i * 3);
}

/** Exact, by comparing with each: thousands of points with tens of numbers take a second. */
function nearest(of: Points, among: Points, count: number, offset: number): Neighbours {
  const { dimensions } = among;
  const indices: number[][] = [];
  const distances: number[][] = [];
  for (let row = 0; row < of.size; row += 1) {
    const self = row + offset;
    const found: number[] = [];
    const squaresOf: number[] = [];
    let furthest = Number.POSITIVE_INFINITY;
    for (let other = 0; other < among.size; other += 1) {
      if (other === self) continue;
      let squares = 0;
      for (let i = 0; i < dimensions && squares < furthest; i += 1) {
        squares += (of.values[row * dimensions + i]! - among.values[other * dimensions + i]!) ** 2;
      }
      if (squares >= furthest) continue;
      let place = squaresOf.length;
      while (place > 0 && squaresOf[place - 1]! > squares) place -= 1;
      squaresOf.splice(place, 0, squares);
      found.splice(place, 0, other);
      if (squaresOf.length >= count) {
        squaresOf.length = count - 1;
        found.length = count - 1;
        furthest = squaresOf.at(-1) ?? 0;
      }
    }
    indices.push([self, ...found]);
    distances.push([0, ...squaresOf.map(Math.sqrt)]);
  }
  return { indices, distances };
}

function joined(a: Neighbours, b: Neighbours): Neighbours {
  return { indices: [...a.indices, ...b.indices], distances: [...a.distances, ...b.distances] };
}

export type Place = readonly [x: number, y: number, z: number];

/** A part of the sphere that holds the nearer three quarters of some places: its middle, and how far it reaches, in radians. */
export function regionAround(places: readonly Place[]): { middle: Place; reach: number } | undefined {
  const sum = [0, 1, 2].map((axis) => places.reduce((all, place) => all + place[axis]!, 0));
  const length = Math.hypot(...sum);
  if (length < 1e-9) return undefined;
  const middle: Place = [sum[0]! / length, sum[1]! / length, sum[2]! / length];
  const apart = places.map((place) => angleBetween(middle, place)).sort((a, b) => a - b);
  return { middle, reach: Math.min(1.2, Math.max(0.06, apart[Math.ceil(apart.length * 0.75) - 1]!)) };
}

export function angleBetween(a: Place, b: Place): number {
  return Math.acos(Math.min(1, Math.max(-1, a[0] * b[0] + a[1] * b[1] + a[2] * b[2])));
}
