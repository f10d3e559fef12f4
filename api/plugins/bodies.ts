import { DomainError } from '../../domain/errors.ts';
import { fieldErrors } from '../../domain/field-errors.ts';
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

/** For the scope of routes that take NDJSON. */
export function registerLineBodies(app: Api): void {
  app.addContentTypeParser('application/x-ndjson', (_request, payload, done) => done(null, payload));
}

function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  return parseJsonText(decodeUtf8(bytes));
}

export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DomainError('MALFORMED_BODY', 'the body is not valid UTF-8', { cause });
  }
}

export function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DomainError('MALFORMED_BODY', `not JSON: ${cause instanceof Error ? cause.message : ''}`, { cause });
  }
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

export function invalidInput(error: z.ZodError, input: unknown, schema: z.ZodType, place = ''): DomainError {
  const fields = fieldErrors(error, input, { schema }).map((field) => ({
    ...field,
    path: `${place}${field.path}`.replace(/\.$/, ''),
  }));
  const said = fields.map(({ path, rule }) => `${path === '' ? 'the body' : path} ${rule}`).join('; ');
  return new DomainError('INVALID_INPUT', said, { fields });
}
