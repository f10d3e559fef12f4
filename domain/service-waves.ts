import { DomainError } from './errors.ts';

export interface Dependent {
  id: string;
  dependsOn: readonly string[];
}

/** These and all that they need, however far. */
export function withNeeded(services: readonly Dependent[], ids: readonly string[]): Set<string> {
  const needs = new Map(services.map(({ id, dependsOn }) => [id, dependsOn]));
  return reached(ids, (id) => (needs.get(id) ?? []).filter((needed) => needs.has(needed)));
}

/** These and all that need them, however far. */
export function withDependants(services: readonly Dependent[], ids: readonly string[]): Set<string> {
  const dependants = new Map<string, string[]>();
  for (const { id, dependsOn } of services)
    for (const needed of dependsOn) dependants.set(needed, [...(dependants.get(needed) ?? []), id]);
  return reached(ids, (id) => dependants.get(id) ?? []);
}

function reached(ids: readonly string[], next: (id: string) => readonly string[]): Set<string> {
  const found = new Set(ids);
  // What is added while it goes on is visited, too.
  for (const id of found) for (const other of next(id)) found.add(other);
  return found;
}

/**
 * Waves in which these can be started: each needs only what an earlier wave has; stopping goes the other way. What is needed of others
 * than these does not count. Names are in the order of their code units.
 * @throws CONFLICT naming the services that need each other in a circle
 */
export function wavesOf(services: readonly Dependent[]): string[][] {
  const left = new Map(services.map(({ id, dependsOn }) => [id, new Set(dependsOn)]));
  for (const needs of left.values()) for (const id of needs) if (!left.has(id)) needs.delete(id);
  const waves: string[][] = [];
  while (left.size > 0) {
    const wave = [...left].filter(([, needs]) => needs.size === 0).map(([id]) => id);
    if (wave.length === 0) {
      const circle = circleIn(left).join(' → ');
      throw new DomainError('CONFLICT', `${circle} need each other; take one out of dependsOn in fleet.d`);
    }
    waves.push(wave.sort());
    for (const id of wave) left.delete(id);
    const done = new Set(wave);
    for (const needs of left.values()) for (const id of needs) if (done.has(id)) needs.delete(id);
  }
  return waves;
}

/** Each of them needs another one, so that a walk along what is needed comes back to where it was. */
function circleIn(needs: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const walked: string[] = [];
  let at = [...needs.keys()].sort()[0]!;
  while (!walked.includes(at)) {
    walked.push(at);
    at = [...needs.get(at)!].sort()[0]!;
  }
  return [...walked.slice(walked.indexOf(at)), at];
}
