import type { LoopModel } from './loop-manifest.ts';
import type { PackedMemory } from './loop-memories.ts';
import { extractiveVersion } from './extractive.ts';
import type { ModelTerms } from './model-licenses.ts';

export interface WritingModels {
  /** What the agent works with. */
  needed: string;
  /** Whose words go out: in reflections, in the persona. */
  writers: readonly string[];
  /** By fleet.yaml. */
  termsOf: (modelId: string) => ModelTerms;
  /** Of the package that the agent came with. */
  origin: readonly LoopModel[];
}

/**
 * The models of a package with their terms, the needed one first. What a package said stays said: a fleet that knows less of a
 * model, or calls another one by its name, does not free what was barred.
 */
export function loopModels({ needed, writers, termsOf, origin }: WritingModels): LoopModel[] {
  const others = new Set([...writers, ...origin.map(({ id }) => id)]);
  others.delete(needed);
  return [needed, ...[...others].sort()].map((id) => {
    const own = termsOf(id);
    const told = origin.find((model) => model.id === id);
    const barred = [own, told].find((terms) => terms?.commercialUse === 'barred');
    const { license, commercialUse } = barred ?? (told && told.commercialUse !== 'unknown' ? told : own);
    return { id, license, commercialUse };
  });
}

/**
 * Whose words go out in these memories: also of what was handed on to the agent, or has another in its place now, since that
 * stands here without the model that wrote it.
 * @param memories all of the agent's, with everything that theirs came from
 */
export function memoryWriters(goesIn: readonly PackedMemory[], memories: readonly PackedMemory[]): string[] {
  const byId = new Map(memories.map((memory) => [memory.id, memory]));
  const open = [...goesIn];
  const seen = new Set(open.map(({ id }) => id));
  const writers = new Set<string>();
  for (let memory = open.pop(); memory !== undefined; memory = open.pop()) {
    const { modelId, promptVersion, inheritedFrom, replaced } = memory;
    // The extractive summariser repeats words; no model wrote them.
    if (modelId !== '' && promptVersion !== extractiveVersion) writers.add(modelId);
    for (const id of inheritedFrom === undefined ? replaced : [inheritedFrom, ...replaced]) {
      const before = byId.get(id);
      if (before === undefined || seen.has(id)) continue;
      seen.add(id);
      open.push(before);
    }
  }
  return [...writers];
}
