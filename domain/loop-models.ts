import type { LoopModel } from './loop-manifest.ts';
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
