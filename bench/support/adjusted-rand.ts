/** Agreement of two clusterings, 1 for the same and about 0 for chance (Hubert and Arabie 1985). Noise is a group like any other. */
export function adjustedRandIndex(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const cells = new Map<string, number>();
  const rows = new Map<number, number>();
  const columns = new Map<number, number>();
  for (let i = 0; i < a.length; i += 1) {
    count(cells, `${a[i]} ${b[i]}`);
    count(rows, a[i]!);
    count(columns, b[i]!);
  }
  const together = pairsIn(cells.values());
  const inRows = pairsIn(rows.values());
  const inColumns = pairsIn(columns.values());
  const expected = (inRows * inColumns) / pairs(a.length);
  const most = (inRows + inColumns) / 2;
  return most === expected ? 1 : (together - expected) / (most - expected);
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function pairs(n: number): number {
  return (n * (n - 1)) / 2;
}

function pairsIn(counts: Iterable<number>): number {
  let sum = 0;
  for (const each of counts) sum += pairs(each);
  return sum;
}
