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
