/** What a figure of `npm run bench -- deploy` must be: that value, or at least so much. */
type Bound = { is: unknown } | { least: number };
const is = (value: unknown): Bound => ({ is: value });

/** By the parts that measure them; `short` is what the boxes measure with `--short`. A figure that is not there is out of bounds. */
const bounds = {
  short: { healthy: is(true), second_apply_changes: is(0), refused_untrusted: is(true) },
  ready: { ready: is(true) },
  boxes: {
    lost: is(0),
    restore_equal: is(true),
    promoted_after_a_kill: is(true),
    old_one_stays_out: is(true),
  },
  promote: {
    'promotion.synchronous.acknowledged': { least: 200 },
    'promotion.synchronous.lost': is(0),
    'promotion.synchronous.acknowledged_without_standby': is(0),
    'promotion.synchronous.old_one_stays_out': is(true),
    'promotion.fenced.acknowledged': { least: 200 },
    'promotion.fenced.lost': is(0),
    'promotion.cut.acknowledged': { least: 200 },
    'promotion.cut.lost': is(0),
    'promotion.cut.acknowledged_behind_it': is(0),
    'promotion.cut.old_one_is_fenced': is(true),
    'promotion.asynchronous.acknowledged': { least: 200 },
    'promotion.asynchronous.alarmed': is(true),
    'promotion.asynchronous.refused': is(true),
    'promotion.asynchronous.lost_untold': is(0),
  },
  upgrade: {
    upgrade_nondeterminism: is(0),
    'upgrade.older_refuses_newer_data': is(true),
    'upgrade.broken.length': is(0),
  },
} satisfies Record<string, Record<string, Bound>>;

/** @returns names of figures that are not as they must be, or were not measured by a part that measures them */
export function outOfBounds(
  figures: object,
  { phases, isShort, agents }: { phases: readonly string[]; isShort: boolean; agents: number },
): string[] {
  const asked = phases.flatMap((phase): Array<Record<string, Bound>> => {
    if (phase !== 'boxes') return [bounds[phase as keyof typeof bounds]];
    // Nothing is lost of nothing.
    const dealt = { acknowledged: { least: agents / 2 } };
    return isShort ? [bounds.short] : [bounds.short, bounds.ready, bounds.boxes, dealt];
  });
  return asked
    .flatMap((part) => Object.entries(part))
    .filter(([path, bound]) => {
      const found = path
        .split('.')
        .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], figures);
      return 'is' in bound ? found !== bound.is : typeof found !== 'number' || !(found >= bound.least);
    })
    .map(([path]) => path);
}
