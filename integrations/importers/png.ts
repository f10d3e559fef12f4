import { crc32, deflateSync } from 'node:zlib';
import { DomainError } from '../../domain/errors.ts';

/** https://www.w3.org/TR/png-3/: a signature, then chunks of length, type, data and CRC. */
const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const mostChunks = 20_000;
const headerBytes = 13;

interface Chunk {
  type: string;
  data: Buffer;
}

export interface PngTexts {
  /** By keyword, the first of each; only of the keywords asked for. */
  texts: Map<string, string>;
  /** The picture without any of its texts and other notes, as it can be given away again. */
  picture: Buffer;
}

/** Notes about a picture, which may hold anything: of these only what is asked for is read, and none is kept. */
const noteTypes = new Set(['tEXt', 'zTXt', 'iTXt', 'eXIf', 'tIME']);

/**
 * Reads texts out of a picture. Every checksum is checked; packed texts are never unpacked, so that none can swell.
 * @throws MALFORMED_BODY where it is no sound PNG, or one of the texts is packed
 */
export function readPng(file: Buffer, keywords: readonly string[]): PngTexts {
  const chunks = chunksOf(file);
  const texts = new Map<string, string>();
  for (const { type, data } of chunks) {
    if (!noteTypes.has(type)) continue;
    const end = data.indexOf(0);
    const keyword = data.toString('latin1', 0, end < 0 ? 0 : end);
    if (!keywords.includes(keyword) || texts.has(keyword)) continue;
    if (type !== 'tEXt') throw malformed(`the text ${keyword} is packed (${type}); cards stand in tEXt`);
    texts.set(keyword, data.toString('latin1', end + 1));
  }
  return { texts, picture: joined(chunks.filter(({ type }) => !noteTypes.has(type))) };
}

/** The picture with these texts in it, before all else that is in it. */
export function writePng(picture: Buffer, texts: ReadonlyArray<readonly [keyword: string, text: string]>): Buffer {
  const [header, ...rest] = chunksOf(picture);
  const notes = texts.map(([keyword, text]) => ({ type: 'tEXt', data: Buffer.from(`${keyword}\0${text}`, 'latin1') }));
  return joined([header!, ...notes, ...rest]);
}

/** A square of one colour, for a card of which there is no picture. */
export function plainPng(colour: readonly [red: number, green: number, blue: number], side = 64): Buffer {
  return pixelsPng({ width: side, height: side, pixels: Buffer.alloc(side * side * 3, Buffer.from(colour)) });
}

/** A picture of three bytes a pixel, red, green and blue, line by line. */
export function pixelsPng({ width, height, pixels }: { width: number; height: number; pixels: Buffer }): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // Eight bits a sample, red, green and blue.
  header.set([8, 2, 0, 0, 0], 8);
  const lineBytes = width * 3;
  const lines = Buffer.alloc(height * (lineBytes + 1));
  // Each line begins with its filter: 0, none.
  for (let line = 0; line < height; line += 1)
    pixels.copy(lines, line * (lineBytes + 1) + 1, line * lineBytes, (line + 1) * lineBytes);
  return joined([
    { type: 'IHDR', data: header },
    { type: 'IDAT', data: deflateSync(lines) },
    { type: 'IEND', data: Buffer.alloc(0) },
  ]);
}

function chunksOf(file: Buffer): Chunk[] {
  if (!file.subarray(0, signature.length).equals(signature)) throw malformed('it does not begin as one');
  const chunks: Chunk[] = [];
  for (let at = signature.length; chunks.at(-1)?.type !== 'IEND'; ) {
    if (file.length < at + 12) throw malformed('it breaks off');
    const length = file.readUInt32BE(at);
    if (file.length < at + 12 + length) throw malformed('it breaks off inside a chunk');
    const type = file.toString('latin1', at + 4, at + 8);
    if (!/^[A-Za-z]{4}$/.test(type)) throw malformed('a chunk has no name');
    const named = file.subarray(at + 4, at + 8 + length);
    if (crc32(named) !== file.readUInt32BE(at + 8 + length)) throw malformed(`the checksum of ${type} is wrong`);
    chunks.push({ type, data: named.subarray(4) });
    if (chunks.length > mostChunks) throw malformed(`it has over ${mostChunks} chunks`);
    at += 12 + length;
  }
  const [header] = chunks;
  if (header?.type !== 'IHDR' || header.data.length !== headerBytes) throw malformed('it has no header');
  if (!chunks.some(({ type }) => type === 'IDAT')) throw malformed('it holds no picture');
  return chunks;
}

function joined(chunks: readonly Chunk[]): Buffer {
  return Buffer.concat([
    signature,
    ...chunks.flatMap(({ type, data }) => {
      const named = Buffer.concat([Buffer.from(type, 'latin1'), data]);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(data.length);
      const sum = Buffer.alloc(4);
      sum.writeUInt32BE(crc32(named));
      return [length, named, sum];
    }),
  ]);
}

function malformed(why: string): DomainError {
  return new DomainError('MALFORMED_BODY', `not a PNG that can be read: ${why}`);
}
