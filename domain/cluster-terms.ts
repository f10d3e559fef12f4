import { termsOf } from './terms.ts';

/** Something a member of a cluster said. */
export interface SaidByMember {
  id: string;
  agentId: string;
  text: string;
}

/** A word that sets a cluster apart, and who said it where. */
export interface ClusterTerm {
  term: string;
  /** Ids of outputs that hold it, of different members as far as there are. */
  outputs: string[];
}

const termsShown = 5;
const outputsShown = 3;
/** A word of one member alone says nothing of the group. */
const leastSpeakers = 2;

/**
 * The words that tell each cluster from the others: class-based tf-idf, how often a word is said in the cluster times
 * log(1 + average words of a cluster ÷ how often it is said in all) (Grootendorst 2022, arXiv 2203.05794). An output counts
 * a word once. Only words that members said; ties go to the word that comes first.
 */
export function clusterTerms(clusters: ReadonlyArray<readonly SaidByMember[]>): ClusterTerm[][] {
  const everywhere = new Map<string, number>();
  const within = clusters.map((said) => {
    const terms = new Map<string, SaidByMember[]>();
    for (const output of said) {
      for (const term of new Set(termsOf(output.text).map(([word]) => word))) {
        const holders = terms.get(term);
        if (holders) holders.push(output);
        else terms.set(term, [output]);
        everywhere.set(term, (everywhere.get(term) ?? 0) + 1);
      }
    }
    return terms;
  });
  const words = [...everywhere.values()].reduce((sum, count) => sum + count, 0);
  const average = words / Math.max(1, clusters.length);
  return within.map((terms) => {
    const own = [...terms.values()].reduce((sum, holders) => sum + holders.length, 0);
    return [...terms]
      .filter(([, holders]) => new Set(holders.map(({ agentId }) => agentId)).size >= leastSpeakers)
      .map(([term, holders]) => ({
        term,
        holders,
        weight: (holders.length / own) * Math.log(1 + average / everywhere.get(term)!),
      }))
      .sort((a, b) => b.weight - a.weight || (a.term < b.term ? -1 : 1))
      .slice(0, termsShown)
      .map(({ term, holders }) => ({ term, outputs: spread(holders) }));
  });
}

/** Of each member one, then again. */
function spread(holders: readonly SaidByMember[]): string[] {
  const firsts = holders.filter((each, i) => holders.findIndex(({ agentId }) => agentId === each.agentId) === i);
  const others = holders.filter((each) => !firsts.includes(each));
  return [...firsts, ...others].slice(0, outputsShown).map(({ id }) => id);
}

/** The sentence of a text that holds the term, as it was said; undefined where none does any more. */
export function quoteOf(text: string, term: string): string | undefined {
  const sentences =
    text
      .replace(/\s+/gu, ' ')
      .trim()
      .match(/[^.!?。！？]+[.!?。！？]*["”’)]*/gu) ?? [];
  const found = sentences.find((sentence) => termsOf(sentence).some(([word]) => word === term));
  return found?.trim();
}
