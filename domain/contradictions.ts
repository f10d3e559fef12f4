import type { MemoryWords, SentenceWords, TimeKind } from './memory-words.ts';
import { opposedTo } from './opposites.ts';

/** In what two memories of one thing disagree, word against word. */
export interface Opposition {
  by: 'denial' | 'opposite' | 'count' | TimeKind;
  one: string;
  other: string;
}

/** Terms beside the opposed ones that two sentences must share before they can speak of one thing. */
const leastShared = 2;

/**
 * The first disagreement of two texts that are known to speak of the same event, found without a model: two sentences
 * share at least two terms, and of one shared term the one denies what the other says; or the one has an everyday opposite
 * of the other's word; or they count the same thing differently; or they name another weekday, month or date. After the
 * classes of de Marneffe, Rafferty and Manning 2008 (Finding Contradictions in Text: antonymy, negation, date and number
 * mismatch). What is opposed by its sense alone — `the key hung on its nail`, `the nail was bare` — it does not see.
 */
export function oppositionOf(a: MemoryWords, b: MemoryWords): Opposition | undefined {
  for (const one of a.sentences) {
    for (const other of b.sentences) {
      const shared = [...one.terms].filter((term) => other.terms.has(term));
      if (shared.length < leastShared) continue;
      const found = counted(one, other) ?? timed(one, other) ?? denied(one, other, shared) ?? opposed(one, other);
      if (found) return found;
    }
  }
  return undefined;
}

function denied(one: SentenceWords, other: SentenceWords, shared: readonly string[]): Opposition | undefined {
  if (shared.length <= leastShared) return undefined;
  // What both deny they agree on, however differently they put the rest.
  if (shared.some((each) => one.denied.has(each) && other.denied.has(each))) return undefined;
  const term = shared.find((each) => one.denied.has(each) !== other.denied.has(each));
  if (term === undefined) return undefined;
  const said = (sentence: SentenceWords) => (sentence.denied.has(term) ? `not ${term}` : term);
  return { by: 'denial', one: said(one), other: said(other) };
}

function opposed(one: SentenceWords, other: SentenceWords): Opposition | undefined {
  for (const term of one.terms) {
    if (other.terms.has(term)) continue;
    for (const opposite of opposedTo(term)) {
      if (!other.terms.has(opposite) || one.terms.has(opposite)) continue;
      // Denied on one side, opposites agree.
      if (one.denied.has(term) !== other.denied.has(opposite)) continue;
      return { by: 'opposite', one: term, other: opposite };
    }
  }
  return undefined;
}

function counted(one: SentenceWords, other: SentenceWords): Opposition | undefined {
  for (const [what, count] of one.counts) {
    const against = other.counts.get(what);
    if (against !== undefined && against !== count) {
      return { by: 'count', one: `${count} ${what}`, other: `${against} ${what}` };
    }
  }
  return undefined;
}

function timed(one: SentenceWords, other: SentenceWords): Opposition | undefined {
  for (const [kind, time] of one.times) {
    const against = other.times.get(kind);
    if (time && against && against !== time) return { by: kind, one: time, other: against };
  }
  return undefined;
}
