/** The words of a text, whatever its case, marks, spaces and widths. */
export function normalisedText(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
}

/** Two thoughts this near to each other say the same (Park et al. 2023 store such pairs; see docs/memory.md). */
export const repeatedCosine = 0.95;
/** The same for words, where there is no vector: shared words ÷ all words. */
const repeatedWords = 0.9;

/** Whether two texts are word for word nearly the same. */
export function nearlySameWords(a: string, b: string): boolean {
  const [one, other] = [normalisedText(a), normalisedText(b)];
  if (one === other) return true;
  const [words, others] = [new Set(one.split(' ')), new Set(other.split(' '))];
  let shared = 0;
  for (const word of words) if (others.has(word)) shared += 1;
  return shared / (words.size + others.size - shared) >= repeatedWords;
}

/** So many words in a row, of one text found in another, are a quote; of a shorter text all of it. */
const quotedWords = 5;

/** Finds out whether a text quotes this one word for word, whatever its case and marks. Of scripts without spaces a sign is a word. */
export function quoteFinder(source: string): (text: string) => boolean {
  return anyQuoteFinder([source]);
}

/** The same for many texts, each of which is read once. */
export function anyQuoteFinder(sources: Iterable<string>): (text: string) => boolean {
  const known = new Set<string>();
  const runsByLength = new Map<number, Set<string>>();
  for (const source of sources) {
    const words = wordsOf(source);
    const length = Math.min(quotedWords, words.length);
    if (length === 0) continue;
    for (const word of words) known.add(word);
    const runs = runsByLength.get(length) ?? new Set();
    for (const run of runsOf(words, length)) runs.add(run);
    runsByLength.set(length, runs);
  }
  return (text) => {
    const words = wordsOf(text);
    // Most texts never say so many of the known words in a row: only then the run itself is looked up.
    let streak = 0;
    for (let i = 0; i < words.length; i += 1) {
      streak = known.has(words[i]!) ? streak + 1 : 0;
      for (const [length, runs] of runsByLength) {
        if (streak >= length && runs.has(words.slice(i - length + 1, i + 1).join(' '))) return true;
      }
    }
    return false;
  };
}

function wordsOf(text: string): string[] {
  return (
    normalisedText(text).match(
      /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Khmer}\p{Script=Lao}\p{Script=Myanmar}]|[^\s\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Khmer}\p{Script=Lao}\p{Script=Myanmar}]+/gu,
    ) ?? []
  );
}

function runsOf(words: readonly string[], length: number): string[] {
  return words.slice(0, Math.max(0, words.length - length + 1)).map((_, i) => words.slice(i, i + length).join(' '));
}
