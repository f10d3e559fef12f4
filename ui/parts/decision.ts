import { useRef } from 'react';

/** Also where the page is no secure context, in which browsers leave out `randomUUID`. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export interface Decisions {
  keyFor: (content: unknown) => string;
  /** It was carried out, or refused and so not done: to ask for the same once more is another decision. */
  over: (content: unknown) => void;
}

/**
 * The Idempotency-Keys of decisions of a person, by their content: the same for every try of the same, so that it is carried out
 * once, also where something else was tried in between. Kept by a view, they outlive the dialog in which it is asked.
 */
export function useDecisions(): Decisions {
  const keys = useRef(new Map<string, string>());
  return {
    keyFor: (content) => {
      const written = JSON.stringify(content);
      const key = keys.current.get(written) ?? newKey();
      keys.current.set(written, key);
      return key;
    },
    over: (content) => {
      keys.current.delete(JSON.stringify(content));
    },
  };
}
