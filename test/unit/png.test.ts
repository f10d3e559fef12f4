import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readCardPng, writeCardPng } from '../../integrations/importers/card-png.ts';
import { plainPng, readPng, writePng } from '../../integrations/importers/png.ts';

const picture = plainPng([10, 20, 30], 8);
const limit = { cardLimit: 1_000_000 };

/** A chunk as its writer thinks it is: its checksum need not be right. */
function chunk(type: string, data: Buffer, sum = crc(Buffer.concat([Buffer.from(type), data]))): Buffer {
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, 'latin1');
  data.copy(out, 8);
  out.writeUInt32BE(sum, 8 + data.length);
  return out;
}
/** The checksum as the format defines it, bit by bit. */
function crc(bytes: Buffer): number {
  let rest = 0xffffffff;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  }
  return (rest ^ 0xffffffff) >>> 0;
}
/** After the header, which is the signature's 8 bytes and a chunk of 25. */
const withChunk = (extra: Buffer) => Buffer.concat([picture.subarray(0, 33), extra, picture.subarray(33)]);

test('any card comes out of a picture as it went in, and the picture stays the same', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()), (card) => {
      const file = writeCardPng([['ccv3', card]], { picture, seed: 7 });
      const read = readCardPng(file, limit);
      expect(read.json).toEqual(JSON.parse(JSON.stringify(card)));
      expect(read.picture.equals(picture)).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test('V3 goes before its V2 copy; without a picture there is one', () => {
  const file = writeCardPng(
    [
      ['chara', { v: 2 }],
      ['ccv3', { v: 3 }],
    ],
    { seed: 0xabcdef },
  );
  expect(readCardPng(file, limit).json).toEqual({ v: 3 });
  expect(readPng(file, ['chara', 'ccv3']).texts.size).toBe(2);
  expect(readCardPng(writeCardPng([['chara', { v: 2 }]], { seed: 1 }), limit).json).toEqual({ v: 2 });
});

test('texts, places and times of a picture are not kept with it', () => {
  const noted = [
    chunk('tEXt', Buffer.from('Author\0Ada')),
    chunk('iTXt', Buffer.from('Comment\0\0\0\0\0home')),
    chunk('zTXt', Buffer.concat([Buffer.from('Plan\0\0'), deflateSync(Buffer.alloc(1_000_000))])),
    chunk('eXIf', Buffer.from('GPS')),
    chunk('tIME', Buffer.alloc(7)),
  ];
  expect(readPng(withChunk(Buffer.concat(noted)), []).picture.equals(picture)).toBe(true);
});

test('what is broken or made to swell is refused', () => {
  const text = (value: string) => withChunk(chunk('tEXt', Buffer.from(`chara\0${value}`, 'latin1')));
  const packed = deflateSync(Buffer.alloc(10_000_000, 'A'));
  const cases: Array<[string, Buffer, string]> = [
    ['nothing', Buffer.alloc(0), 'MALFORMED_BODY'],
    ['a JPEG', Buffer.from([0xff, 0xd8, 0xff, 0xe0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), 'MALFORMED_BODY'],
    ['a signature alone', picture.subarray(0, 8), 'MALFORMED_BODY'],
    ['no end', picture.subarray(0, -12), 'MALFORMED_BODY'],
    ['a wrong checksum', withChunk(chunk('tEXt', Buffer.from('chara\0e30='), 1)), 'MALFORMED_BODY'],
    ['a length beyond the file', withChunk(Buffer.from([0x7f, 255, 255, 255, 116, 69, 88, 116])), 'MALFORMED_BODY'],
    ['a name that is none', withChunk(chunk('t\x01Xt', Buffer.alloc(0))), 'MALFORMED_BODY'],
    ['a packed card', withChunk(chunk('zTXt', Buffer.concat([Buffer.from('chara\0\0'), packed]))), 'MALFORMED_BODY'],
    ['a packed international card', withChunk(chunk('iTXt', Buffer.from('ccv3\0\x01\0\0\0x'))), 'MALFORMED_BODY'],
    ['no card', picture, 'INVALID_INPUT'],
    ['a card that is not base64', text('{"name": "Ada"}'), 'MALFORMED_BODY'],
    ['a card that is no JSON', text(Buffer.from('{').toString('base64')), 'MALFORMED_BODY'],
    ['a card that is no UTF-8', text(Buffer.from([0x22, 0xff, 0x22]).toString('base64')), 'MALFORMED_BODY'],
    ['a card over the limit', text(Buffer.alloc(1_100_000, 0x20).toString('base64')), 'BODY_TOO_LARGE'],
    [
      'very many chunks',
      withChunk(Buffer.concat(Array.from({ length: 20_001 }, () => chunk('teSt', Buffer.alloc(0))))),
      'MALFORMED_BODY',
    ],
  ];
  for (const [name, file, code] of cases) {
    expect(() => readCardPng(file, limit), name).toThrow(expect.objectContaining({ code }));
  }
});

test('any damage to a picture is either refused or told nothing', () => {
  const file = writeCardPng([['ccv3', { name: 'Ada' }]], { picture, seed: 1 });
  fc.assert(
    fc.property(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const damaged = Buffer.from(file);
      damaged[at]! ^= change;
      try {
        readCardPng(damaged, limit);
      } catch (err) {
        expect(err).toMatchObject({ name: 'DomainError' });
        return;
      }
      throw new Error(`a change at ${at} went unseen`);
    }),
    { numRuns: 300 },
  );
});

test('texts are written before the picture, in a file that others can read', () => {
  const file = writePng(picture, [['chara', 'e30=']]);
  expect(file.subarray(33 + 4, 33 + 8).toString('latin1')).toBe('tEXt');
  expect(crc(file.subarray(33 + 4, 33 + 8 + 10))).toBe(file.readUInt32BE(33 + 8 + 10));
});
