import { beyondOf, type Claim, pendingOf } from './claims.ts';
import { mayCome } from './licenses.ts';
import { sumOf } from './money.ts';
import { disputeCause, refundCause } from './payments.ts';
import type { LicenseState } from './states.ts';
import { leftOf, type SaleState } from './sale-state.ts';

/** What the money of a purchase says of its license; who runs things by hand may take more away. */
export interface LicenseStanding {
  /** All the money is back, or a dispute was lost: nothing brings it back. */
  revoked: boolean;
  /** Why it is suspended. */
  causes: string[];
}

/**
 * While a dispute is open, and while all that is left of the sale is on its way back, a license permits nothing: it could be
 * used up before the money has gone. A part of the price that goes back leaves it as it is.
 */
export function licenseByMoney(sale: SaleState, claims: readonly Claim[]): LicenseStanding {
  // With what went back beyond what was left: the buyer has it for good, whoever bears it.
  const made = claims.filter(({ state, currency }) => state === 'done' && currency === sale.currency);
  const back = sale.returned + sumOf(made.map(beyondOf));
  if (back >= sale.paid || claims.some(({ state }) => state === 'lost')) return { revoked: true, causes: [] };
  const pending = pendingOf(sale, claims);
  const last = pending.at(-1);
  const isAllOnItsWay = last !== undefined && leftOf(sale) <= sumOf(pending.map(({ amount }) => amount));
  const disputes = claims.filter(({ state }) => state === 'open');
  return {
    revoked: false,
    causes: [...disputes.map(({ id }) => disputeCause(id)), ...(isAllOnItsWay ? [refundCause(last.id)] : [])],
  };
}

export type LicenseStep = { change: 'revoked' } | { change: 'suspended' | 'reinstated'; cause: string };

/** Changes that bring a license to where its money says it stands; suspended first, so that it never permits in between. */
export function licenseSteps(
  license: { state: LicenseState; suspendedBy: readonly string[] },
  { revoked, causes }: LicenseStanding,
): LicenseStep[] {
  if (revoked) return mayCome('revoked', license.state) ? [{ change: 'revoked' }] : [];
  if (!mayCome('suspended', license.state)) return [];
  const own = license.suspendedBy.filter(isMoneyCause);
  return [
    ...causes.filter((cause) => !own.includes(cause)).map((cause) => ({ change: 'suspended' as const, cause })),
    ...own.filter((cause) => !causes.includes(cause)).map((cause) => ({ change: 'reinstated' as const, cause })),
  ];
}

export function isMoneyCause(cause: string): boolean {
  return cause.startsWith(disputeCause('')) || cause.startsWith(refundCause(''));
}
