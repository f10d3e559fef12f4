/** A member of a JSON object as it stands in the file, its value not yet parsed. */
export interface JsonMember {
  /** Where its key stands, from 1. */
  line: number;
  /** As written between its quotes; undefined where something else stands in place of a key. */
  key: string | undefined;
  value: Buffer;
  /** False: the file ended inside it, or it is not followed as JSON asks. */
  whole: boolean;
}

const byte = (character: string) => character.charCodeAt(0);
const quote = byte('"');
const backslash = byte('\\');
const newline = byte('\n');
const opening = new Set([byte('{'), byte('[')]);
const closing = new Set([byte('}'), byte(']')]);
const space = new Set([byte(' '), byte('\t'), byte('\r'), newline]);
const mark = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * The members of the object that a file holds, one after the other. `JSON.parse` would give up the whole file for one bad
 * byte, and of a key that stands twice it would show only the last; here each member stands and falls alone.
 * @returns nothing at all where the file holds no object
 */
export function* jsonMembers(file: Buffer): Generator<JsonMember> {
  let line = 1;
  let at = file.subarray(0, 3).equals(mark) ? 3 : 0;
  const skipSpace = () => {
    for (; at < file.length && space.has(file[at]!); at += 1) if (file[at] === newline) line += 1;
  };
  skipSpace();
  if (file[at] !== byte('{')) return;
  at += 1;
  for (skipSpace(); at < file.length && file[at] !== byte('}'); skipSpace()) {
    const from = { line, at };
    const key = file[at] === quote ? file.subarray(at + 1, stringEnd(file, at) - 1).toString('utf8') : undefined;
    if (key !== undefined) at = stringEnd(file, at);
    skipSpace();
    const colon = key !== undefined && file[at] === byte(':');
    if (colon) at += 1;
    skipSpace();
    const start = colon ? at : from.at;
    at = valueEnd(file, start);
    const value = file.subarray(start, at);
    for (const each of value) if (each === newline) line += 1;
    const next = file[at];
    yield { line: from.line, key: colon ? key : undefined, value, whole: next === byte(',') || next === byte('}') };
    if (next === byte(',')) at += 1;
    else if (next !== byte('}')) return;
  }
}

/** Behind the closing quote of the string that begins here, or the end of the file. */
function stringEnd(file: Buffer, start: number): number {
  for (let at = start + 1; at < file.length; at += 1) {
    if (file[at] === backslash) at += 1;
    else if (file[at] === quote) return at + 1;
  }
  return file.length;
}

/** Where the value that begins here is followed by a comma or bracket that is not its own. */
function valueEnd(file: Buffer, start: number): number {
  let depth = 0;
  for (let at = start; at < file.length; at += 1) {
    const each = file[at]!;
    if (each === quote) at = stringEnd(file, at) - 1;
    else if (opening.has(each)) depth += 1;
    else if (depth === 0 && (each === byte(',') || closing.has(each))) return at;
    else if (closing.has(each)) depth -= 1;
  }
  return file.length;
}
