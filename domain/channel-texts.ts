import { cleanText } from './clean-text.ts';

/** What a post says on a channel, cut by the channel's own measure and with nothing in it that calls anybody. */

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

function graphemesOf(text: string): string[] {
  return Array.from(segmenter.segment(text), ({ segment }) => segment);
}

export function graphemeCount(text: string): number {
  return graphemesOf(text).length;
}

export function byteCount(text: string): number {
  return new TextEncoder().encode(text).length;
}

/**
 * The longest beginning that fits, with `…` where something was left out. It ends between two signs that a reader sees, never
 * inside an emoji, and after a whole word where one ends not far before.
 * @param fits by the channel's measure; a shorter text must fit where a longer one does
 */
export function cutText(text: string, fits: (text: string) => boolean): string {
  if (fits(text)) return text;
  const graphemes = graphemesOf(text);
  const beginning = (count: number) => `${graphemes.slice(0, count).join('').trimEnd()}…`;
  let known = 0;
  let tooMany = graphemes.length + 1;
  while (tooMany - known > 1) {
    const middle = Math.floor((known + tooMany) / 2);
    if (fits(beginning(middle))) known = middle;
    else tooMany = middle;
  }
  let word = known;
  while (word > 0 && !/\s/u.test(graphemes[word] ?? ' ')) word -= 1;
  return beginning(word > known * 0.8 ? word : known);
}

/**
 * Nobody is called by it: between an `@` and a name stands a mark without width, so that no service takes it for a mention,
 * and it reads as before.
 */
export function withoutMentions(text: string): string {
  return text.replace(/@(?=[\p{L}\p{N}_<&!])/gu, '@\u200b');
}

export interface DropWords {
  title: string;
  body: string;
}

/** Title and body as one text, of plain words. */
export function plainPost({ title, body }: DropWords): string {
  const words = cleanText(body);
  const head = cleanText(title);
  return head === '' ? words : `${head}\n\n${words}`;
}
