export interface MasksSearch {
  q?: string;
  archetype?: string;
  state?: string;
  drift?: string;
  machineId?: string;
}

const names = ['q', 'archetype', 'state', 'drift', 'machineId'] as const;

/** What stands in the address, so that a search can be linked to. */
export function masksSearch(search: Record<string, unknown>): MasksSearch {
  return Object.fromEntries(
    names.flatMap((name) => (typeof search[name] === 'string' && search[name] !== '' ? [[name, search[name]]] : [])),
  );
}
