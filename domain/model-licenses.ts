import type { Fleet } from './fleet.ts';

/** Whether what a model wrote may be sold. `unknown` is no yes: whoever sells has to find out. */
export const commercialUses = ['allowed', 'barred', 'unknown'] as const;
export type CommercialUse = (typeof commercialUses)[number];

/**
 * By the name of a license, as fleet.yaml gives it: SPDX identifiers and the names that models are published under. Where the
 * terms have conditions (Llama: under 700 million users a month; Gemma: a list of uses) it is allowed, since they bar no sale.
 */
const known: ReadonlyArray<readonly [RegExp, Exclude<CommercialUse, 'unknown'>]> = [
  [/\bnc\b|non-?commercial|research/, 'barred'],
  [
    /^(apache-2\.0|mit|mit-0|bsd-[23]-clause|isc|unlicense|cc0-1\.0|cc-by(-sa)?-[34]\.0|openrail\+?\+?-?m?)$/,
    'allowed',
  ],
  [/^llama[ -]?[234](\.\d)?([ -]community)?([ -]license)?$/, 'allowed'],
  [/^gemma([ -]terms)?$/, 'allowed'],
  [/^qwen([ -]license)?$/, 'allowed'],
];

export interface ModelTerms {
  /** As it is written in fleet.yaml; null: it says none. */
  license: string | null;
  commercialUse: CommercialUse;
}

/** What fleet.yaml says itself comes first; else what is known of the license by its name. */
export function modelTerms({
  license,
  commercialUse,
}: {
  license?: string | undefined;
  commercialUse?: boolean | undefined;
}): ModelTerms {
  if (commercialUse !== undefined)
    return { license: license ?? null, commercialUse: commercialUse ? 'allowed' : 'barred' };
  const name = (license ?? '').trim().toLowerCase();
  const [, use] = known.find(([names]) => names.test(name)) ?? [undefined, 'unknown' as const];
  return { license: license ?? null, commercialUse: use };
}

/** The terms of a model by its id, `<model>_<quantisation>`; unknown ones where fleet.yaml names no such model. */
export function termsInFleet({ models }: Pick<Fleet, 'models'>, modelId: string): ModelTerms {
  const model = models.find(({ id, quantisations }) =>
    Object.keys(quantisations).some((quantisation) => modelId === `${id}_${quantisation}`),
  );
  return modelTerms(model ?? {});
}
