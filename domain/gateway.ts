import { z } from 'zod';
import { durationSchema } from './durations.ts';
import { embeddingsAlias } from './embeddings.ts';
import { DomainError } from './errors.ts';
import type { Fleet, ModelVariant } from './fleet.ts';
import { backgroundPriority, restartPriority, waitedPriority } from './ladder.ts';
import { nearest } from './nearest.ts';

/** What speaks OpenAI's protocol to services: which models they may name, and what a request may ask for. */

/** `gateway` of fleet.yaml. */
export const gatewaySchema = z.strictObject({
  /** Other names that programs call a model by, such as `gpt-4o-mini: llama8b_q4`; `embeddings` is what memories are embedded with. */
  aliases: z.record(z.string().min(1).max(200), z.string().min(1).max(200)).default({}),
  /** Requests of one service that may be open at once; more are refused until some have ended. */
  openPerService: z.int().min(1).max(10_000).default(200),
  /** Bodies of all requests that one process of the API has open, in MiB; what does not fit is refused until some have ended. */
  openMiB: z.int().min(8).max(65_536).default(64),
  /** A request for which no machine serves the model fails after this long. */
  waitFor: durationSchema.default('1m'),
});

/** Between talk, which has a queue of its own, and sweeps: what a service says of a request in `X-Soulfra-Priority`. */
export const gatewayPriorities = {
  high: restartPriority,
  normal: waitedPriority,
  low: backgroundPriority + 1,
} as const;
export type GatewayPriority = keyof typeof gatewayPriorities;

export type GatewayTarget = { kind: 'chat'; modelId: string } | { kind: 'embeddings'; modelId: string };

export interface GatewayNames {
  /** By every name that a request may use. */
  targets: ReadonlyMap<string, GatewayTarget>;
  /** What a list of models shows: those that can be asked for now, by their own names and the owner's aliases. */
  listed: readonly string[];
}

/**
 * Every name of every model. A name that several could have belongs to the first of: a model's own id, an alias of fleet.yaml, a
 * model without its quantisation, what a model server calls it.
 * @param held ids of the models that the plan keeps on some machine
 */
export function gatewayNames(
  fleet: Pick<Fleet, 'gateway'>,
  variants: readonly ModelVariant[],
  { embedding, held }: { embedding: string; held: ReadonlySet<string> },
): GatewayNames {
  const targets = new Map<string, GatewayTarget>();
  const name = (alias: string, target: GatewayTarget | undefined) => {
    if (target !== undefined && !targets.has(alias)) targets.set(alias, target);
  };
  // Of two quantisations under one name the one that a machine holds is meant.
  const chats = [...variants].sort((a, b) => Number(held.has(b.id)) - Number(held.has(a.id)));
  const chat = ({ id }: ModelVariant): GatewayTarget => ({ kind: 'chat', modelId: id });
  for (const variant of chats) name(variant.id, chat(variant));
  name(embedding, { kind: 'embeddings', modelId: embedding });
  const own = new Map(targets);
  for (const variant of chats) own.set(variant.model.id, own.get(variant.model.id) ?? chat(variant));
  own.set(embeddingsAlias, { kind: 'embeddings', modelId: embedding });
  for (const [alias, target] of Object.entries(fleet.gateway.aliases)) name(alias, own.get(target));
  name(embeddingsAlias, own.get(embeddingsAlias));
  for (const variant of chats) name(variant.model.id, chat(variant));
  for (const variant of chats) for (const served of Object.values(variant.servedAs)) name(served, chat(variant));
  const canBeAsked = (target: GatewayTarget | undefined) =>
    target?.kind === 'embeddings' || held.has(target?.modelId ?? '');
  const shown = [...variants.map(({ id }) => id), embedding, ...Object.keys(fleet.gateway.aliases)];
  return { targets, listed: [...new Set(shown)].filter((id) => canBeAsked(targets.get(id))).sort() };
}

/** @throws MODEL_UNKNOWN naming those that can be asked for */
export function gatewayTarget(names: GatewayNames, asked: string): GatewayTarget {
  const target = names.targets.get(asked);
  if (target) return target;
  const close = nearest(asked, [...names.targets.keys()]);
  const guess = close === undefined ? '' : ` Did you mean ${close}?`;
  throw new DomainError(
    'MODEL_UNKNOWN',
    `there is no model ${asked.slice(0, 200)} here.${guess} Models that can be asked for: ${names.listed.join(', ') || 'none'}`,
    { fields: [{ path: 'model', rule: 'must be a model of this fleet', mend: 'See GET /openai/v1/models.' }] },
  );
}

/** Seconds until a place among open requests is likely to be free, by the seconds between the last ends. */
export function retryAfterSeconds(secondsBetweenEnds: number | undefined): number {
  return Math.max(1, Math.min(60, Math.ceil(secondsBetweenEnds ?? 5)));
}
