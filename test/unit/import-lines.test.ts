import { Readable } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jsonLines } from '../../integrations/importers/lines.ts';

async function read(chunks: Buffer[], limit = 1000): Promise<Array<[number, unknown]>> {
  const lines: Array<[number, unknown]> = [];
  for await (const { line, value } of jsonLines(Readable.from(chunks), limit)) {
    lines.push([line, 'json' in value ? value.json : value.error.code]);
  }
  return lines;
}

/** Cuts bytes wherever the generator says, also inside a character. */
function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [...new Set(at.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...places, bytes.length].map((place, i) => bytes.subarray(i === 0 ? 0 : places[i - 1], place));
}

test('reads the same values however the stream is cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.jsonValue({ depthSize: 'small' }), { maxLength: 20 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      async (values, places) => {
        const bytes = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
        const lines = await read(cut(bytes, places), 1_000_000);
        expect(lines).toEqual(values.map((value, i) => [i + 1, JSON.parse(JSON.stringify(value))]));
      },
    ),
    { numRuns: 300 },
  );
});

test('counts empty lines, takes CRLF, and needs no end on the last line', async () => {
  expect(await read([Buffer.from('1\r\n\n  \n2')])).toEqual([
    [1, 1],
    [4, 2],
  ]);
});

test('a line over the limit is told and the next one read; its bytes are not kept', async () => {
  const long = Buffer.from(`"${'x'.repeat(5_000)}"\n`);
  const lines = await read([...cut(long, [100, 900, 1001, 4_000]), Buffer.from('"after"\n')]);
  expect(lines).toEqual([
    [1, 'BODY_TOO_LARGE'],
    [2, 'after'],
  ]);
});

test('a line at the limit is read', async () => {
  const line = `"${'x'.repeat(98)}"`;
  expect(await read([Buffer.from(line)], 100)).toEqual([[1, 'x'.repeat(98)]]);
  expect(await read([Buffer.from(`${line} `)], 100)).toEqual([[1, 'BODY_TOO_LARGE']]);
});

test('broken UTF-8 and broken JSON spoil only their own line', async () => {
  const bytes = Buffer.concat([Buffer.from('1\n'), Buffer.from([0x22, 0xc3, 0x28, 0x22]), Buffer.from('\n{"a":\n2\n')]);
  expect(await read([bytes])).toEqual([
    [1, 1],
    [2, 'MALFORMED_BODY'],
    [3, 'MALFORMED_BODY'],
    [4, 2],
  ]);
});
