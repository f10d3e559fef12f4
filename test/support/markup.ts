/** What somebody writes who wants their text to be taken for code; each would set `window.executed`. */
export const hostileTexts = [
  '<script>window.executed = 1</script>',
  '"><img src=x onerror="window.executed = 2">',
  "'><svg onload='window.executed = 3'>",
  '</title><script>window.executed = 4</script>',
  '</script><script>window.executed = 5</script>',
  '<iframe srcdoc="<script>parent.executed = 6</script>"></iframe>',
  '<a href="javascript:window.executed = 7">press</a>',
  '<details open ontoggle="window.executed = 8">',
  '{{constructor.constructor("window.executed = 9")()}}',
  '${window.executed = 10}',
  '<!--><img src=x onerror="window.executed = 11">-->',
  '<math><mtext></form><form><mglyph><style></math><img src onerror="window.executed = 12">',
  ']]><img src=x onerror="window.executed = 13">',
  '&lt;img src=x onerror="window.executed = 14"&gt;',
] as const;

/** All of them in one text of at most `most` characters. */
export function hostileText(most: number): string {
  // Where there is room for one, it is one that runs wherever markup is taken for markup: scripts that are put in later do not.
  let text = most < 120 ? `${hostileTexts[1]} ` : '';
  for (const one of hostileTexts) if (text.length + one.length + 1 <= most) text += `${one} `;
  return text.trim();
}
