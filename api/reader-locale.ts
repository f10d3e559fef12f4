/** The first language of `Accept-Language` that this Node knows; English where there is none. */
export function readerLocale(header: string | undefined): string {
  for (const wish of (header ?? '').slice(0, 200).split(',')) {
    const tag = wish.split(';')[0]!.trim();
    if (!/^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*$/.test(tag)) continue;
    const [known] = supportedOf(tag);
    if (known !== undefined) return known;
  }
  return 'en';
}

/** Well-formed by its letters, a tag may still be none: `de-de-de` names a region twice. */
function supportedOf(tag: string): string[] {
  try {
    return Intl.NumberFormat.supportedLocalesOf(tag);
  } catch (err) {
    if (err instanceof RangeError) return [];
    throw err;
  }
}
