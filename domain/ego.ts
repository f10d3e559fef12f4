/** Ego (voting weight) that a first agent opens its lineage with, in micro-ego. It is shared out in it, never added to. */
export const openingEgo = 1_000_000;

export const egoKinds = ['opening', 'spawn', 'retire', 'revive'] as const;
export type EgoKind = (typeof egoKinds)[number];
