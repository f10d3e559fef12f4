import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { operationTypesText } from '../../api/operation-types.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { addressOf, call } from '../../ui/client.ts';
import { createEventParser, readEvents, type StreamEvent } from '../../ui/event-stream.ts';
import { money } from '../../ui/format.ts';
import { everyMsOf, isTouched, touchedPaths } from '../../ui/touched.ts';

const openApi = readFileSync(join(repositoryRoot, 'docs', 'openapi.json'), 'utf8');
const sources = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'ui'], {
  cwd: repositoryRoot,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => /\.tsx?$/.test(file) && !file.includes('.generated.'));

test('each call of the web UI is one of docs/openapi.json', () => {
  const { paths } = JSON.parse(openApi) as { paths: Record<string, Record<string, unknown>> };
  const known = new Set(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    ),
  );
  const calls = sources.flatMap((file) =>
    [
      ...readFileSync(join(repositoryRoot, file), 'utf8').matchAll(/['"`]((?:GET|POST|PUT|PATCH|DELETE) \/\S+?)['"`]/g),
    ].map(([, call]) => ({ file, call: call! })),
  );
  expect(calls.length).toBeGreaterThan(10);
  // ui/live.ts makes the beginnings of names.
  expect(calls.filter(({ call }) => !call.includes('${') && !known.has(call))).toEqual([]);
});

test('what an event makes old is there to be read again, and of what is asked for by the clock no event tells', () => {
  const paths = Object.keys((JSON.parse(openApi) as { paths: object }).paths);
  const told = execFileSync('git', ['grep', '-hoE', "type: ['`][a-z]+\\.[a-z$]", '--', 'stores', 'activities'], {
    cwd: repositoryRoot,
    encoding: 'utf8',
  });
  const nouns = [...new Set([...told.matchAll(/['`](\w+)\./g)].map(([, noun]) => noun!))];
  expect(nouns).toEqual(expect.arrayContaining(['run', 'machine', 'service', 'blessings', 'key']));
  const named = nouns.flatMap((noun) => touchedPaths(noun));
  expect(named.filter((path) => !paths.some((each) => isTouched(`GET ${each}`, path)))).toEqual([]);
  expect(paths.filter((path) => path.startsWith('/v1/backups')).length).toBeGreaterThan(0);
  expect(everyMsOf('GET /v1/backups')).toBeGreaterThan(0);
  expect(named.filter((path) => isTouched('GET /v1/backups', path))).toEqual([]);
  expect(touchedPaths('user').filter((path) => isTouched('GET /v1/memories', path))).toEqual([]);
  expect(touchedPaths('user').some((path) => isTouched('GET /v1/users/{id}', path))).toBe(true);
  expect(everyMsOf('GET /v1/runs')).toBeUndefined();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('a stream whose answer never begins is given up, and an answer that breaks off is none', async () => {
  vi.useFakeTimers();
  vi.stubGlobal(
    'fetch',
    (_url: string, { signal }: { signal: AbortSignal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
  );
  const { signal } = new AbortController();
  const ended = expect(readEvents('/v1/events', { signal, onEvent: () => undefined })).rejects.toThrow(
    'Nothing was heard',
  );
  await vi.advanceTimersByTimeAsync(60_000);
  await ended;

  const breaksOff = () =>
    new ReadableStream({
      pull: (to) => to.error(new TypeError('terminated')),
    });
  const headers = { 'content-type': 'application/json' };
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(breaksOff(), { headers })));
  await expect(call('GET /v1/me', {})).rejects.toMatchObject({ status: 0, code: 'UNANSWERED' });
});

test('the types of calls say what is required, what may be left out, and what is answered', () => {
  const document = {
    paths: {
      '/v1/things/{id}': {
        post: {
          parameters: [
            { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
            { name: 'dryRun', in: 'query', schema: { type: 'boolean' } },
          ],
          requestBody: {
            required: true,
            content: { 'application/json': { schema: { $ref: '#/components/schemas/New' } } },
          },
          responses: {
            200: { content: { 'application/json': { schema: { type: ['string', 'null'] } } } },
            204: { description: 'nothing' },
          },
        },
      },
    },
    components: {
      schemas: {
        New: {
          type: 'object',
          properties: {
            kind: { enum: ['a', "b'c"] },
            'of-many': { type: 'array', items: { anyOf: [{ type: 'integer' }, { type: 'null' }] } },
            counts: { type: 'object', propertyNames: { enum: ['x', 'y'] }, additionalProperties: { type: 'number' } },
          },
          required: ['kind'],
          additionalProperties: false,
        },
      },
    },
  };
  const text = operationTypesText(JSON.stringify(document)).replaceAll(/\s+/g, ' ');
  expect(text).toContain(
    `New: { kind: 'a' | 'b\\'c'; 'of-many'?: Array<number | null>; counts?: Partial<Record<'x' | 'y', number>>; };`,
  );
  expect(text).toContain(
    `'POST /v1/things/{id}': { path: { id: string; }; query: { dryRun?: boolean | undefined; }; body: Schemas['New']; answer: string | null | undefined; };`,
  );
});

test('an address is made of path and query, whatever stands in them', () => {
  const input = { path: { id: 'a/b?c' }, query: { limit: 5, cursor: undefined } };
  expect(addressOf('GET /v1/agents/{id}/memories', input)).toBe('/v1/agents/a%2Fb%3Fc/memories?limit=5');
});

test('events are read whole, wherever the stream was cut', () => {
  const stream =
    'retry: 2000\n\nid: 7-1\nevent: run.done\ndata: {"a":1}\n\n: heartbeat\nid: 7-2\n\nevent: told\ndata: one\ndata: two\n\n';
  const read = (pieces: string[]) => {
    const events: StreamEvent[] = [];
    const take = createEventParser((event) => events.push(event));
    for (const piece of pieces) take(piece);
    return events;
  };
  const whole: StreamEvent[] = [
    { id: '7-1', type: 'run.done', data: '{"a":1}' },
    { id: '7-2', type: 'message', data: '' },
    { id: undefined, type: 'told', data: 'one\ntwo' },
  ];
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 12 }), (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
      expect(read(at.slice(1).map((end, i) => stream.slice(at[i], end)))).toEqual(whole);
    }),
  );
});

test('money is shown to the last unit, also where it is more than a fraction can hold', () => {
  const digits = (amount: number, currency: string) => money({ amount, currency }).replaceAll(/[^\d.-]/g, '');
  expect(digits(1, 'EUR')).toBe('0.01');
  expect(digits(-1999, 'USD')).toBe('-19.99');
  expect(digits(500, 'JPY')).toBe('500');
  expect(digits(9_007_199_254_740_991, 'EUR')).toBe('90071992547409.91');
});
