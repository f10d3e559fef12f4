import type { Answer } from '../client.ts';
import { globeText } from '../texts/globe.ts';

export type Globe = Answer<'GET /v1/globe'>;
export type Place = readonly [x: number, y: number, z: number];
export type PointKind = 'agent' | Globe['memories']['kinds'][number];

export interface Point {
  id: string;
  kind: PointKind;
  /** On the unit sphere. */
  place: Place;
  /** Whose memory it is, or the agent itself; undefined where its agent is not on the globe. */
  agent: { id: string; name: string; maskSeed: number } | undefined;
  /** An agent's name, or what is remembered. */
  says: string;
  /** Seconds since 1970; an agent stands there at all times. */
  time: number | undefined;
  /** Memories that an arc leads to, by their index among the points. */
  threads: ReadonlyArray<{ kind: Globe['arcs'][number]['kind']; index: number }>;
}

/** Agents first, then memories in the order in which they happened. */
export function pointsOf({ agents, memories, arcs }: Globe): Point[] {
  const threads = memories.ids.map((): Array<Point['threads'][number]> => []);
  for (const { kind, from, to } of arcs) {
    threads[from]!.push({ kind, index: agents.ids.length + to });
    threads[to]!.push({ kind, index: agents.ids.length + from });
  }
  const known = agents.ids.map((id, i) => ({ id, name: agents.names[i]!, maskSeed: agents.maskSeeds[i]! }));
  return [
    ...known.map((agent, i) => ({
      id: agent.id,
      kind: 'agent' as const,
      place: placeAt(agents.places, i),
      agent,
      says: agent.name,
      time: undefined,
      threads: [],
    })),
    ...memories.ids.map((id, i) => ({
      id,
      kind: memories.kinds[i]!,
      place: placeAt(memories.places, i),
      agent: known[memories.agents[i]!],
      says: memories.texts[i]!,
      time: memories.times[i]!,
      threads: threads[i]!,
    })),
  ];
}

/** An agent's name, or who remembers what. */
export function nameOf({ kind, agent, says }: Point): string {
  return kind === 'agent' || agent === undefined ? says : globeText.says(agent.name, says);
}

/** Thousandths are not quite of unit length. */
export function placeAt(places: readonly number[], i: number): Place {
  const [x, y, z] = [places[i * 3]!, places[i * 3 + 1]!, places[i * 3 + 2]!];
  const length = Math.hypot(x, y, z) || 1;
  return [x / length, y / length, z / length];
}

/** How many of the memories, in their order, have happened until then. */
export function happenedUntil(times: readonly number[], until: number): number {
  let from = 0;
  let to = times.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (times[middle]! <= until) from = middle + 1;
    else to = middle;
  }
  return from;
}

export type Direction = 'up' | 'down' | 'left' | 'right';
/** Points nearer than this stand on one spot: there is no direction from one to the other. */
const leastAngle = 1e-4;

/**
 * The next point in a direction of the screen, whose middle is at `from` with north above: the nearest, those that lie more to
 * the side counting as further away. Of points on one spot the one that comes next in their order is gone to first.
 */
export function nextPoint(
  points: readonly Point[],
  from: number,
  direction: Direction,
  isShown: (point: Point, index: number) => boolean,
): number | undefined {
  const at = points[from]!.place;
  const axis: Place = Math.abs(at[1]) > 0.999 ? [0, 0, at[1] > 0 ? -1 : 1] : [0, 1, 0];
  const east = unit(cross(axis, at));
  const north = cross(at, east);
  const [ahead, aside] = direction === 'up' || direction === 'down' ? [north, east] : [east, north];
  const sign = direction === 'up' || direction === 'right' ? 1 : -1;
  let best: number | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const [i, point] of points.entries()) {
    if (i === from || !isShown(point, i)) continue;
    const angle = Math.acos(Math.min(1, Math.max(-1, dot(at, point.place))));
    if (angle < leastAngle) {
      const isNext = sign > 0 ? i > from : i < from;
      const order = Math.abs(i - from) * 1e-9;
      if (isNext && order < least) [best, least] = [i, order];
      continue;
    }
    const forward = sign * dot(point.place, ahead);
    const sideways = Math.abs(dot(point.place, aside));
    if (forward <= 0 || sideways > 2 * forward) continue;
    const score = angle * (1 + sideways / forward);
    if (score < least) [best, least] = [i, score];
  }
  return best;
}

/** Points that say all of the words, agents first; at most `most`. */
export function foundPoints(
  points: readonly Point[],
  asked: string,
  isShown: (point: Point, index: number) => boolean,
  most: number,
): number[] {
  const needles = asked.toLowerCase().split(/\s+/).filter(Boolean);
  if (needles.length === 0) return [];
  const found: number[] = [];
  for (const [i, point] of points.entries()) {
    if (found.length >= most) break;
    if (!isShown(point, i)) continue;
    const said = `${point.says} ${point.agent?.name ?? ''} ${point.id}`.toLowerCase();
    if (needles.every((needle) => said.includes(needle))) found.push(i);
  }
  return found;
}

function dot(a: Place, b: Place): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function cross(a: Place, b: Place): Place {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function unit([x, y, z]: Place): Place {
  const length = Math.hypot(x, y, z) || 1;
  return [x / length, y / length, z / length];
}
