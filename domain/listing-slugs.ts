import { idPrefixes, idSchema } from './ids.ts';

/** Digits that the 128 bits of a UUID have in base 36. */
const idDigits = 25;
const mostWordChars = 60;

/**
 * What stands in the address of a listing: words of its title for people, then its id in base 36. The id alone counts, so a
 * title may change and an address that was passed on before still opens it.
 */
export function listingSlug({ id, title }: { id: string; title: string }): string {
  const words = title
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, mostWordChars)
    .replaceAll(/^-+|-+$/g, '');
  const digits = BigInt(`0x${id.slice(id.indexOf('_') + 1).replaceAll('-', '')}`)
    .toString(36)
    .padStart(idDigits, '0');
  return words === '' ? digits : `${words}-${digits}`;
}

/** @returns undefined for what is the address of no listing */
export function listingIdOf(slug: string): string | undefined {
  const digits = /^(?:[a-z0-9]+-)*([0-9a-z]{25})$/.exec(slug)?.[1];
  if (digits === undefined) return undefined;
  let bits = 0n;
  for (const digit of digits) bits = bits * 36n + BigInt(Number.parseInt(digit, 36));
  const hex = bits.toString(16).padStart(32, '0');
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
  const id = `${idPrefixes.listing}_${parts.join('-')}`;
  return idSchema('listing').safeParse(id).success ? id : undefined;
}
