/** What other people's text becomes before an agent remembers it: words, and nothing that hides or turns them. */

/**
 * Control characters but line feed and tab; what turns the direction of reading; what has no width (but the joiners that
 * emoji and Indic and Persian words need); tag characters and variation selectors, in which text can be hidden.
 */
const unseen =
  /[[\p{Cc}--[\t\n]]\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gv;

/** Well-formed, without unseen characters, no space at the ends of lines, at most one empty line in a row. */
export function cleanText(text: string): string {
  return text
    .toWellFormed()
    .replace(/\r\n?|[\u0085\u2028\u2029]/g, '\n')
    .replace(unseen, '')
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}

/** At most `most` characters, cut between two words where one ends near. */
export function cutText(text: string, most: number): string {
  if (text.length <= most) return text;
  const room = text.slice(0, most - 1);
  const space = Math.max(room.lastIndexOf(' '), room.lastIndexOf('\n'));
  const cut = space > most * 0.8 ? room.slice(0, space) : room;
  // Half of a surrogate pair at the end stands for nothing.
  return `${cut.replace(/[\ud800-\udbff]$/, '').trimEnd()}…`;
}

/** Title and text as one; a title that the text begins with is not said twice. */
export function joinText(title: string, text: string): string {
  if (title === '' || text.startsWith(title)) return text;
  return text === '' ? title : `${title}\n\n${text}`;
}
