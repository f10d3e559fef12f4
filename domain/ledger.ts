import { DomainError } from './errors.ts';
import { sumOf } from './money.ts';

/** The same words as the checks in stores/migrations. docs/marketplace.md says what each holds. */
export const accountKinds = [
  'outside',
  'credits',
  'escrow',
  'creator',
  'platform',
  'blessings',
  'tax',
  'fees',
  'disputes',
  'payouts',
] as const;
export type AccountKind = (typeof accountKinds)[number];

export const transferKinds = [
  'grant',
  'hold',
  'release',
  'sale',
  'fee_taken',
  'fee_returned',
  'refund',
  'dispute_opened',
  'dispute_won',
  'dispute_lost',
  'beyond_taken',
  'beyond_returned',
  'beyond_covered',
  'payout_started',
  'payout_paid',
  'payout_failed',
  'blessings_shared',
] as const;
export type TransferKind = (typeof transferKinds)[number];

/** An account of somebody's books in one currency, before it has an id: it is opened by its first entry. */
export interface AccountRef {
  kind: AccountKind;
  /** A user, a provider, or empty for what the platform holds itself. */
  holder: string;
}

export const accountOf = {
  outside: (provider: string): AccountRef => ({ kind: 'outside', holder: provider }),
  credits: (userId: string): AccountRef => ({ kind: 'credits', holder: userId }),
  escrow: (userId: string): AccountRef => ({ kind: 'escrow', holder: userId }),
  creator: (userId: string): AccountRef => ({ kind: 'creator', holder: userId }),
  platform: (): AccountRef => ({ kind: 'platform', holder: '' }),
  blessings: (): AccountRef => ({ kind: 'blessings', holder: '' }),
  tax: (): AccountRef => ({ kind: 'tax', holder: '' }),
  fees: (provider: string): AccountRef => ({ kind: 'fees', holder: provider }),
  disputes: (userId: string): AccountRef => ({ kind: 'disputes', holder: userId }),
  payouts: (userId: string): AccountRef => ({ kind: 'payouts', holder: userId }),
} as const;

export interface Entry {
  account: AccountRef;
  /** Minor units, never 0; positive adds to the account. */
  amount: number;
}

/** Characters of a transfer's reason that are kept. */
export const reasonChars = 300;

/** One transfer of the ledger before or after it is stored: entries of one currency that add up to zero. */
export interface Posting {
  /** Made by the caller before it posts, so that a repeated posting is the same one; `sale:<purchaseId>` and the like. */
  id: string;
  kind: TransferKind;
  currency: string;
  /** The purchase whose money it moves. */
  purchaseId: string | null;
  reason: string;
  /** At most one an account, in the order in which parties are named where a tie is broken. */
  entries: readonly Entry[];
}

export function accountKey({ kind, holder }: AccountRef): string {
  return `${kind}:${holder}`;
}

/** Money that the ledger took back from who had it: only this may leave a creator or the pool owing. */
const clawbacks: readonly TransferKind[] = ['refund', 'dispute_opened', 'beyond_covered'];

/** Whether an entry of a transfer of this kind may leave an account of that kind below zero. */
export function mayOverdraw(transfer: TransferKind, account: AccountKind): boolean {
  if (account === 'outside' || account === 'platform' || account === 'fees') return true;
  return (account === 'creator' || account === 'blessings') && clawbacks.includes(transfer);
}

/**
 * Puts a posting together: entries of one account become one, those of zero are left out.
 * @returns undefined where no money moves
 * @throws INTERNAL where the entries do not add up to zero: a rule is wrong, and nothing of it may be stored
 */
export function posting(draft: Posting): Posting | undefined {
  const byAccount = new Map<string, Entry>();
  for (const { account, amount } of draft.entries) {
    const key = accountKey(account);
    byAccount.set(key, { account, amount: sumOf([byAccount.get(key)?.amount ?? 0, amount]) });
  }
  const entries = [...byAccount.values()].filter(({ amount }) => amount !== 0);
  if (entries.reduce((sum, { amount }) => sum + BigInt(amount), 0n) !== 0n) {
    throw new DomainError('INTERNAL', `the entries of ${draft.id} do not add up to zero`);
  }
  return entries.length === 0 ? undefined : { ...draft, reason: storable(draft.reason), entries };
}

/** As Postgres keeps text: what came from elsewhere may hold NUL, and its cut may have split a character. */
function storable(reason: string): string {
  return reason.replaceAll('\0', '').slice(0, reasonChars).toWellFormed();
}
