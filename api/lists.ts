import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { DomainError } from '../domain/errors.ts';
import type { Role } from '../domain/states.ts';
import type { Principal } from '../stores/principals.ts';
import { callerOf } from './plugins/roles.ts';
import { problemResponses } from './schemas.ts';
import type { Api } from './types.ts';

const formats = ['json', 'ndjson', 'csv'] as const;
type Format = (typeof formats)[number];
const mediaTypes: Record<Format, string> = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
};

const listShape = {
  limit: z.coerce.number().int().min(1).max(200).default(50).describe('Rows of a page'),
  cursor: z.string().max(400).optional().describe('`nextCursor` of the page before'),
  format: z.enum(formats).optional().describe('Default: by the Accept header, else json'),
};

/** A cursor is the sort key of the last row read; opaque to callers, and of no use to forge: rows stay filtered by owner. */
export function encodeCursor(key: string): string {
  return Buffer.from(key, 'utf8').toString('base64url');
}

export function decodeCursor(cursor: string, keySchema: z.ZodType<string>): string {
  const key = keySchema.safeParse(Buffer.from(cursor, 'base64url').toString('utf8'));
  if (key.success && encodeCursor(key.data) === cursor) return key.data;
  const field = { path: 'query.cursor', rule: 'must be a cursor of this list', mend: 'Leave it out to start anew.' };
  throw new DomainError('INVALID_INPUT', `${field.path} ${field.rule}`, { fields: [field] });
}

interface OpenPage {
  limit: number;
  after: string | undefined;
}

export interface ListRoute<Item extends z.ZodObject, Extra extends z.ZodRawShape, Params extends z.ZodType> {
  url: string;
  role: Role;
  /** Open to every token whatever its scopes. @default false */
  anyScope?: boolean;
  tag: string;
  summary: string;
  item: Item;
  /** Filters beside limit, cursor and format. */
  filters: Extra;
  params: Params;
  /** What a cursor of this list holds. */
  key: z.ZodType<string>;
  keyOf: (item: z.output<Item>) => string;
  rows: (
    page: OpenPage & { ownerId: string },
    filters: z.output<z.ZodObject<Extra>>,
    params: z.output<Params>,
    caller: Principal,
  ) => Promise<z.output<Item>[]>;
  /** What the JSON of a page says beside its rows. */
  beside?: { shape: z.ZodRawShape; read: (ownerId: string) => Promise<Record<string, unknown>> };
}

type OpenListRoute<Item extends z.ZodObject, Extra extends z.ZodRawShape, Params extends z.ZodType> = Omit<
  ListRoute<Item, Extra, Params>,
  'role' | 'rows' | 'beside'
> & {
  rows: (page: OpenPage, filters: z.output<z.ZodObject<Extra>>, params: z.output<Params>) => Promise<z.output<Item>[]>;
};

/** Registers `GET url` as a list of the caller's rows: pages by cursor, as JSON, NDJSON or CSV. */
export function listRoute<Item extends z.ZodObject, Extra extends z.ZodRawShape, Params extends z.ZodType>(
  app: Api,
  list: ListRoute<Item, Extra, Params>,
): void {
  const { rows, beside, ...rest } = list;
  registerList(app, {
    ...rest,
    ...(beside === undefined
      ? {}
      : { beside: { shape: beside.shape, read: (request) => beside.read(callerOf(request).ownerId) } }),
    rows: (request, page, filters, params) => {
      const caller = callerOf(request);
      return rows({ ...page, ownerId: caller.ownerId }, filters, params, caller);
    },
  });
}

/** The same for what everybody may read without signing in, so that its rows are of no owner in particular. */
export function openListRoute<Item extends z.ZodObject, Extra extends z.ZodRawShape, Params extends z.ZodType>(
  app: Api,
  list: OpenListRoute<Item, Extra, Params>,
): void {
  const { rows, ...rest } = list;
  registerList(app, {
    ...rest,
    role: 'none',
    rows: (_request, page, filters, params) => rows(page, filters, params),
  });
}

function registerList<Item extends z.ZodObject, Extra extends z.ZodRawShape, Params extends z.ZodType>(
  app: Api,
  list: Omit<ListRoute<Item, Extra, Params>, 'role' | 'rows' | 'beside'> & {
    beside?: { shape: z.ZodRawShape; read: (request: FastifyRequest) => Promise<Record<string, unknown>> };
    role: Role | 'none';
    rows: (
      request: FastifyRequest,
      page: OpenPage,
      filters: z.output<z.ZodObject<Extra>>,
      params: z.output<Params>,
    ) => Promise<z.output<Item>[]>;
  },
): void {
  const querystring = z.strictObject({ ...listShape, ...list.filters });
  const page = z.object({ items: z.array(list.item), nextCursor: z.string().nullable(), ...list.beside?.shape });
  app.route({
    method: 'GET',
    url: list.url,
    config: { role: list.role, anyScope: list.anyScope === true },
    schema: {
      tags: [list.tag],
      summary: list.summary,
      querystring,
      params: list.params,
      response: {
        200: {
          description: 'One page; `nextCursor` (also the header x-next-cursor) is null on the last one',
          content: {
            'application/json': { schema: page },
            'application/x-ndjson': { schema: z.string() },
            'text/csv': { schema: z.string() },
          },
        },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      // The shape is generic here, so the compiler cannot see that the validator has made it.
      const query = request.query as unknown as z.output<z.ZodObject<typeof listShape>> & z.output<z.ZodObject<Extra>>;
      const { limit, cursor, format, ...filters } = query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, list.key);
      const rows = await list.rows(
        request,
        // One more than asked for tells whether another page follows.
        { limit: limit + 1, after },
        filters as unknown as z.output<z.ZodObject<Extra>>,
        request.params as z.output<Params>,
      );
      const items = rows.slice(0, limit);
      const last = items.at(-1);
      const nextCursor = rows.length > limit && last !== undefined ? encodeCursor(list.keyOf(last)) : null;
      const beside = await list.beside?.read(request);
      return sendPage(request, reply, format, list.item, { ...beside, items, nextCursor });
    },
  });
}

function sendPage(
  request: FastifyRequest,
  reply: FastifyReply,
  asked: Format | undefined,
  item: z.ZodObject,
  page: { items: Record<string, unknown>[]; nextCursor: string | null },
): FastifyReply {
  const format = asked ?? acceptedFormat(request.headers.accept);
  void reply.header('vary', 'accept');
  if (page.nextCursor !== null) void reply.header('x-next-cursor', page.nextCursor);
  if (format === 'json') return reply.type('application/json').send(page);
  const text =
    format === 'ndjson'
      ? page.items.map((row) => `${JSON.stringify(row)}\n`).join('')
      : csv(Object.keys(item.shape), page.items);
  return reply.type(`${mediaTypes[format]}; charset=utf-8`).send(text);
}

function acceptedFormat(accept = ''): Format {
  const wanted = accept.split(',').map((part) => part.split(';')[0]!.trim());
  return formats.find((format) => wanted.includes(mediaTypes[format])) ?? 'json';
}

/** By RFC 4180. A cell that a spreadsheet would take for a formula is given a leading apostrophe. */
export function csv(columns: readonly string[], rows: readonly Record<string, unknown>[]): string {
  const lines = [columns, ...rows.map((row) => columns.map((column) => cell(row[column])))];
  return lines.map((line) => `${line.map(quoted).join(',')}\r\n`).join('');
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return /^\s*[=+\-@＝＋－＠\t\r\n]/u.test(value) ? `'${value}` : value;
  return JSON.stringify(value);
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
