/** What other people's text and a model's become before they are stored: words, and nothing that hides or turns them. */

/**
 * Marks that nobody can see and that carry no words: what turns the direction of reading; what has no width (but the joiners
 * that emoji and Indic and Persian words need); tag characters and variation selectors, in which text can be hidden; and
 * private characters, which each reader shows as another thing or as none.
 */
const unseen =
  /[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ue000-\uf8ff\ufeff\ufff9-\ufffb\u{e0000}-\u{10ffff}]/gu;

/** The text without unseen marks and without control characters but line feed and tab. */
function withoutUnseen(text: string): string {
  return text.replace(unseen, '').replace(/[^\P{Cc}\n\t]/gu, '');
}

/** As withoutUnseen, piece by piece: half of a character waits for its other half, since only together are they seen to be a mark. */
export function createUnseenFilter(): (piece: string) => string {
  let half = '';
  return (piece) => {
    const text = half + piece;
    [half = ''] = /[\uD800-\uDBFF]$/.exec(text) ?? [];
    return withoutUnseen(text.slice(0, text.length - half.length));
  };
}

/** Text of several lines: well-formed, without unseen marks, no space at the ends of lines, at most one empty line in a row. */
export function cleanText(text: string): string {
  return withoutUnseen(text.toWellFormed().replace(/\r\n?|[\u0085\u2028\u2029]/g, '\n'))
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}

/** Text on one line: well-formed, composed (NFC), without unseen marks; whatever parts words is one space. */
export function cleanLine(text: string): string {
  return text
    .toWellFormed()
    .replace(unseen, '')
    .normalize('NFC')
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim();
}

/** Words of somebody else, so that they are not taken for ours: nothing in them ends the quotation. */
export function inQuotes(text: string): string {
  return `“${text.replace(/[“”„‟"]/g, '’')}”`;
}
