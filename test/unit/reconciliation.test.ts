import { expect, test } from 'vitest';
import { walkEntries, type WalkedEntry } from '../../domain/reconciliation.ts';

/** Entries of one account, each adding 10, with the account as it stands. */
function account(accountId: string, count: number): WalkedEntry[] {
  return Array.from({ length: count }, (_, i) => ({
    accountId,
    version: i + 1,
    amount: 10,
    balance: 10 * (i + 1),
    accountBalance: 10 * count,
    accountVersion: count,
  }));
}
const good = () => [...account('a', 3), ...account('b', 1), ...account('c', 2)];

/** The same found, however the entries are cut into pages. */
function walk(entries: readonly WalkedEntry[]) {
  const whole = walkEntries(entries, undefined, true);
  for (let size = 1; size <= entries.length; size += 1) {
    const pages = Array.from({ length: Math.ceil(entries.length / size) }, (_, i) =>
      entries.slice(i * size, (i + 1) * size),
    );
    const found = pages.flatMap((page, i) => walkEntries(page, pages[i - 1]?.at(-1), i === pages.length - 1));
    expect(found).toEqual(whole);
  }
  // The last page is empty where the page before was just full.
  expect([...walkEntries(entries, undefined, false), ...walkEntries([], entries.at(-1), true)]).toEqual(whole);
  return whole;
}

test('books that add up have no discrepancy, in pages of any size', () => {
  expect(walk(good())).toEqual([]);
  expect(walkEntries([], undefined, true)).toEqual([]);
});

test.each<[string, (entries: WalkedEntry[]) => void, string[]]>([
  ['an entry that was changed', (entries) => (entries[1]!.amount = 11), ['balance of a: 21, found 20']],
  [
    'an entry that is gone',
    (entries) => entries.splice(1, 1),
    ['version of a: 2, found 3', 'balance of a: 20, found 30'],
  ],
  [
    'the first entry gone',
    (entries) => entries.splice(0, 1),
    ['version of a: 1, found 2', 'balance of a: 10, found 20'],
  ],
  [
    'the last entry gone',
    (entries) => entries.splice(2, 1),
    ['version of a: 2, found 3', 'balance of a: 20, found 30'],
  ],
  ['an account that was changed', (entries) => (entries[3]!.accountBalance = 11), ['balance of b: 10, found 11']],
  ['the last account changed', (entries) => (entries[5]!.accountVersion = 3), ['version of c: 2, found 3']],
])('%s is found', (_name, spoil, expected) => {
  const entries = good();
  spoil(entries);
  const found = walk(entries).map((each) => `${each.kind} of ${each.subject}: ${each.expected}, found ${each.found}`);
  expect(found).toEqual(expected);
});
