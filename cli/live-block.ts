/** Lines that are written over on a terminal; elsewhere each change of the `plain` line is a line of its own. */
export function createLiveBlock(stream: NodeJS.WriteStream) {
  let shown = 0;
  let last = '';
  const clear = () => (shown > 0 ? `\x1b[${shown}A\x1b[0J` : '');
  return {
    show(lines: readonly string[], plainLine: string): void {
      if (stream.isTTY) {
        stream.write(`${clear()}${lines.join('\n')}\n`);
        shown = lines.length;
      } else if (plainLine !== last) {
        stream.write(`${plainLine}\n`);
        last = plainLine;
      }
    },
    /** A line that stays, above the block. */
    say(text: string): void {
      stream.write(`${stream.isTTY ? clear() : ''}${text}\n`);
      shown = 0;
    },
  };
}
