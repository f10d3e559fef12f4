import { currencyDecimals } from '../../domain/currencies.ts';
import { DomainError } from '../../domain/errors.ts';
import { fieldError } from '../../domain/field-errors.ts';
import { type Money, moneyText } from '../../domain/money.ts';

/**
 * Amounts as Stripe wants them (docs.stripe.com/currencies): the currency in lower case, and whole units of what Stripe calls
 * minor, which for some currencies is not what ISO 4217 does.
 */
interface StripeAmount {
  amount: number;
  currency: string;
}

/** Kept at two decimals for old callers; the last two digits must be 00. */
const zeroDecimalInHundredths = new Set(['ISK', 'UGX']);
/** Without decimals at Stripe, with two in ISO 4217. */
const wholeUnitsOnly = new Set(['MGA']);
/** The three-decimal ones that Stripe takes; the last digit must be 0. */
const threeDecimals = new Set(['BHD', 'JOD', 'KWD', 'OMR', 'TND']);

/** @throws INVALID_INPUT where Stripe cannot say the amount exactly: nothing is ever rounded */
export function toStripe({ amount, currency }: Money): StripeAmount {
  const code = currency.toLowerCase();
  if (currencyDecimals.get(currency) === 3) {
    if (!threeDecimals.has(currency)) {
      throw fieldError('currency', `must not be ${currency}: Stripe does not take it`, 'Use another currency.');
    }
    return { amount: multipleOf(10, { amount, currency }), currency: code };
  }
  if (zeroDecimalInHundredths.has(currency)) return { amount: exact(amount * 100), currency: code };
  if (wholeUnitsOnly.has(currency)) return { amount: multipleOf(100, { amount, currency }) / 100, currency: code };
  return { amount, currency: code };
}

/** @throws INTERNAL for what is no amount of a currency we know: it would stand in the books as something else */
export function fromStripe({ amount, currency }: StripeAmount): Money {
  const code = currency.toUpperCase();
  if (!currencyDecimals.has(code))
    throw new DomainError('INTERNAL', `Stripe names a currency unknown here: ${currency}`);
  if (zeroDecimalInHundredths.has(code)) {
    if (amount % 100 !== 0) throw new DomainError('INTERNAL', `${amount} ${currency} of Stripe is no whole amount`);
    return { amount: amount / 100, currency: code };
  }
  if (wholeUnitsOnly.has(code)) return { amount: exact(amount * 100), currency: code };
  return { amount: exact(amount), currency: code };
}

function multipleOf(unit: number, money: Money): number {
  if (money.amount % unit === 0) return money.amount;
  const least = { amount: unit, currency: money.currency };
  throw fieldError(
    'amount',
    `must be a multiple of ${moneyText(least)}: Stripe takes ${money.currency} no finer`,
    `Write ${moneyText({ ...money, amount: Math.ceil(money.amount / unit) * unit })}, for instance.`,
  );
}

function exact(amount: number): number {
  if (Number.isSafeInteger(amount)) return amount;
  throw new DomainError('INTERNAL', `${amount} left the safe integers`);
}
