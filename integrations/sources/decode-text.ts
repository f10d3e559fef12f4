import { TextDecoder } from 'node:util';

/** Bytes of an XML or JSON document as text. Node's TextDecoder knows every encoding of the WHATWG standard. */

const marks: ReadonlyArray<readonly [bytes: readonly number[], encoding: string]> = [
  [[0xef, 0xbb, 0xbf], 'utf-8'],
  [[0xfe, 0xff], 'utf-16be'],
  [[0xff, 0xfe], 'utf-16le'],
  // Without a mark, `<?` or `<r` in two-byte units says it too.
  [[0x00, 0x3c, 0x00], 'utf-16be'],
  [[0x3c, 0x00], 'utf-16le'],
];

/**
 * By the order of RFC 7303: byte order mark, charset of the content type, declaration of the document, UTF-8. An encoding
 * that the bytes do not follow is passed over for the next; where none fits, what cannot be read becomes U+FFFD.
 */
export function decodeText(bytes: Uint8Array, contentType: string): string {
  const candidates = [byMark(bytes), byHeader(contentType), byDeclaration(bytes), 'utf-8'];
  for (const encoding of candidates) {
    const decoder = decoderOf(encoding, true);
    if (decoder === undefined) continue;
    try {
      return decoder.decode(bytes);
    } catch (err) {
      if (!(err instanceof TypeError)) throw err;
    }
  }
  const named = candidates.map((encoding) => decoderOf(encoding, false)).find((decoder) => decoder !== undefined);
  return (named ?? new TextDecoder()).decode(bytes);
}

function decoderOf(encoding: string | undefined, fatal: boolean): TextDecoder | undefined {
  if (encoding === undefined) return undefined;
  try {
    return new TextDecoder(encoding, { fatal });
  } catch (err) {
    // A name that no encoding has.
    if (err instanceof RangeError) return undefined;
    throw err;
  }
}

function byMark(bytes: Uint8Array): string | undefined {
  return marks.find(([mark]) => mark.every((byte, i) => bytes[i] === byte))?.[1];
}

function byHeader(contentType: string): string | undefined {
  return /;\s*charset\s*=\s*"?([\w.:-]{1,40})/i.exec(contentType)?.[1];
}

function byDeclaration(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.subarray(0, 256)).toString('latin1');
  const encoding = /^\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]{1,40})["']/i.exec(start)?.[1];
  // It was read in single bytes, so it cannot be true that these are not.
  return encoding !== undefined && /^utf-?16/i.test(encoding) ? undefined : encoding;
}
