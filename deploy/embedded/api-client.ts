import { Readable } from 'node:stream';

interface Sent {
  body?: string | ReadableStream<Uint8Array>;
  /** Needed by `fetch` for a body that is a stream. */
  duplex?: 'half';
  headers?: Record<string, string>;
}

export type ApiClient = ReturnType<typeof createApiClient>;

/** The few calls that a start makes; everything else is the `soulfra` command's. */
export function createApiClient(options: { url: string; token: string }) {
  const headers = { authorization: `Bearer ${options.token}` };

  async function text(method: string, path: string, init: Sent = {}): Promise<string> {
    const response = await fetch(`${options.url}/v1${path}`, {
      ...init,
      method,
      headers: { ...headers, ...init.headers },
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${method} /v1${path} answered ${response.status}: ${problem(answer)}`);
    return answer;
  }

  async function send<T>(method: string, path: string, init: Sent = {}): Promise<T> {
    const answer = await text(method, path, init);
    return (answer === '' ? undefined : JSON.parse(answer)) as T;
  }

  return {
    get: <T>(path: string) => send<T>('GET', path),
    text: (path: string) => text('GET', path),
    /** `key`: the same key starts the same work once. */
    post: <T>(path: string, body: unknown, key?: string) =>
      send<T>('POST', path, {
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) },
      }),
    /** Sends lines as they are made, so a big world never lies in memory as one text. */
    postLines: <T>(path: string, lines: Iterable<unknown>) =>
      send<T>('POST', path, {
        body: Readable.toWeb(Readable.from(ndjson(lines))) as ReadableStream<Uint8Array>,
        duplex: 'half',
        headers: { 'content-type': 'application/x-ndjson' },
      }),
    /** Every page of a list. */
    async all<T>(path: string): Promise<T[]> {
      const items: T[] = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const query: string = `${path.includes('?') ? '&' : '?'}limit=200${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`;
        const page: { items: T[]; nextCursor?: string | null } = await send('GET', `${path}${query}`);
        items.push(...page.items);
        cursor = page.nextCursor ?? null;
      }
      return items;
    },
  };
}

function problem(text: string): string {
  try {
    const { code, detail } = JSON.parse(text) as { code?: string; detail?: string };
    return `${code ?? ''} ${detail ?? text}`.trim();
  } catch {
    // Not problem+json: shown as it came.
    return text.slice(0, 300);
  }
}

function* ndjson(lines: Iterable<unknown>): Generator<Buffer> {
  let batch = '';
  for (const line of lines) {
    batch += `${JSON.stringify(line)}\n`;
    if (batch.length < 65_536) continue;
    yield Buffer.from(batch);
    batch = '';
  }
  if (batch !== '') yield Buffer.from(batch);
}
