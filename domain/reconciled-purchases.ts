import { beyondOf, type Claim } from './claims.ts';
import type { Posting } from './ledger.ts';
import { isMoneyCause, licenseByMoney } from './license-standing.ts';
import { mayCome } from './licenses.ts';
import { sumOf } from './money.ts';
import { isEndedPurchase } from './purchases.ts';
import type { Discrepancy } from './reconciliation.ts';
import { type SaleState, saleStateOf } from './sale-state.ts';
import type { LicenseState, PurchaseState } from './states.ts';

/** A purchase with all that must agree, as it stood in one snapshot. */
export interface PurchaseFacts {
  id: string;
  state: PurchaseState;
  /** What it costs, minor units. */
  amount: number;
  currency: string;
  license: { state: LicenseState; suspendedBy: readonly string[]; revokedByMoney: boolean } | null;
  /** Through the provider, in the order in which they came; refunds of credits are done and covered. */
  claims: readonly Claim[];
  postings: readonly Posting[];
}

/**
 * Where purchase, license and money do not agree. A license that was revoked or suspended by hand, has expired or was used
 * up is nobody's mistake: what is judged is what money alone brings about, by the rules that brought it about.
 */
export function comparePurchase(facts: PurchaseFacts): Discrepancy[] {
  const { id, state, amount, currency, license, claims, postings } = facts;
  const found: Discrepancy[] = [];
  const differs = (kind: Discrepancy['kind'], expected: string, is: string, subject = id) => {
    found.push({ kind, subject, expected, found: is });
  };
  const sale = saleStateOf(id, postings);
  for (const claim of claims) compareClaim(postings, claim, differs);
  if (isEndedPurchase({ state })) compareEscrow(postings, differs);
  if (state !== 'completed') {
    if (sale) differs('purchase', 'completed, for its sale is posted', state);
    // Pending while it is bought, revoked where that came to nothing.
    if (license && license.state !== 'pending' && license.state !== 'revoked')
      differs('license', `pending or revoked, for ${id} is ${state}`, license.state);
    return found;
  }
  if (!license) differs('license', 'one, for it was paid', 'none');
  if (!sale) {
    differs('purchase', 'a sale in the ledger', 'none');
    return found;
  }
  if (sale.paid !== amount || sale.currency !== currency)
    differs('purchase', `${amount} ${currency} paid`, `${sale.paid} ${sale.currency}`);
  if (license) compareLicense(sale, facts, license, differs);
  return found;
}

type Differs = (kind: Discrepancy['kind'], expected: string, is: string, subject?: string) => void;

/** What rows say of refunds and disputes, and what the ledger has of them. */
function compareClaim(postings: readonly Posting[], claim: Claim, differs: Differs): void {
  const key = `${claim.kind}:${claim.id}`;
  const into = (which: (posting: Posting) => boolean) =>
    sumOf(
      postings
        .filter(which)
        .flatMap(({ entries }) => entries.filter(({ amount }) => amount > 0).map(({ amount }) => amount)),
    );
  const covered = into(({ id }) => id === key || id.startsWith(`${key}:covered:`));
  if (covered !== claim.covered) differs('purchase', `${claim.covered} covered`, String(covered), key);
  const beyond =
    into(({ id, kind }) => kind === 'beyond_taken' && id === `${key}:beyond`) -
    into(({ id, kind }) => kind === 'beyond_returned' && id.startsWith(`${key}:beyond:`));
  if (beyond !== beyondOf(claim)) differs('purchase', `${beyondOf(claim)} beyond`, String(beyond), key);
}

/** What was captured waits there for as long as the purchase is under way, and no longer. */
function compareEscrow(postings: readonly Posting[], differs: Differs): void {
  const entries = postings.flatMap((posting) => posting.entries).filter(({ account }) => account.kind === 'escrow');
  const held = sumOf(entries.map(({ amount }) => amount));
  if (held !== 0) differs('purchase', 'nothing in escrow, for it has ended', String(held));
}

function compareLicense(
  sale: SaleState,
  { claims }: PurchaseFacts,
  license: NonNullable<PurchaseFacts['license']>,
  differs: Differs,
): void {
  const { revoked, causes } = licenseByMoney(sale, claims);
  if (revoked) {
    if (mayCome('revoked', license.state)) differs('license', 'revoked, for its money went back', license.state);
    return;
  }
  if (license.state === 'revoked') {
    if (license.revokedByMoney) differs('license', 'in force, for money is left of its sale', 'revoked');
    return;
  }
  if (license.state === 'pending') {
    differs('license', 'active, for it was paid', 'pending');
    return;
  }
  const missing = causes.filter((cause) => !license.suspendedBy.includes(cause));
  if (missing.length > 0) differs('license', `suspended by ${missing.join(', ')}`, license.state);
  const over = license.suspendedBy.filter((cause) => isMoneyCause(cause) && !causes.includes(cause));
  if (over.length > 0) differs('license', `no longer suspended by ${over.join(', ')}`, license.state);
}
