import { z } from 'zod';
import { durationSchema, durationSeconds } from './durations.ts';

/** A token bucket: so many at once, and so many more an hour. */
const bucketSchema = z.strictObject({
  burst: z.number().min(0).max(100_000),
  perHour: z.number().min(0).max(100_000),
});

/** `spawning` of fleet.yaml: how whispers (requests for a persona) are admitted, and what a child is born with. */
export const spawningSchema = z.strictObject({
  /** Of the whole fleet. A token buys a try and is not given back, so that refusals cannot start work without end. */
  fleet: bucketSchema.default({ burst: 12, perHour: 2 }),
  /** Of each lineage. */
  lineage: bucketSchema.default({ burst: 3, perHour: 0.25 }),
  /** Steps from the first ancestor. */
  mostGenerations: z.int().min(0).max(1000).default(4),
  /** Living children of one agent, those under way included. */
  mostChildren: z.int().min(0).max(10_000).default(6),
  /** Children born within `window` ÷ living agents of the lineage, both with the one that asks: under 1. */
  growth: z.number().min(0).max(0.99).default(0.5),
  window: durationSchema.default('7d'),
  /** The nearest other persona may be this alike, by cosine. */
  mostAlike: z.number().min(0).max(1).default(0.9),
  /** Drafts, each from another seed, before a whisper is refused as too alike. */
  drafts: z.int().min(1).max(10).default(3),
  /** Share of its parent's ego (voting weight) that a child is given. */
  egoShare: z.number().min(0).max(0.5).default(0.1),
  /** Micro-ego that the parent keeps. */
  egoFloor: z.int().min(0).max(1_000_000).default(100_000),
  /** Memories of its parent that a child is born with. */
  inheritedMemories: z.int().min(1).max(50).default(8),
  /** `operator`: each birth waits for a person's word. */
  approval: z.enum(['none', 'operator']).default('none'),
  /** How long it waits. */
  deadline: durationSchema.default('3d'),
  /** Whether the birth of a cluster of agents whispers by itself, to one of its members. */
  fromClusters: z.boolean().default(true),
});
export type Spawning = z.infer<typeof spawningSchema>;

/** Micro-ego a child is given, or undefined where its parent would keep too little or have nothing to give. */
export function egoShareOf(parentEgo: number, { egoShare, egoFloor }: Spawning): number | undefined {
  const share = Math.floor(parentEgo * egoShare);
  return share > 0 && parentEgo - share >= egoFloor ? share : undefined;
}

export function windowSeconds({ window }: Spawning): number {
  return durationSeconds(window);
}
