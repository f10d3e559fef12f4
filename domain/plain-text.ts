/** What a model wrote, as it may be stored: whole Unicode on one line, without controls and marks that only hide or turn text. */
export function cleanText(text: string): string {
  return text
    .toWellFormed()
    .normalize('NFC')
    .replace(
      /[\u{00ad}\u{180e}\u{200b}\u{200e}\u{200f}\u{202a}-\u{202e}\u{2060}-\u{2064}\u{2066}-\u{206f}\u{feff}\u{fff9}-\u{fffb}\u{e000}-\u{f8ff}\u{e0000}-\u{10ffff}]/gu,
      '',
    )
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim();
}

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
  const runsByLength = new Map<number, Set<string>>();
  for (const source of sources) {
    const words = wordsOf(source);
    const length = Math.min(quotedWords, words.length);
    if (length === 0) continue;
    const runs = runsByLength.get(length) ?? new Set();
    for (const run of runsOf(words, length)) runs.add(run);
    runsByLength.set(length, runs);
  }
  return (text) => {
    const words = wordsOf(text);
    for (const [length, runs] of runsByLength) if (runsOf(words, length).some((run) => runs.has(run))) return true;
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
