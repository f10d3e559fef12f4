/**
 * JSON that is the same bytes wherever it is written: keys in the order of their UTF-16 code units, no white space, `undefined`
 * left out. What is signed or hashed is written so (the order and the numbers are those of RFC 8785).
 * @throws RangeError for a number that JSON does not know
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((each) => canonicalJson(each ?? null)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
    return `{${members.join(',')}}`;
  }
  if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError(`${value} cannot stand in JSON`);
  return JSON.stringify(value);
}
