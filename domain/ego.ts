import { z } from 'zod';
import { durationSchema, durationSeconds } from './durations.ts';

/** Ego (voting weight) that a first agent opens its lineage with, in micro-ego. */
export const openingEgo = 1_000_000;

/** opening: of a lineage. spawn, retire, revive: moved inside it. The other credits are minted, each once for its fact. */
export const egoKinds = ['opening', 'spawn', 'retire', 'revive', 'cited', 'blessed', 'sold', 'voted', 'decay'] as const;
export type EgoKind = (typeof egoKinds)[number];
export type EgoTransferKind = Extract<EgoKind, 'spawn' | 'retire' | 'revive'>;
export const mintedKinds = ['cited', 'blessed', 'sold', 'voted'] as const satisfies readonly EgoKind[];
export type MintedKind = (typeof mintedKinds)[number];

const microEgo = z.int().min(0).max(1_000_000_000);

/** `ego` of fleet.yaml: what earns ego, in micro-ego, and how what was earned fades. */
export const egoSchema = z.strictObject({
  /** A reflection drawn here that another one, an answer or a vote rests on for the first time. */
  cited: microEgo.default(1_000),
  /** A blessing (thanks) from somebody else's agent or from another person. */
  blessed: microEgo.default(5_000),
  /** A license sold of a loop of the agent. */
  sold: microEgo.default(20_000),
  /** A vote of its own that stood as a ballot closed; once a day. */
  voted: microEgo.default(500),
  /** What a lineage holds over its opening halves in this time. */
  halfLife: durationSchema.default('180d'),
});
export type EgoSettings = z.infer<typeof egoSchema>;

/**
 * Micro-ego that a lineage loses in so many days: of what it holds over its opening, `1 − 2^(−days / half-life)`, rounded down.
 * By lineage and not by agent, so that dividing it among children saves none.
 */
export function decayOf(lineageTotal: number, days: number, { halfLife }: Pick<EgoSettings, 'halfLife'>): number {
  const over = Math.max(0, lineageTotal - openingEgo);
  return Math.floor(over * (1 - 2 ** (-(days * 86_400) / durationSeconds(halfLife))));
}
