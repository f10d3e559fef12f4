import { singular } from './terms.ts';
import { stopWords } from './stop-words.ts';

/** One sentence as the rules of threads read it. */
export interface SentenceWords {
  /** Words that can be a subject or say something of one, each once. */
  terms: ReadonlySet<string>;
  /** Those of them that the sentence denies. */
  denied: ReadonlySet<string>;
  /** How many of what: `forty people` is 40 by `people`. */
  counts: ReadonlyMap<string, number>;
  /** The weekday, month, date or clock time that it names; empty where it names several of a kind. */
  times: ReadonlyMap<TimeKind, string>;
  /** Runs of four words within a clause that nobody says of himself: what comes back when the sentence is told on. */
  runs: ReadonlySet<string>;
  /** Its first three words, names and prepositions masked, and the names: said of others it is a manner of speaking. */
  opening: string;
  names: string;
}
export type TimeKind = 'weekday' | 'month' | 'date';

export interface MemoryWords {
  sentences: readonly SentenceWords[];
  /** Terms of all sentences and of the name of whoever remembers: who saw it is part of what was seen. */
  terms: ReadonlySet<string>;
  runs: ReadonlySet<string>;
}

const runLength = 4;
const openingLength = 3;
/** Content words behind a denial that it covers, up to the next clause. */
const denialReach = 3;
/** More of a text is not read: the longest that the API takes has twice as many. */
const mostWords = 600;

const words = (list: string) => new Set(list.trim().split(/\s+/));
const denials = words(`no not never nobody none nothing nor neither without hardly cannot barely scarcely`);
/** A denial does not reach past these. */
const bounds =
  words(`in on at by from to into onto with about above across after against along among around before behind
  below beneath beside between beyond inside near over past through toward towards under upon within
  that which who but and or though because when while if until than as for`);
/** Before these `one` is somebody, not a number. */
const beforeOne = words(`every any no each some this that which another not`);
const ownWords = words(`i me my mine myself we us our ours ourselves i'm i've i'd i'll we've we'd we'll`);
const weekdays = words(`monday tuesday wednesday thursday friday saturday sunday`);
const months = words(`january february march april may june july august september october november december`);
const units = `zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
  seventeen eighteen nineteen`.split(/\s+/);
const tens = `twenty thirty forty fifty sixty seventy eighty ninety`.split(' ');
const numbers = new Map<string, number>([
  ...units.map((word, i): [string, number] => [word, i]),
  ...tens.flatMap(
    (word, i): Array<[string, number]> => [
      [word, (i + 2) * 10],
      ...units.slice(1, 10).map((unit, j): [string, number] => [`${word}-${unit}`, (i + 2) * 10 + j + 1]),
    ],
  ),
  ['dozen', 12],
  ['hundred', 100],
  ['thousand', 1000],
]);

/**
 * Reads a text for the rules of threads. Denials, numbers in words and days are English; in other languages terms, names
 * and runs still hold.
 */
export function memoryWords(text: string, rememberer: string): MemoryWords {
  const sentences: SentenceWords[] = [];
  let left = mostWords;
  for (const part of text.split(/(?<=[.!?。！？])\s+/u)) {
    const tokens = [...part.matchAll(/[\p{L}\p{N}][\p{L}\p{M}\p{N}’'-]*|[,;:.!?—–。！？]/gu)]
      .map(([token]) => token.replaceAll('’', "'"))
      .slice(0, left);
    if (tokens.length === 0) continue;
    left -= tokens.length;
    sentences.push(sentenceWords(tokens));
    if (left <= 0) break;
  }
  const terms = new Set(sentences.flatMap((sentence) => [...sentence.terms]));
  for (const term of termsOfName(rememberer)) terms.add(term);
  return { sentences, terms, runs: new Set(sentences.flatMap((sentence) => [...sentence.runs])) };
}

/** What the name adds, as it would stand in another's text. */
function termsOfName(name: string): string[] {
  const tokens = name.split(/\s+/u).filter((token) => token !== '');
  return [
    ...fullNames(tokens),
    ...tokens.flatMap((token, i) => (isSecondName(tokens, i) ? [] : (termOf(token) ?? []))),
  ];
}

function sentenceWords(tokens: readonly string[]): SentenceWords {
  const named = tokens.filter((token, i) => isLarge(token) && (i > 0 || isLarge(tokens[1])));
  const names = new Set(named.map(plainWord));
  const plain = tokens.filter(isWord).map(plainWord);
  const masked = plain.map((word) => (names.has(word) ? '·' : bounds.has(word) ? '~' : word));
  return {
    ...saidOf(tokens),
    runs: runsOf(tokens),
    opening: masked
      .filter((word, i) => word !== '·' || masked[i - 1] !== '·')
      .slice(0, openingLength)
      .join(' '),
    names: [...names].sort().join(' '),
  };
}

function runsOf(tokens: readonly string[]): Set<string> {
  const runs = new Set<string>();
  let clause: string[] = [];
  const close = () => {
    for (let i = 0; i + runLength <= clause.length; i += 1) runs.add(clause.slice(i, i + runLength).join(' '));
    clause = [];
  };
  for (const token of tokens) {
    const word = plainWord(token);
    if (!isWord(token) || ownWords.has(word)) close();
    else clause.push(word);
  }
  close();
  return runs;
}

function saidOf(tokens: readonly string[]): Pick<SentenceWords, 'terms' | 'denied' | 'counts' | 'times'> {
  const terms = new Set(fullNames(tokens));
  const denied = new Set<string>();
  const counts = new Map<string, number>();
  const times = new Map<TimeKind, string>();
  let reach = 0;
  let count: number | undefined;
  for (const [i, token] of tokens.entries()) {
    const word = plainWord(token);
    if (!isWord(token)) {
      reach = 0;
      count = undefined;
      continue;
    }
    const time = timeOf(word, token);
    if (time !== undefined) times.set(time, (times.get(time) ?? word) === word ? word : '');
    if (denials.has(word) || word.endsWith("n't")) {
      reach = denialReach;
      count = undefined;
      continue;
    }
    if (bounds.has(word)) reach = 0;
    const number = numberOf(word, tokens[i - 1], tokens[i + 1]);
    if (number !== undefined) {
      // `not twenty of us` denies the number, and nothing of what follows.
      reach = 0;
      // `two hundred` is 200; what does not build up counts anew.
      count = count !== undefined && number >= 100 && count < number ? count * number : number;
      continue;
    }
    // All first words are written large, so there a short one is no name.
    const term = isSecondName(tokens, i) ? undefined : termOf(i === 0 ? word : token);
    if (term === undefined) continue;
    terms.add(term);
    if (reach > 0 && !isLarge(token)) denied.add(term);
    reach -= 1;
    if (count !== undefined) counts.set(term, count);
    count = undefined;
  }
  return { terms, denied, counts, times };
}

function numberOf(word: string, before = '', after = ''): number | undefined {
  if (word === 'one' && (beforeOne.has(plainWord(before)) || plainWord(after) === 'of')) return undefined;
  return numbers.get(word) ?? (/^\d{1,9}$/.test(word) ? Number(word) : undefined);
}

/** Two words written large side by side: `Una Breck` says more than `Una` and `Breck`, which others are called too. */
function fullNames(tokens: readonly string[]): string[] {
  return tokens.flatMap((token, i) => {
    const next = tokens[i + 1];
    return isLarge(token) && isLarge(next) ? [`${plainWord(token)} ${plainWord(next!)}`] : [];
  });
}

/** The full name says it; by itself it would count the same name twice. */
function isSecondName(tokens: readonly string[], i: number): boolean {
  return isLarge(tokens[i]) && isLarge(tokens[i - 1]);
}

/** A word that can be a subject: four letters or more, a name two, no stop word, plural like singular. */
function termOf(token: string): string | undefined {
  const word = plainWord(token);
  const latin = /^[\p{Script=Latin}\p{N}'-]+$/u.test(word);
  const least = latin && !isLarge(token) ? 4 : 2;
  if (word.length < least || stopWords.has(word) || ownWords.has(word)) return undefined;
  return singular(word);
}

function isWord(token: string): boolean {
  return /[\p{L}\p{N}]/u.test(token);
}

function isLarge(token: string | undefined): boolean {
  return token !== undefined && /^\p{Lu}\p{L}/u.test(token);
}

function plainWord(token: string): string {
  return token.toLowerCase().replace(/'s$|[^\p{L}\p{N}]+$/u, '');
}

function timeOf(word: string, token: string): TimeKind | undefined {
  if (weekdays.has(word)) return 'weekday';
  if (months.has(word) && isLarge(token)) return 'month';
  if (/^\d{4}-\d{2}-\d{2}$/.test(word)) return 'date';
  return undefined;
}
