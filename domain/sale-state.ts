import { DomainError } from './errors.ts';
import {
  accountKey,
  type AccountKind,
  accountOf,
  type AccountRef,
  type Entry,
  type Posting,
  type TransferKind,
} from './ledger.ts';
import { sumOf } from './money.ts';

/** What the ledger knows of one purchase, read from its postings; there is no second record that could differ. */
export interface SaleState {
  purchaseId: string;
  currency: string;
  /** Where the money came from and goes back to. */
  payer: AccountRef;
  paid: number;
  /** Refunded or lost in disputes. */
  returned: number;
  /** In reserve for open disputes. */
  reserved: number;
  /** What each party has of this sale now, in the order in which the sale named them. */
  held: ReadonlyArray<{ account: AccountRef; amount: number }>;
  /** Every posting of the purchase, in the order of posting. */
  postings: readonly Posting[];
}

const payers: readonly AccountKind[] = ['outside', 'credits'];
const parties: readonly AccountKind[] = ['creator', 'platform', 'blessings', 'tax'];
/** Between provider and platform alone: no part of what the parties got, or of what a buyer can get back. */
const besides: readonly TransferKind[] = ['fee_taken', 'fee_returned', 'beyond_taken', 'beyond_returned'];
const countsFor = ({ kind }: Posting) => !besides.includes(kind);

/** @returns undefined before the sale is posted */
export function saleStateOf(purchaseId: string, postings: readonly Posting[]): SaleState | undefined {
  const sale = postings.find(({ kind }) => kind === 'sale');
  if (!sale) return undefined;
  const counted = postings.filter(countsFor);
  const entries = counted.flatMap((each) => each.entries);
  const of = (account: AccountRef) =>
    sumOf(entries.filter((entry) => accountKey(entry.account) === accountKey(account)).map(({ amount }) => amount));
  const all = (from: readonly Entry[], kinds: readonly AccountKind[]) =>
    sumOf(from.filter(({ account }) => kinds.includes(account.kind)).map(({ amount }) => amount));
  const source = counted
    .filter(({ kind }) => kind === 'hold' || kind === 'sale')
    .flatMap((each) => each.entries)
    .find(({ account, amount }) => amount < 0 && payers.includes(account.kind));
  if (!source) throw new DomainError('INTERNAL', `nobody paid for ${purchaseId}`);
  const paid = all(sale.entries, parties);
  return {
    purchaseId,
    currency: sale.currency,
    payer: source.account,
    paid,
    returned: paid + all(entries, payers),
    reserved: all(entries, ['disputes']),
    held: sale.entries
      .filter(({ account }) => parties.includes(account.kind))
      .map(({ account }) => ({ account, amount: of(account) })),
    postings,
  };
}

/**
 * Of a purchase that came to nothing, in place of its sale: nobody has anything of it, so all that a provider takes for it is
 * beyond.
 */
export function unsold({ purchaseId, currency, provider }: Record<'purchaseId' | 'currency' | 'provider', string>) {
  const nothing = { paid: 0, returned: 0, reserved: 0, held: [], postings: [] };
  return { purchaseId, currency, payer: accountOf.outside(provider), ...nothing } satisfies SaleState;
}

/** The sale as it stands once these are posted too. */
export function saleWith(sale: SaleState, more: readonly Posting[]): SaleState {
  if (more.length === 0) return sale;
  const postings = [...sale.postings, ...more];
  return saleStateOf(sale.purchaseId, postings) ?? { ...sale, postings };
}

/** What can still be refunded or disputed. */
export function leftOf({ held }: SaleState): number {
  return sumOf(held.map(({ amount }) => amount));
}
