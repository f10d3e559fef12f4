/**
 * Which memories come to mind: recency + importance + relevance, each scaled to [0, 1] over the candidates, weighted and
 * added (Park et al. 2023, arXiv 2304.03442). Added, never multiplied: a factor near zero would hide the rest.
 */
export interface RetrievalWeights {
  recency: number;
  importance: number;
  relevance: number;
}

export const evenWeights: RetrievalWeights = { recency: 1, importance: 1, relevance: 1 };

/** Each hour since a memory was last used leaves this much of its recency. */
export const recencyPerHour = 0.995;

/**
 * How much of relevance is cosine, the rest full text: a convex combination of the two, each scaled to [0, 1], ranks
 * better than fusing ranks (Bruch et al. 2022, arXiv 2210.11934).
 */
export const cosineShare = 0.7;

/** Columns of one value a candidate, by place. */
export interface Candidates {
  count: number;
  /** Hours since the last use; before the first, since it happened. */
  hoursSinceUse: (place: number) => number;
  /** 1 to 10. */
  importance: (place: number) => number;
  /** −1 to 1; undefined where there is no vector, which counts as the least there is. */
  cosine: ArrayLike<number>;
  /** Full-text rank by place, over 0; a place that is not named does not match. */
  textRank: ReadonlyMap<number, number>;
  /** Order of equal scores: the higher first. Different for each candidate. */
  order: (place: number) => number;
}

export interface Retrieved {
  place: number;
  score: number;
  recency: number;
  importance: number;
  relevance: number;
}

/** The best `limit` of the candidates, best first. Exact: every candidate is scored. */
export function retrieve(candidates: Candidates, weights: RetrievalWeights, limit: number): Retrieved[] {
  const { count, cosine, textRank } = candidates;
  const recencies = new Float64Array(count);
  const importances = new Float64Array(count);
  const relevances = new Float64Array(count);
  for (let place = 0; place < count; place += 1) {
    recencies[place] = recencyPerHour ** Math.max(0, candidates.hoursSinceUse(place));
    importances[place] = candidates.importance(place);
    relevances[place] = cosine[place]!;
  }
  scale(recencies);
  scale(importances);
  scale(relevances);
  let bestRank = 0;
  for (const rank of textRank.values()) bestRank = Math.max(bestRank, rank);
  const best: Retrieved[] = [];
  for (let place = 0; place < count; place += 1) {
    const text = bestRank === 0 ? 0 : (textRank.get(place) ?? 0) / bestRank;
    const relevance = cosineShare * relevances[place]! + (1 - cosineShare) * text;
    const score =
      weights.recency * recencies[place]! + weights.importance * importances[place]! + weights.relevance * relevance;
    const last = best.at(-1);
    if (best.length === limit && last && !goesBefore(score, place, last)) continue;
    let at = best.length;
    while (at > 0 && goesBefore(score, place, best[at - 1]!)) at -= 1;
    best.splice(at, 0, { place, score, recency: recencies[place]!, importance: importances[place]!, relevance });
    if (best.length > limit) best.pop();
  }
  return best;

  function goesBefore(score: number, place: number, other: Retrieved): boolean {
    if (score !== other.score) return score > other.score;
    return candidates.order(place) > candidates.order(other.place);
  }
}

/** Min-max to [0, 1], in place; 0.5 where all are alike, as in the released code of the paper. NaN counts as the least. */
function scale(values: Float64Array): void {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const span = most - least;
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i]!;
    values[i] = Number.isNaN(value) ? 0 : span > 0 ? (value - least) / span : 0.5;
  }
}
