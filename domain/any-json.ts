/** How deep JSON of others may be nested here: whoever reads it by recursion still can. */
export const mostJsonDepth = 200;

/**
 * The same text for the same JSON, in whatever order its fields came: to be hashed, never to be signed or read again. Unlike
 * canonicalJson it takes whatever JSON.parse gives.
 */
export function hashTextOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(hashTextOf).join(',')}]`;
  if (!isNested(value)) return JSON.stringify(value);
  // Pairs, since a field may be named __proto__. Left out as JSON.stringify leaves it out: undefined.
  const fields = Object.entries(value).filter(([, held]) => held !== undefined);
  const sorted = fields.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${sorted.map(([name, held]) => `${JSON.stringify(name)}:${hashTextOf(held)}`).join(',')}}`;
}

/** Without recursion, which is what very deep JSON would break. */
export function isDeeperThan(value: unknown, most: number): boolean {
  let level = isNested(value) ? [value] : [];
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > most) return true;
    level = level.flatMap((one) => Object.values(one).filter(isNested));
  }
  return false;
}

function isNested(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
