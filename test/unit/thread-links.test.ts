import { describe, expect, test } from 'vitest';
import { oppositionOf } from '../../domain/contradictions.ts';
import { memoryWords } from '../../domain/memory-words.ts';
import { linkOf, type WeavableMemory } from '../../domain/thread-links.ts';
import { ThreadWindow } from '../../domain/thread-window.ts';

const hourMs = 3_600_000;
const windows = { eventMs: 2 * hourMs, echoMs: 72 * hourMs };
let ids = 0;
function memory(agentId: string, hour: number, text: string): WeavableMemory {
  ids += 1;
  const id = `m${String(ids).padStart(4, '0')}`;
  return { id, agentId, atMs: hour * hourMs, contentHash: text, words: memoryWords(text, agentId) };
}
/** What a busy town says besides, so that common words are common. */
const chatter = Array.from({ length: 60 }, (_, i) =>
  memory(`other-${i % 7}`, i, `I walked round and saw the boats, number ${i + 20}, and the market was full of people.`),
);
function linked(...memories: WeavableMemory[]) {
  const window = new ThreadWindow(windows);
  window.add([...chatter, ...memories]);
  return window
    .candidates(memories.at(-1)!.id, () => false)
    .filter(({ otherId }) => memories.some(({ id }) => id === otherId));
}

const bell = 'Under the tower I saw the great bell crack while Osk Bramley was ringing it.';

describe('one event', () => {
  test('is what two saw at one time, in words and names of their own', () => {
    const other = memory('two', 10.5, 'Osk Bramley rang and the great bell got its crack; the tower shook.');
    expect(linked(memory('one', 10, bell), other)).toMatchObject([{ kind: 'same_event', hours: 0.5 }]);
  });

  test('is not one person’s alone, nor a copy, nor hours apart', () => {
    expect(linked(memory('one', 10, bell), memory('one', 10.2, `${bell} Yes.`))).toEqual([]);
    expect(linked(memory('one', 10, bell), memory('two', 10, bell))).toEqual([]);
    expect(
      linked(memory('one', 10, 'The great bell cracked.'), memory('two', 14, 'The great bell has a crack.')),
    ).toEqual([]);
  });

  test('is not one manner of speaking of other people', () => {
    const one = memory('one', 10, 'I lent Una Breck eleven marks and asked for nothing in writing.');
    expect(
      linked(one, memory('two', 10.5, 'I lent Cole Ashby eleven marks and asked for nothing in writing.')),
    ).toEqual([]);
  });

  test('knows who remembers: the two sides of a matter name each other', () => {
    const one = memory('Una Breck', 10, 'I lent Cole Ashby a handcart by the mill.');
    const other = memory('Cole Ashby', 10.2, 'Una Breck let me have a handcart by the mill.');
    expect(linked(one, other)).toMatchObject([{ kind: 'same_event' }]);
    const stranger = memory('Hob Tarrant', 10.2, 'Una Breck let me have a handcart by the mill.');
    expect(linked(one, other)[0]!.overlap).toBeGreaterThan(linked(one, stranger)[0]!.overlap);
  });
});

describe('an echo', () => {
  const seen = memory('one', 10, 'I saw that the porters carried the wet playbills off to the guildhall by night.');

  test('is another’s words in a later mouth, whole or in part', () => {
    const told = memory(
      'two',
      30,
      'Una told me: the porters carried the wet playbills off to the guildhall by night, they say.',
    );
    expect(linked(seen, told)).toMatchObject([{ kind: 'echo', hours: 20 }]);
    expect(linked(seen, told)[0]!.overlap).toBeGreaterThan(0.7);
  });

  test('is no echo in other words, too late, or where everybody says so', () => {
    expect(linked(seen, memory('two', 30, 'The playbills went to the guildhall, I hear.'))).toEqual([]);
    const late = 'The porters carried the wet playbills off to the guildhall by night.';
    expect(linked(seen, memory('two', 10 + 73, late))).toEqual([]);
    const proverb = Array.from({ length: 50 }, (_, i) => memory(`all-${i}`, 20 + i, `A saying: ${late}`));
    expect(linked(seen, ...proverb, memory('two', 30, late)).filter(({ otherId }) => otherId === seen.id)).toEqual([]);
  });
});

describe('a contradiction', () => {
  const opposed = (a: string, b: string) => oppositionOf(memoryWords(a, ''), memoryWords(b, ''));
  test.each([
    [
      'denial',
      'The new bell was cracked before the harvest feast.',
      'The new bell was not cracked before the harvest feast.',
    ],
    ['opposite', 'The harbour gate was open at dusk.', 'The harbour gate was shut at dusk.'],
    ['count', 'Forty people came to the weir with shovels.', 'Six people came to the weir with shovels.'],
    ['weekday', 'The ferry to the islands sails on Monday.', 'The ferry to the islands sails on Tuesday.'],
    ['month', 'The harvest feast at the mill is in May.', 'The harvest feast at the mill is in June.'],
    ['date', 'The harvest feast at the mill is on 2026-05-01.', 'The harvest feast at the mill is on 2026-05-08.'],
  ])('by %s', (by, a, b) => {
    expect(opposed(a, b)).toMatchObject({ by });
    expect(opposed(b, a)).toMatchObject({ by });
  });

  test.each([
    ['the same said twice', 'The harbour gate was open at dusk.', 'At dusk the harbour gate was open.'],
    ['an opposite denied', 'The harbour gate was open at dusk.', 'The harbour gate was not shut at dusk.'],
    ['two things', 'The market was full at noon.', 'The well in the yard was empty.'],
    ['other things counted', 'Forty sacks of grain lay at the weir.', 'Six people stood by the grain at the weir.'],
    ['both denied', 'The new bell was not cracked at the feast.', 'Nobody had cracked the new bell at the feast.'],
  ])('not by %s', (_, a, b) => {
    expect(opposed(a, b)).toBeUndefined();
  });

  test('only of one event: what changes from day to day is none', () => {
    const open = memory('one', 10, 'The harbour gate by the customs house was open at dusk.');
    const now = memory('two', 10.5, 'The harbour gate by the customs house was shut at dusk.');
    const later = memory('two', 40, 'The harbour gate by the customs house was shut at dusk.');
    expect(linked(open, now).map(({ kind }) => kind)).toContain('contradiction');
    expect(linked(open, later).map(({ kind }) => kind)).not.toContain('contradiction');
  });
});

test('a link’s score adds cosine and words; too little of both is none', () => {
  const candidate = { kind: 'same_event' as const, memoryId: 'a', otherId: 'b', overlap: 0.4, hours: 1 };
  expect(linkOf(candidate, 0.9)!.score).toBeCloseTo(0.3 * 0.9 + 0.7 * 0.4);
  expect(linkOf(candidate, -1)).toBeUndefined();
});

describe('the window', () => {
  test('finds the same whether it slid there or was read anew, and in any order', () => {
    const early = memory('one', 5, bell);
    const [one, two] = [
      memory('one', 200, bell),
      memory('two', 200.5, 'Osk Bramley rang and the great bell got its crack; the tower shook.'),
    ];
    const slid = new ThreadWindow(windows);
    slid.add([early, ...chatter]);
    slid.keep(150 * hourMs, 250 * hourMs);
    expect(slid.size).toBe(0);
    slid.add([two, one]);
    slid.add([one]);
    const anew = new ThreadWindow(windows);
    anew.add([one, two]);
    const all = (window: ThreadWindow) => window.candidates(two.id, () => false);
    expect(all(slid)).toEqual(all(anew));
    expect(all(anew)).toHaveLength(1);
    expect(anew.candidates(two.id, () => true)).toEqual([]);
    expect(anew.candidates('nobody', () => false)).toEqual([]);
  });
});
