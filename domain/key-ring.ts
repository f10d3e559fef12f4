/** As many as a ring may hold: one rotated every quarter lasts four years. */
export const mostRingKeys = 16;

/**
 * A ring as a setting has it: keys of 32 bytes as base64url, apart by commas, spaces or line ends. The first closes, all open.
 * @returns undefined where it is none
 */
export function keyRingOf(text: string): string[] | undefined {
  const keys = text.split(/[\s,]+/).filter((part) => part !== '');
  const isRing = keys.length > 0 && keys.length <= mostRingKeys && new Set(keys).size === keys.length;
  return isRing && keys.every((key) => /^[\w-]{43}$/.test(key)) ? keys : undefined;
}

/** The setting that `keyRingOf` reads. */
export const keyRingText = (keys: readonly string[]): string => keys.join(',');
