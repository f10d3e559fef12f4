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
 * better than fusing ranks (Bruch et al. 2022, arXiv 2210.11934). Where nothing has a cosine, the text is all of it.
 */
export const cosineShare = 0.7;

/** Columns of one value a candidate, by place. */
export interface Candidates {
  count: number;
  /** Hours since the last use; before the first, since it happened. */
  hoursSinceUse: (place: number) => number;
  /** 1 to 10. */
  importance: (place: number) => number;
  /** −1 to 1; NaN where there is no vector, which counts as the least there is. Undefined where nothing was compared. */
  cosine: ArrayLike<number> | undefined;
  /**
   * How well the words of these places match, in [0, 1]; a place that is not in the answer does not match. Asked only for
   * places whose other parts leave it a chance.
   */
  textMatch: (places: readonly number[]) => Promise<ReadonlyMap<number, number>>;
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

/** Places whose words are looked at together; each further look takes four times as many. */
const firstLook = 256;

/**
 * The best `limit` of the candidates, best first. Exact: each candidate is scored without its words, and words are looked
 * at from the best score down until what words can add at most lifts no other into the best (the threshold algorithm of
 * Fagin et al. 2001, doi 10.1145/375551.375567).
 */
export async function retrieve(candidates: Candidates, weights: RetrievalWeights, limit: number): Promise<Retrieved[]> {
  const { count } = candidates;
  const recencies = scaled(count, (place) => recencyPerHour ** Math.max(0, candidates.hoursSinceUse(place)));
  const importances = scaled(count, candidates.importance);
  const { cosine } = candidates;
  const cosines = cosine ? scaled(count, (place) => cosine[place]!) : new Float64Array(count);
  const ofCosine = cosine ? cosineShare : 0;
  const before = (score: number, place: number, other: { score: number; place: number }) =>
    score !== other.score ? score > other.score : candidates.order(place) > candidates.order(other.place);

  const wordless = new Float64Array(count);
  const surest = new Best(limit, before);
  for (let place = 0; place < count; place += 1) {
    wordless[place] = scoreOf(place, 0).score;
    surest.offer(wordless[place]!, place, () => ({ place, score: wordless[place]! }));
  }
  const mostByWords = weights.relevance * (1 - ofCosine);
  const hopeful: number[] = [];
  const least = surest.least();
  for (let place = 0; place < count; place += 1) if (wordless[place]! + mostByWords >= least) hopeful.push(place);
  hopeful.sort((a, b) => wordless[b]! - wordless[a]!);

  const best = new Best<Retrieved>(limit, before);
  for (let from = 0, size = firstLook; from < hopeful.length; from += size, size *= 4) {
    if (wordless[hopeful[from]!]! + mostByWords < best.least()) break;
    const places = hopeful.slice(from, from + size);
    const matches = mostByWords > 0 ? await candidates.textMatch(places) : new Map<number, number>();
    for (const place of places) {
      const scored = scoreOf(place, matches.get(place) ?? 0);
      best.offer(scored.score, place, () => scored);
    }
  }
  return best.items;

  function scoreOf(place: number, text: number): Retrieved {
    const recency = recencies[place]!;
    const importance = importances[place]!;
    const relevance = ofCosine * cosines[place]! + (1 - ofCosine) * text;
    const score = weights.recency * recency + weights.importance * importance + weights.relevance * relevance;
    return { place, score, recency, importance, relevance };
  }
}

/** The first `limit` of what is offered, in order. */
class Best<Item extends { score: number; place: number }> {
  readonly items: Item[] = [];
  private readonly limit: number;
  private readonly before: (score: number, place: number, other: Item) => boolean;

  constructor(limit: number, before: (score: number, place: number, other: Item) => boolean) {
    this.limit = limit;
    this.before = before;
  }

  /** Below this nothing gets in. */
  least(): number {
    return this.items.length < this.limit ? Number.NEGATIVE_INFINITY : this.items.at(-1)!.score;
  }

  offer(score: number, place: number, make: () => Item): void {
    const last = this.items.at(-1);
    if (this.items.length === this.limit && last && !this.before(score, place, last)) return;
    let at = this.items.length;
    while (at > 0 && this.before(score, place, this.items[at - 1]!)) at -= 1;
    this.items.splice(at, 0, make());
    if (this.items.length > this.limit) this.items.pop();
  }
}

/** Min-max to [0, 1]; 0.5 where all are alike, as in the released code of the paper. NaN counts as the least. */
function scaled(count: number, valueOf: (place: number) => number): Float64Array {
  const values = new Float64Array(count);
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i += 1) {
    const value = valueOf(i);
    values[i] = value;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const span = most - least;
  for (let i = 0; i < count; i += 1) {
    const value = values[i]!;
    values[i] = Number.isNaN(value) ? 0 : span > 0 ? (value - least) / span : 0.5;
  }
  return values;
}
