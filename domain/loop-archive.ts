import { DomainError } from './errors.ts';

/**
 * The container of a loop package: a POSIX tar of five members, always the same ones in the same order, with every field of a
 * header that is no name or size fixed. So a package has exactly one form in bytes, and a reader need not judge headers: it
 * makes the one that must stand there and compares. Nothing is compressed, since what a compressor writes differs by version
 * and processor, and what is not compressed cannot swell.
 */
export const loopMembers = [
  'manifest.json',
  'signature.json',
  'persona.json',
  'prompts.json',
  'memories.ndjson',
] as const;
export type LoopMember = (typeof loopMembers)[number];

/** Bytes of each member at the most. */
export const memberLimits: Readonly<Record<LoopMember, number>> = {
  'manifest.json': 64 * 1024,
  'signature.json': 4 * 1024,
  'persona.json': 64 * 1024,
  'prompts.json': 16 * 1024,
  'memories.ndjson': 8 * 1024 * 1024,
};

const block = 512;
const endBlocks = 2;
const sizeAt = { from: 124, to: 136 } as const;

/** Bytes of an archive at the most. */
export const archiveLimit =
  loopMembers.reduce((sum, name) => sum + block + padded(memberLimits[name]), 0) + endBlocks * block;

function padded(size: number): number {
  return Math.ceil(size / block) * block;
}

/** A header of the ustar format: owner 0, mode 0644, time 0, a regular file. */
function headerOf(name: LoopMember, size: number): Uint8Array {
  const header = new Uint8Array(block);
  const put = (at: number, text: string) => header.set(new TextEncoder().encode(text), at);
  put(0, name);
  put(100, '0000644\0');
  put(108, '0000000\0');
  put(116, '0000000\0');
  put(sizeAt.from, `${size.toString(8).padStart(11, '0')}\0`);
  put(136, '00000000000\0');
  put(148, '        ');
  put(156, '0');
  put(257, 'ustar\0');
  put(263, '00');
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `);
  return header;
}

export function writeArchive(members: Readonly<Record<LoopMember, Uint8Array>>): Uint8Array {
  const total = loopMembers.reduce((sum, name) => sum + block + padded(members[name].length), endBlocks * block);
  const archive = new Uint8Array(total);
  let at = 0;
  for (const name of loopMembers) {
    const bytes = members[name];
    archive.set(headerOf(name, bytes.length), at);
    archive.set(bytes, at + block);
    at += block + padded(bytes.length);
  }
  return archive;
}

/**
 * Reads an archive as its bytes come, member after member in their one order. Everything is refused at its first wrong byte;
 * never more than one member and the piece that just came are held.
 */
export function createArchiveReader(stream: AsyncIterable<Uint8Array>) {
  const bytes = createTaker(stream);
  let next = 0;

  return {
    /**
     * The next member, which must be this one.
     * @param size what it must have, where the manifest has said so
     * @throws MALFORMED_BODY, BODY_TOO_LARGE
     */
    async member(name: LoopMember, size?: number): Promise<Uint8Array> {
      if (loopMembers[next] !== name) throw new RangeError(`${name} is not the member that comes next`);
      next += 1;
      const header = await bytes.take(block, `the header of ${name}`);
      const told = size ?? sizeIn(header, name);
      if (told > memberLimits[name]) {
        throw new DomainError('BODY_TOO_LARGE', `${name} is ${told} bytes; it has ${memberLimits[name]} at most`);
      }
      if (!same(header, headerOf(name, told))) throw unsound(`the header of ${name} is not as it must be`);
      const content = await bytes.take(told, name);
      const padding = await bytes.take(padded(told) - told, `the padding of ${name}`);
      if (padding.some((byte) => byte !== 0)) throw unsound(`something stands in the padding of ${name}`);
      return content;
    },

    /** @throws MALFORMED_BODY where anything but the end follows */
    async end(): Promise<void> {
      const last = await bytes.take(endBlocks * block, 'its end');
      if (last.some((byte) => byte !== 0)) throw unsound('more members follow than a loop package has');
      await bytes.nothingLeft();
    },
  };
}

function sizeIn(header: Uint8Array, name: string): number {
  const text = String.fromCharCode(...header.subarray(sizeAt.from, sizeAt.to));
  if (!/^[0-7]{11}\0$/.test(text)) throw unsound(`the header of ${name} is not as it must be`);
  return Number.parseInt(text, 8);
}

function createTaker(stream: AsyncIterable<Uint8Array>) {
  const pieces = stream[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array(0);

  async function more(): Promise<Uint8Array | undefined> {
    const { value, done } = await pieces.next();
    return done === true ? undefined : value;
  }

  return {
    async take(count: number, what: string): Promise<Uint8Array> {
      const taken: Uint8Array[] = [];
      let missing = count;
      while (missing > 0) {
        if (rest.length === 0) {
          const piece = await more();
          if (piece === undefined) throw unsound(`it breaks off in ${what}`);
          rest = piece;
        }
        const some = rest.subarray(0, missing);
        taken.push(some);
        rest = rest.subarray(some.length);
        missing -= some.length;
      }
      return joined(taken, count);
    },

    async nothingLeft(): Promise<void> {
      for (let piece: Uint8Array | undefined = rest; piece !== undefined; piece = await more()) {
        if (piece.length > 0) throw unsound('something follows its end');
      }
    },
  };
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function unsound(why: string): DomainError {
  return new DomainError('MALFORMED_BODY', `no sound loop package: ${why}`);
}
