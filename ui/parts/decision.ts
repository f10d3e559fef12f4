import { useRef } from 'react';

/** Also where the page is no secure context, in which browsers leave out `randomUUID`. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Keys of decisions by their content, for what is asked in a dialog: closed and opened again, the same decision is the same one. */
export function useDecisions() {
  const keys = useRef(new Map<string, string>());
  return {
    keyFor: (content: unknown): string => {
      const written = JSON.stringify(content);
      const key = keys.current.get(written) ?? newKey();
      keys.current.set(written, key);
      return key;
    },
    /** What was refused was not done: to ask for it once more is another decision. */
    refused: (content: unknown): void => {
      keys.current.delete(JSON.stringify(content));
    },
  };
}

/**
 * The Idempotency-Key of one decision of a person: the same for every try of the same content, so that it is carried out once,
 * and another as soon as they decide anew.
 */
export function useDecision(): { keyFor: (content: unknown) => string; made: () => void } {
  const last = useRef<{ content: string; key: string }>(undefined);
  return {
    keyFor: (content) => {
      const written = JSON.stringify(content);
      if (last.current?.content !== written) last.current = { content: written, key: newKey() };
      return last.current.key;
    },
    made: () => {
      last.current = undefined;
    },
  };
}
