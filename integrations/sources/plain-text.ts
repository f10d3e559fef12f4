import { compile } from 'html-to-text';

/** Characters of one item's markup that are looked at. */
const mostMarkup = 200_000;

const convert = compile({
  wordwrap: false,
  // Above ours, so that the library never cuts by itself.
  limits: { maxInputLength: mostMarkup + 1, maxDepth: 100, maxChildNodes: 5_000, ellipsis: '…' },
  selectors: [
    { selector: 'a', options: { ignoreHref: true } },
    { selector: 'img', format: 'skip' },
    { selector: 'svg', format: 'skip' },
    { selector: 'iframe', format: 'skip' },
    ...['h1', 'h2', 'h3', 'h4', 'h5', 'h6'].map((selector) => ({ selector, options: { uppercase: false } })),
    { selector: 'table', options: { uppercaseHeaderCells: false } },
  ],
});

/** The words of a piece of HTML: no markup, script, style, picture or address is left; entities are read. */
export function plainText(html: string): string {
  return convert(html.slice(0, mostMarkup)).trim();
}
