import { invalidInput } from '../../domain/field-errors.ts';
import { decodeUtf8, parseJsonText } from '../../domain/json-text.ts';
import type { Api } from '../types.ts';
import type { z } from 'zod';

/** Bytes of a body, and of a line where the body is a stream of lines. */
export const bodyLimit = 64 * 1024;

/** JSON in strict UTF-8; NDJSON is handed on as the stream it is. Nothing else is read. */
export function registerBodies(app: Api): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, parseJson(body as Buffer));
    } catch (err) {
      done(err as Error);
    }
  });
}

/** For the scope of routes that read a body as it comes in, and bound it themselves. */
export function registerStreamBodies(app: Api, types = ['application/x-ndjson', 'application/json']): void {
  for (const type of types) {
    app.addContentTypeParser(type, (_request, payload, done) => done(null, payload));
  }
}

function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  return parseJsonText(decodeUtf8(bytes));
}

const places: Record<string, string> = { querystring: 'query.', params: 'path.', headers: 'headers.', body: '' };

/** Every schema is zod; what breaks it is told field by field. */
export function registerValidation(app: Api): void {
  app.setValidatorCompiler<z.ZodType>(({ schema, httpPart }) => (data: unknown) => {
    const parsed = schema.safeParse(data);
    if (parsed.success) return { value: parsed.data };
    return { error: invalidInput(parsed.error, data, schema, places[httpPart ?? 'body'] ?? '') };
  });
}
