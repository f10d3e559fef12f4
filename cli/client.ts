import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import type { FieldError } from '../domain/errors.ts';
import { CommandFailure, type ExitCode, exitCodes } from './failures.ts';

export interface Page<Item> {
  items: Item[];
  nextCursor: string | null;
}

export interface ServerEvent {
  id: string;
  type: string;
  subject: string;
  data: Record<string, unknown>;
  at: string;
}

/** One event of a stream, its data as it came. */
export interface StreamEvent {
  id: string | undefined;
  event: string;
  data: string;
}

export type Client = ReturnType<typeof createClient>;

type Query = Record<string, string | number | boolean | undefined>;

/** What of a refusal the caller can mend in their command. */
const inputStatuses = new Set([400, 404, 405, 413, 415, 422]);

/** The API over fetch; a refusal becomes a CommandFailure with its code, detail and mend. */
export function createClient({ url, token, origin }: { url: string; token: string | undefined; origin: string }) {
  async function ask(method: string, path: string, query: Query, init: RequestInit = {}): Promise<Response> {
    const asked = Object.entries(query).flatMap(([key, value]): [string, string][] =>
      value === undefined ? [] : [[key, String(value)]],
    );
    const search = asked.length === 0 ? '' : `?${new URLSearchParams(asked).toString()}`;
    let response: Response;
    try {
      response = await fetch(`${url}/v1${path}${search}`, {
        ...init,
        method,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(init.headers as Record<string, string> | undefined),
        },
      });
    } catch (cause) {
      throw new CommandFailure(`nothing answers at ${url} (${origin})`, {
        exitCode: exitCodes.unreachable,
        code: 'UNAVAILABLE',
        mend: 'Start it with `npm start`, or set SOULFRA_URL and SOULFRA_TOKEN.',
        cause,
      });
    }
    if (!response.ok) throw refusal(response.status, await response.text());
    return response;
  }

  async function json<T>(method: string, path: string, query: Query, body?: unknown, headers = {}): Promise<T> {
    const init: RequestInit =
      body === undefined
        ? { headers }
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } };
    const text = await (await ask(method, path, query, init)).text();
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  return {
    /** Where it asks, without `/v1`. */
    url,
    get: <T>(path: string, query: Query = {}) => json<T>('GET', path, query),
    post: <T>(path: string, body: unknown = {}, query: Query = {}, headers: Record<string, string> = {}) =>
      json<T>('POST', path, query, body, headers),
    put: <T>(path: string, body: unknown, query: Query = {}) => json<T>('PUT', path, query, body),
    patch: <T>(path: string, body: unknown, query: Query = {}, headers: Record<string, string> = {}) =>
      json<T>('PATCH', path, query, body, headers),
    delete: <Answer = undefined>(path: string, query: Query = {}) => json<Answer>('DELETE', path, query),
    text: async (path: string) => (await ask('GET', path, {})).text(),

    /** The first `most` rows of a list, over as many pages as it takes. */
    async list<Item, Beside extends object = object>(
      path: string,
      query: Query = {},
      most = 200,
    ): Promise<Page<Item> & Beside> {
      const items: Item[] = [];
      let cursor: string | undefined;
      for (;;) {
        const limit = Math.min(200, most - items.length);
        const page: Page<Item> & Beside = await json('GET', path, { ...query, limit, cursor });
        items.push(...page.items);
        if (page.nextCursor === null || items.length >= most) return { ...page, items };
        cursor = page.nextCursor;
      }
    },

    /** All pages of a list as one table: the column names once. */
    async *csv(path: string, query: Query = {}): AsyncGenerator<string> {
      let cursor: string | undefined;
      do {
        const page = await ask('GET', path, { ...query, format: 'csv', limit: 200, cursor });
        const text = await page.text();
        yield cursor === undefined ? text : text.slice(text.indexOf('\r\n') + 2);
        cursor = page.headers.get('x-next-cursor') ?? undefined;
      } while (cursor !== undefined);
    },

    /** Sends a file as it is read. */
    file: async <T>(path: string, file: string, mediaType: string, query: Query = {}): Promise<T> => {
      const response = await ask('POST', path, query, {
        body: Readable.toWeb(createReadStream(file)) as ReadableStream<Uint8Array>,
        headers: { 'content-type': mediaType },
        duplex: 'half',
      } as RequestInit);
      return (await response.json()) as T;
    },

    /** Server-sent events of one request, until it ends or the signal. */
    async *stream(
      method: 'GET' | 'POST',
      path: string,
      { body, headers = {}, signal }: { body?: unknown; headers?: Record<string, string>; signal: AbortSignal },
    ): AsyncGenerator<StreamEvent> {
      const response = await ask(
        method,
        path,
        {},
        {
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          headers: {
            accept: 'text/event-stream',
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...headers,
          },
          signal,
        },
      );
      yield* streamEvents(response.body!);
    },

    /** The bytes of an answer, as they come. */
    download: async (path: string, query: Query = {}): Promise<{ body: Readable; headers: Headers }> => {
      const { body, headers } = await ask('GET', path, query);
      return { body: Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]), headers };
    },

    /** Events as they come, until the signal; a stream that breaks off is taken up where it was. */
    async *events(query: Query, signal: AbortSignal): AsyncGenerator<ServerEvent> {
      let after: string | undefined;
      while (!signal.aborted) {
        const headers: Record<string, string> = after === undefined ? {} : { 'last-event-id': after };
        try {
          const response = await ask('GET', '/events', query, { headers, signal });
          for await (const { id, data } of streamEvents(response.body!)) {
            if (id === undefined) continue;
            after = id;
            yield { id, ...(JSON.parse(data) as Omit<ServerEvent, 'id'>) };
          }
        } catch (err) {
          if (signal.aborted) return;
          // Before the first event it never worked; later the server went away and may come back.
          if (after === undefined || (err instanceof CommandFailure && err.exitCode !== exitCodes.unreachable))
            throw err;
          await new Promise((resolve) => setTimeout(resolve, 2_000));
        }
      }
    },
  };
}

function refusal(status: number, text: string): CommandFailure {
  let problem: { code?: string; detail?: string; mend?: string; errors?: FieldError[] } = {};
  try {
    problem = JSON.parse(text) as typeof problem;
  } catch {
    // Something else than our API answered; what it said is shown as it is.
    problem = { detail: text.slice(0, 300) };
  }
  const exitCode: ExitCode =
    status === 503 && problem.code === 'UNAVAILABLE'
      ? exitCodes.unreachable
      : inputStatuses.has(status)
        ? exitCodes.badInput
        : exitCodes.failed;
  return new CommandFailure(problem.detail ?? `the API answered ${status}`, {
    exitCode,
    code: problem.code,
    mend: problem.mend,
    ...(problem.errors === undefined ? {} : { fields: problem.errors }),
  });
}

async function* streamEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
  let rest = '';
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const id = /^id: (.*)$/m.exec(block)?.[1];
      const event = /^event: (.*)$/m.exec(block)?.[1] ?? 'message';
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (data !== undefined) yield { id, event, data };
    }
  }
}
