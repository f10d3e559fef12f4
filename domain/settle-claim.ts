import { beyondOf, type Claim, onItsWay } from './claims.ts';
import { DomainError } from './errors.ts';
import { accountOf, type AccountRef, type Posting, posting } from './ledger.ts';
import { type LicenseStanding, licenseByMoney } from './license-standing.ts';
import { moneyText, requireAmount, sumOf } from './money.ts';
import { refunded, takenBack } from './postings.ts';
import { leftOf, type SaleState, saleWith } from './sale-state.ts';

type Told<Each> = Each extends Claim ? Omit<Each, 'covered'> : never;

export interface Settlement {
  postings: Posting[];
  /** The sale once they are posted. */
  sale: SaleState;
  /** Claims that are new, or not what they were. */
  changed: Claim[];
  license: LicenseStanding;
}

/**
 * What follows from what is told of a claim, in whatever order it comes: one that has ended stays as it ended, and told
 * again it changes nothing. Only a refund that was given up may have been made all the same: then it is taken like any other.
 * @param claims all of the purchase that are known, in the order in which they came
 * @param by who is paid back, and why, as it stands in the ledger
 * @throws CONFLICT where a refund is asked for of more than is left beside what is on its way
 */
export function settleClaim(
  sale: SaleState,
  claims: readonly Claim[],
  told: Told<Claim>,
  by: { userId: string; reason: string },
): Settlement {
  const known = claims.find(({ kind, id }) => kind === told.kind && id === told.id);
  const others = claims.filter((each) => each !== known);
  if (known !== undefined && !mayFollow(known, told))
    return { postings: [], sale, changed: [], license: licenseByMoney(sale, claims) };
  const { amount, currency } = known ?? told;
  requireAmount(amount, 1);
  const reserved = onItsWay(sale, others);
  // The state goes with the kind, which a spread does not show to the compiler.
  const as = (state: Claim['state'], covered: number) =>
    ({ kind: told.kind, id: told.id, amount, currency, state, covered }) as Claim;
  switch (told.state) {
    case 'pending':
      refuseMoreThanLeft(sale, amount, reserved);
      return settled(sale, [], as('pending', 0));
    case 'open':
    case 'done':
      return take(told.state);
    case 'failed':
      return freed(sale, [], as('failed', 0));
    case 'lost':
    case 'won': {
      const opened = known ? settled(sale, [], known) : take('open');
      const claim = as(told.state, opened.changed[0]!.covered);
      const ended = disputeEnded(opened.sale, claim, by.reason);
      const postings = [...opened.postings, ...ended];
      const after = saleWith(opened.sale, ended);
      return told.state === 'won' ? freed(after, postings, claim) : settled(after, postings, claim);
    }
  }

  /** At most what is left beside what is on its way; the rest the provider took of the platform. */
  function take(state: 'done' | 'open'): Settlement {
    const covered = currency === sale.currency ? Math.min(amount, Math.max(0, leftOf(sale) - reserved)) : 0;
    const claim = as(state, covered);
    const postings = [
      ...(covered === 0 ? [] : [coveredBy(sale, claim, covered, by)]),
      ...(covered === amount ? [] : [moved(sale, claim, 'beyond_taken', 'beyond', amount - covered)]),
    ];
    return settled(saleWith(sale, postings), postings, claim);
  }

  /** What others lack is covered by what is free now, the first that came first. */
  function freed(after: SaleState, postings: readonly Posting[], claim: Claim): Settlement {
    const more: Posting[] = [];
    const changed: Claim[] = [];
    let at = after;
    for (const other of others.filter((each) => each.currency === sale.currency)) {
      const free = Math.min(beyondOf(other), Math.max(0, leftOf(at) - reserved));
      if (free === 0) continue;
      const to = other.state === 'open' ? accountOf.disputes(by.userId) : at.payer;
      const covering = [
        posting({
          ...draftOf(at, `${keyOf(other)}:covered:${claim.id}`),
          kind: 'beyond_covered',
          reason: by.reason,
          entries: takenBack(at, free, to),
        })!,
        moved(at, other, 'beyond_returned', `beyond:${claim.id}`, free),
      ];
      more.push(...covering);
      at = saleWith(at, covering);
      changed.push({ ...other, covered: other.covered + free });
    }
    return settled(at, [...postings, ...more], claim, ...changed);
  }

  function settled(after: SaleState, postings: Posting[], ...changed: Claim[]): Settlement {
    const isChanged = ({ kind, id }: Claim) => changed.some((each) => each.kind === kind && each.id === id);
    const all = [...others.filter((each) => !isChanged(each)), ...changed];
    return { postings, sale: after, changed, license: licenseByMoney(after, all) };
  }
}

function mayFollow({ state }: Claim, told: Told<Claim>): boolean {
  if (state === 'failed') return told.state === 'done';
  return (state === 'pending' || state === 'open') && told.state !== state;
}

function keyOf({ kind, id }: Claim): string {
  return `${kind}:${id}`;
}

/** What the parties give for a claim as it comes: a refund is back at once, a dispute is in reserve while it is open. */
function coveredBy(sale: SaleState, claim: Claim, amount: number, by: { userId: string; reason: string }): Posting {
  if (claim.kind === 'refund') return refunded(sale, { refundId: claim.id, amount, reason: by.reason });
  return posting({
    ...draftOf(sale, keyOf(claim)),
    kind: 'dispute_opened',
    reason: by.reason,
    entries: takenBack(sale, amount, accountOf.disputes(by.userId)),
  })!;
}

/**
 * Won: what was set aside for it is turned round, so each party has exactly what was taken of it, and the platform what was
 * beyond. Lost: the reserve goes to who paid. Where nothing was set aside nothing moves.
 */
function disputeEnded(sale: SaleState, claim: Claim, reason: string): Posting[] {
  const key = keyOf(claim);
  const entries = sale.postings
    .filter(({ id }) => id === key || id.startsWith(`${key}:covered:`))
    .flatMap((each) => each.entries.map(({ account, amount }) => ({ account, amount: -amount })));
  const reserve = entries.filter(({ account }) => account.kind === 'disputes');
  const back = -sumOf(reserve.map(({ amount }) => amount));
  const isWon = claim.state === 'won';
  const ended = posting({
    ...draftOf(sale, `${key}:ended`),
    kind: isWon ? 'dispute_won' : 'dispute_lost',
    reason,
    entries: isWon ? entries : [...reserve, { account: sale.payer, amount: back }],
  });
  const beyond = claim.amount - claim.covered;
  return [
    ...(ended === undefined ? [] : [ended]),
    ...(isWon && beyond > 0 ? [moved(sale, claim, 'beyond_returned', 'beyond:ended', beyond)] : []),
  ];
}

/** Between the platform and who paid, that is the provider: no part of what the parties gave. */
function moved(
  sale: SaleState,
  claim: Claim,
  kind: 'beyond_taken' | 'beyond_returned',
  what: string,
  amount: number,
): Posting {
  const out = kind === 'beyond_taken' ? amount : -amount;
  const sides: Array<[AccountRef, number]> = [
    [accountOf.platform(), -out],
    [sale.payer, out],
  ];
  const entries = sides.map(([account, side]) => ({ account, amount: side }));
  const { currency } = claim;
  return posting({ ...draftOf(sale, `${keyOf(claim)}:${what}`), currency, kind, reason: '', entries })!;
}

function draftOf({ currency, purchaseId }: SaleState, id: string) {
  return { id, currency, purchaseId };
}

function refuseMoreThanLeft(sale: SaleState, amount: number, reserved: number): void {
  const left = leftOf(sale) - reserved;
  const { purchaseId, currency } = sale;
  if (left <= 0) throw new DomainError('CONFLICT', `nothing is left of ${purchaseId} to be refunded`);
  if (amount <= left) return;
  const [more, most] = [amount, left].map((each) => moneyText({ amount: each, currency }));
  throw new DomainError('CONFLICT', `${more} is more than the ${most} that is left of ${purchaseId}`);
}
