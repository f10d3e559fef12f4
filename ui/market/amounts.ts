/**
 * Whole minor units of what a person typed, by a dot or a comma and the decimals of the currency: never by a float.
 * @returns undefined for what is no amount above nothing
 */
export function minorUnits(typed: string, currency: string): number | undefined {
  const parts = /^(\d{1,12})(?:[.,](\d+))?$/.exec(typed.trim());
  if (!parts || !/^[A-Za-z]{3}$/.test(currency)) return undefined;
  const format = new Intl.NumberFormat('en', { style: 'currency', currency });
  const decimals = format.resolvedOptions().maximumFractionDigits ?? 2;
  const [, whole, fraction = ''] = parts;
  if (fraction.length > decimals) return undefined;
  const amount = Number(`${whole}${fraction.padEnd(decimals, '0')}`);
  return Number.isSafeInteger(amount) && amount > 0 ? amount : undefined;
}
