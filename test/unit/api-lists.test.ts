import { expect, test } from 'vitest';
import { z } from 'zod';
import { csv, decodeCursor, encodeCursor } from '../../api/lists.ts';
import { isDomainError } from '../../domain/errors.ts';

test('a cursor gives its key back, and nothing else passes for one', () => {
  const key = z.string().regex(/^[a-z0-9-]+$/);
  expect(decodeCursor(encodeCursor('vesper-014'), key)).toBe('vesper-014');
  for (const cursor of ['', '!!', encodeCursor('UPPER'), `${encodeCursor('vesper-014')}=`, encodeCursor("a' or 1=1")]) {
    try {
      decodeCursor(cursor, key);
      expect.unreachable(cursor);
    } catch (err) {
      expect(isDomainError(err, 'INVALID_INPUT')).toBe(true);
    }
  }
});

test('CSV quotes what needs it, leaves empty what is not there, and disarms formulas', () => {
  const rows = [
    { text: 'plain', more: null, count: 3 },
    { text: 'a "b", c\nd', more: ['x', 'y'], count: -1 },
    { text: '=1+1', more: { a: 1 }, count: 0 },
  ];
  expect(csv(['text', 'more', 'count'], rows)).toBe(
    'text,more,count\r\nplain,,3\r\n"a ""b"", c\nd","[""x"",""y""]",-1\r\n\'=1+1,"{""a"":1}",0\r\n',
  );
});
