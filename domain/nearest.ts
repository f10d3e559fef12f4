/** Optimal string alignment: insert, delete, replace or swap of neighbours each cost one. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? beforeLast[j - 2]! + 1 : Infinity;
      row.push(Math.min(last[j]! + 1, row[j - 1]! + 1, replace, swap));
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}

/** The known word most likely meant by a misspelt one; none when nothing is near enough to be worth suggesting. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  const asked = word.toLowerCase().replaceAll(/[-_ ]/g, '');
  let best: { word: string; distance: number } | undefined;
  for (const candidate of known) {
    const plain = candidate.toLowerCase().replaceAll(/[-_ ]/g, '');
    const begins = asked.length >= 3 && (plain.startsWith(asked) || asked.startsWith(plain));
    const distance = begins ? Math.min(1, editDistance(asked, plain)) : editDistance(asked, plain);
    const limit = Math.max(1, Math.floor(plain.length / 3));
    if (distance <= limit && (best === undefined || distance < best.distance)) best = { word: candidate, distance };
  }
  return best?.word;
}
