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

/** What stands under these names is of one person alone; the last two are those of before. */
const own = 'soulfra-own-';
const ofPersons = [own, 'soulfra.proof.', 'soulfra.pins.'];
const owner = 'soulfra-owner';

/** Of whoever is signed in: it goes as they sign out, and as another one signs in. */
export const keptOwn = (name: string): string | null => kept(own + name);
export const keepOwn = (name: string, value: string): void => keep(own + name, value);

export function forgetOwn(): void {
  const store = storage();
  const names = [...here.keys(), ...(store ? Object.keys(store) : [])];
  for (const name of names) if (ofPersons.some((each) => name.startsWith(each))) keep(name, undefined);
  keep(owner, undefined);
}

/** Who is here now: what another one kept is not theirs. */
export function isOwnedBy(userId: string): void {
  if (kept(owner) === userId) return;
  forgetOwn();
  keep(owner, userId);
}
