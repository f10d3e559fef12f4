/** Area under the receiver operating characteristic: how often a positive scores over a negative, ties half (Mann and Whitney 1947). */
export function areaUnderCurve({
  positive,
  negative,
}: {
  positive: readonly number[];
  negative: readonly number[];
}): number {
  const sorted = negative.toSorted((a, b) => a - b);
  let over = 0;
  for (const score of positive) over += (countUnder(sorted, score, false) + countUnder(sorted, score, true)) / 2;
  return over / (positive.length * negative.length);
}

function countUnder(sorted: readonly number[], score: number, orEqual: boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < score || (orEqual && sorted[middle] === score)) low = middle + 1;
    else high = middle;
  }
  return low;
}
