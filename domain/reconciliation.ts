export const discrepancyKinds = ['sum', 'balance', 'version', 'transfer', 'purchase', 'license'] as const;

/** A place where the books do not add up, or do not agree with what was sold. */
export interface Discrepancy {
  /**
   * sum: a currency's balances; balance, version: an account; transfer: the entries of one; purchase: its row, sale, refunds
   * and disputes; license: what the money of its purchase says of it.
   */
  kind: (typeof discrepancyKinds)[number];
  /** The currency, account, transfer, purchase, refund or dispute. */
  subject: string;
  /** As text: what is wrong need not be a safe integer. */
  expected: string;
  found: string;
}

/** An entry with the account as it stood in the same snapshot. */
export interface WalkedEntry {
  accountId: string;
  version: number;
  amount: number;
  balance: number;
  accountBalance: number;
  accountVersion: number;
}

/** As many as are kept of those that a pass finds; all are counted. */
export const mostFound = 100;

/**
 * Walks entries in the order of account and version, page by page: versions without gaps from 1 on, each balance the one
 * before plus the amount, and at the end of an account the account's own.
 * @param before the last entry of the page before
 * @param isLast whether nothing follows this page
 */
export function walkEntries(
  entries: readonly WalkedEntry[],
  before: WalkedEntry | undefined,
  isLast: boolean,
): Discrepancy[] {
  const found: Discrepancy[] = [];
  const compare = (kind: 'balance' | 'version', { accountId }: WalkedEntry, expected: number, is: number) => {
    if (expected !== is) found.push({ kind, subject: accountId, expected: String(expected), found: String(is) });
  };
  const close = (entry: WalkedEntry) => {
    compare('version', entry, entry.version, entry.accountVersion);
    compare('balance', entry, entry.balance, entry.accountBalance);
  };
  let previous = before;
  for (const entry of entries) {
    const of = previous?.accountId === entry.accountId ? previous : undefined;
    if (previous && !of) close(previous);
    compare('version', entry, (of?.version ?? 0) + 1, entry.version);
    compare('balance', entry, (of?.balance ?? 0) + entry.amount, entry.balance);
    previous = entry;
  }
  if (isLast && previous) close(previous);
  return found;
}
