import { DomainError } from './errors.ts';

/**
 * Strict UTF-8; a byte order mark at the start is left out.
 * @throws MALFORMED_BODY
 */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DomainError('MALFORMED_BODY', 'not valid UTF-8', { cause });
  }
}

/** @throws MALFORMED_BODY */
export function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DomainError('MALFORMED_BODY', `not JSON: ${cause instanceof Error ? cause.message : ''}`, { cause });
  }
}
