/**
 * What this browser keeps for a person. Where it gives pages no storage the same holds until the page is closed: a look or a place
 * that is forgotten is no reason to show nothing.
 */
const here = new Map<string, string>();

function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch (err) {
    // Refused by the browser's own settings: the getter itself throws.
    if (err instanceof DOMException) return undefined;
    throw err;
  }
}

export function kept(name: string): string | null {
  return storage()?.getItem(name) ?? here.get(name) ?? null;
}

/** @param value undefined: it is forgotten */
export function keep(name: string, value: string | undefined): void {
  if (value === undefined) {
    here.delete(name);
    storage()?.removeItem(name);
    return;
  }
  const store = storage();
  if (store) store.setItem(name, value);
  else here.set(name, value);
}
