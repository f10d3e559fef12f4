/** Which models leave memory because nothing calls them. Pure: what was seen and the time come in. */

/** How a model of the plan is used on one machine; times are milliseconds of one clock. */
export interface ModelUse {
  /** Calls that have it, or wait here for it. */
  inHand: number;
  /** When the last of them ended, or it was loaded. */
  usedAt: number;
}

/** The models that nothing has in hand and nothing has used for `afterMs`. */
export function idleModels(
  uses: Iterable<readonly [modelId: string, use: ModelUse]>,
  at: { now: number; afterMs: number },
): string[] {
  return [...uses].flatMap(([modelId, { inHand, usedAt }]) =>
    inHand === 0 && at.now - usedAt >= at.afterMs ? [modelId] : [],
  );
}
