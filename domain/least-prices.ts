import { fieldError } from './field-errors.ts';
import { type Money, moneyText } from './money.ts';
import type { SaleWeights } from './shares.ts';

/** What of fleet.yaml's `market` prices go by. */
export interface PriceRules {
  saleWeights: SaleWeights;
  /** By currency, in minor units; one that is not named has the least that its usual fee permits. */
  leastPrices: Readonly<Record<string, number>>;
}

/** What a card payment usually costs at a provider: this part of the price, and 0.30 of a euro in its currency. */
export const usualFeePercent = 3;
const usualFixedFees: ReadonlyMap<string, number> = new Map([
  ['EUR', 30],
  ['USD', 30],
  ['GBP', 30],
  ['CHF', 30],
  ['CAD', 45],
  ['AUD', 50],
  ['JPY', 50],
  ['KRW', 500],
  ['KWD', 100],
  ['BHD', 125],
]);

/**
 * The least price at which nobody who has a weight goes away empty and, where the usual fee of the currency is known, the
 * platform's part pays it: price × (platform − 3) % ≥ fixed part + 1. The unit more is for rounding on both sides.
 * The platform's weight is over 3, which `saleWeightsSchema` sees to. Minor units.
 */
export function leastPayable(currency: string, { creator, platform, blessings }: SaleWeights): number {
  const whole = creator + platform + blessings;
  const least = Math.min(...[creator, platform, blessings].filter((weight) => weight > 0));
  const shared = Math.ceil(whole / least);
  const fixed = usualFixedFees.get(currency);
  if (fixed === undefined) return shared;
  return Math.max(shared, Math.ceil(((fixed + 1) * 100 * whole) / (100 * platform - usualFeePercent * whole)));
}

/** Minor units: as fleet.yaml names it, else the least that is payable, in one round digit. */
function leastPrice(currency: string, { saleWeights, leastPrices }: PriceRules): number {
  return leastPrices[currency] ?? roundUp(leastPayable(currency, saleWeights));
}

function roundUp(amount: number): number {
  const digit = 10 ** (String(amount).length - 1);
  return Math.ceil(amount / digit) * digit;
}

/** @throws INVALID_INPUT with field, rule and mend */
export function refuseLowPrice(price: Money, rules: PriceRules, path = 'price.amount'): void {
  const amount = leastPrice(price.currency, rules);
  if (price.amount >= amount) return;
  const least = moneyText({ amount, currency: price.currency });
  throw fieldError(path, `must be at least ${amount} (${least})`, `Write ${amount} or more.`);
}

/**
 * Why a price is not paid through a provider, whose fee would be more than the platform gets of it; undefined: it is. A
 * listing may be older than the rules, and of a currency whose fee nobody knows the operator has to name the least price.
 */
export function refusedByFee(price: Money, rules: PriceRules): string | undefined {
  const { currency } = price;
  if (rules.leastPrices[currency] === undefined && !usualFixedFees.has(currency))
    return `${currency} is sold for credits alone: fleet.yaml names no least price for it in market.leastPrices`;
  const amount = leastPrice(currency, rules);
  if (price.amount >= amount) return undefined;
  const [has, least] = [price, { amount, currency }].map(moneyText);
  return `${has} is less than the ${least} that is paid through a provider at the least`;
}
