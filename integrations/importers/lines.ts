import { DomainError } from '../../domain/errors.ts';
import { decodeUtf8, parseJsonText } from '../../domain/json-text.ts';

export interface Line {
  /** From 1, empty lines counted. */
  line: number;
  /** What stands there, or why it cannot be read. */
  value: { json: unknown } | { error: DomainError };
}

const newline = 0x0a;

/** Reads a stream of JSON lines. One that is too long or does not parse is told as such, and the next one is read. */
export async function* jsonLines(stream: AsyncIterable<Buffer>, lineLimit: number): AsyncGenerator<Line> {
  let pieces: Buffer[] = [];
  let length = 0;
  let line = 0;
  const take = (): Line | undefined => {
    line += 1;
    const bytes = length > lineLimit ? undefined : Buffer.concat(pieces);
    pieces = [];
    length = 0;
    if (bytes === undefined) {
      return { line, value: { error: new DomainError('BODY_TOO_LARGE', `the line is over ${lineLimit} bytes`) } };
    }
    return readLine(line, bytes);
  };
  for await (const chunk of stream) {
    let from = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      keep(chunk.subarray(from, end));
      const read = take();
      if (read) yield read;
      from = end + 1;
    }
    keep(chunk.subarray(from));
  }
  if (length > 0) {
    const read = take();
    if (read) yield read;
  }

  /** Bytes beyond the limit are counted and let go. */
  function keep(bytes: Buffer): void {
    length += bytes.length;
    if (length <= lineLimit) pieces.push(bytes);
    else pieces = [];
  }
}

function readLine(line: number, bytes: Buffer): Line | undefined {
  try {
    const text = decodeUtf8(bytes);
    return text.trim() === '' ? undefined : { line, value: { json: parseJsonText(text) } };
  } catch (err) {
    if (err instanceof DomainError) return { line, value: { error: err } };
    throw err;
  }
}
