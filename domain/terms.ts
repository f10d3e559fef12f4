import { stopWords } from './stop-words.ts';

/** Words that can be a subject, each with the form it was written in: four letters or more, no stop word, plural like singular. */
export function termsOf(text: string): Array<[term: string, written: string]> {
  const found: Array<[string, string]> = [];
  for (const [written] of text.matchAll(/\p{L}[\p{L}\p{M}’'-]*\p{L}|\p{L}/gu)) {
    const word = written.toLowerCase().replace(/[’']s$/u, '');
    const short = /^[\p{Script=Latin}’'-]+$/u.test(word) ? 4 : 2;
    if (word.length < short || stopWords.has(word)) continue;
    found.push([singular(word), written.replace(/[’']s$/u, '')]);
  }
  return found;
}

export function singular(word: string): string {
  if (word.endsWith('ies') && word.length > 5) return `${word.slice(0, -3)}y`;
  return word.endsWith('s') && !word.endsWith('ss') && word.length > 4 ? word.slice(0, -1) : word;
}
