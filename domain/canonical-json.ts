/** What canonical JSON may hold here: no fractions, which programs write differently. */
export type CanonicalValue =
  | string
  | number
  | boolean
  | null
  | readonly CanonicalValue[]
  | { readonly [name: string]: CanonicalValue };

/**
 * The one text of a value (RFC 8785 for whole numbers): keys sorted by their UTF-16 units, no white space. What is signed is
 * written so, and verifier/ refuses what is not.
 * @throws RangeError for a number that is no safe integer, and for text with half a surrogate pair
 */
export function canonicalJson(value: CanonicalValue): string {
  if (isList(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.keys(value)
      .toSorted()
      .map((name) => `${textOf(name)}:${canonicalJson(value[name]!)}`);
    return `{${members.join(',')}}`;
  }
  if (typeof value === 'string') return textOf(value);
  if (typeof value === 'number' && !(Number.isSafeInteger(value) && !Object.is(value, -0)))
    throw new RangeError(`${value} is no whole number that every program writes the same`);
  return JSON.stringify(value);
}

function textOf(text: string): string {
  if (!text.isWellFormed()) throw new RangeError('half a surrogate pair has no UTF-8');
  return JSON.stringify(text);
}

function isList(value: CanonicalValue): value is readonly CanonicalValue[] {
  return Array.isArray(value);
}
