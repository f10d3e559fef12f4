import { z } from 'zod';

/** RFC 6901, not the whole document: `/issue/title`, `/lines/0`. */
export const jsonPointerSchema = z
  .string()
  .max(200)
  .regex(/^(?:\/(?:[^~/]|~[01])*)+$/, 'must be a JSON pointer, such as /issue/title');

/** What stands at a pointer; undefined where nothing does. */
export function atPointer(json: unknown, pointer: string): unknown {
  let here = json;
  for (const part of pointer.slice(1).split('/')) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(here)) here = /^(?:0|[1-9]\d{0,8})$/.test(key) ? (here as unknown[])[Number(key)] : undefined;
    else if (typeof here === 'object' && here !== null && Object.hasOwn(here, key)) {
      here = (here as Record<string, unknown>)[key];
    } else return undefined;
  }
  return here;
}

/** Whether a JSON text opens more brackets in one another than `most`; what stands in strings is passed over. */
export function nestsOver(text: string, most: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i += 1) {
    const sign = text[i];
    if (inString) {
      if (sign === '\\') i += 1;
      else if (sign === '"') inString = false;
    } else if (sign === '"') inString = true;
    else if (sign === '[' || sign === '{') {
      depth += 1;
      if (depth > most) return true;
    } else if (sign === ']' || sign === '}') depth -= 1;
  }
  return false;
}
