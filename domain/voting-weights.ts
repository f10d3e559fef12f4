/**
 * The most micro-ego that one lineage may have in an electorate: the greatest whole number by which no lineage has more than
 * `percent` of what all have after the cut. With k of them cut to C and `rest` held by the others, C = p · rest / (1 − k · p). Fewer
 * lineages than 100 / percent cannot all stay under it: then all have what the lightest has, which is the least share there is.
 * @param totals micro-ego by lineage
 * @returns null where no lineage is over it
 */
export function lineageCap(totals: readonly number[], percent: number): number | null {
  const held = totals.filter((total) => total > 0).toSorted((a, b) => b - a);
  if (held.length < 2) return null;
  let rest = held.reduce((sum, total) => sum + BigInt(total), 0n);
  if (BigInt(held[0]!) * 100n <= rest * BigInt(percent)) return null;
  for (const [place, total] of held.slice(0, -1).entries()) {
    rest -= BigInt(total);
    const left = 100n - BigInt(place + 1) * BigInt(percent);
    if (left <= 0n) break;
    const cap = (BigInt(percent) * rest) / left;
    if (cap >= BigInt(held[place + 1]!)) return Number(cap);
  }
  return held.at(-1)!;
}

/** What a member keeps of its ego where its lineage is cut; never more than its part. The store does the same in SQL. */
export function cappedWeight(ego: number, lineageTotal: number, cap: number | null): number {
  if (cap === null || lineageTotal <= cap) return ego;
  return Number((BigInt(ego) * BigInt(cap)) / BigInt(lineageTotal));
}
