/** A thing with a name of its own and plain JSON fields. */
export type Thing = Readonly<Record<string, unknown>>;

/** What has to be done to the file that a person may have edited. */
export type Change =
  | { kind: 'add'; key: string; thing: Thing }
  | { kind: 'remove'; key: string }
  | { kind: 'set'; key: string; field: string; value: unknown }
  | { kind: 'unset'; key: string; field: string };

/** Both sides changed the same thing since the last time; what the hand wrote stays. */
export interface Conflict {
  key: string;
  /** Absent: the whole thing. */
  field?: string;
  kept: unknown;
  offered: unknown;
}

export interface Merge {
  changes: Change[];
  conflicts: Conflict[];
}

/**
 * What the repository says now is brought into the file of a person, against what the repository said last time: what only the
 * repository changed is taken, what the person changed stays, and where both did the person's stays and the conflict is told.
 */
export function threeWay(
  base: readonly Thing[],
  mine: readonly Thing[],
  theirs: readonly Thing[],
  keyField: string,
): Merge {
  const [before, here, offered] = [base, mine, theirs].map(
    (things) => new Map(things.map((thing) => [String(thing[keyField]), thing])),
  ) as [Map<string, Thing>, Map<string, Thing>, Map<string, Thing>];
  const merge: Merge = { changes: [], conflicts: [] };
  for (const key of [...new Set([...here.keys(), ...offered.keys()])].toSorted(byCodeUnit)) {
    mergeOne(key, { base: before.get(key), mine: here.get(key), theirs: offered.get(key) }, merge);
  }
  return merge;
}

interface Sides<T> {
  base: T | undefined;
  mine: T | undefined;
  theirs: T | undefined;
}

function mergeOne(key: string, { base, mine, theirs }: Sides<Thing>, { changes, conflicts }: Merge): void {
  if (mine === undefined) {
    if (base === undefined) changes.push({ kind: 'add', key, thing: theirs! });
    else if (!same(base, theirs)) conflicts.push({ key, kept: undefined, offered: theirs });
    return;
  }
  if (theirs === undefined) {
    if (base === undefined) return;
    if (same(base, mine)) changes.push({ kind: 'remove', key });
    else conflicts.push({ key, kept: mine, offered: undefined });
    return;
  }
  for (const field of new Set([...Object.keys(mine), ...Object.keys(theirs)])) {
    const [b, m, t] = [base?.[field], mine[field], theirs[field]];
    if (same(t, b) || same(m, t)) continue;
    if (!same(m, b)) conflicts.push({ key, field, kept: m, offered: t });
    else if (t === undefined) changes.push({ kind: 'unset', key, field });
    else changes.push({ kind: 'set', key, field, value: t });
  }
}

/** Of plain JSON; the order of keys is no difference. */
function same(a: unknown, b: unknown): boolean {
  return text(a) === text(b);
}

function text(value: unknown): string {
  return (
    JSON.stringify(value, (_, inner: unknown) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => byCodeUnit(a, b)))
        : inner,
    ) ?? ''
  );
}

/** The same order on every host, whatever its language. */
export function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
