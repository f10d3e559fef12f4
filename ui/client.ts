import type { Operations, Schemas } from './api.generated.ts';
import { text } from './text.ts';

/** `GET /v1/agents/{id}`: method and path as docs/openapi.json has them; a test looks each one up there, and the types are made from it. */
export type Operation = keyof Operations;
export type Reading = Extract<Operation, `GET ${string}`>;
export type Writing = Exclude<Operation, Reading>;

/** What a call answers; that of a dry run is left out, since no view asks for one by `call`. */
export type Answer<Op extends Operation> = Exclude<Operations[Op]['answer'], Schemas['DryRun']>;
/** One row of a list. */
export type Item<Op extends Operation> = Answer<Op> extends { items: Array<infer Row> } ? Row : never;
/** A thing by the name it has in the API. */
export type Thing<Name extends keyof Schemas> = Schemas[Name];

type Part<Name extends string, Value> = [Value] extends [undefined]
  ? { [Each in Name]?: undefined }
  : undefined extends Value
    ? { [Each in Name]?: Value }
    : {} extends Value
      ? { [Each in Name]?: Value }
      : { [Each in Name]: Value };
export type Input<Op extends Operation> = Part<'path', Operations[Op]['path']> &
  Part<'query', Operations[Op]['query']> &
  Part<'body', Operations[Op]['body']>;

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Sent again with each try of one decision, so that it is carried out once. */
  idempotencyKey?: string | undefined;
  /** The ETag of what is changed. */
  ifMatch?: string | undefined;
}

type Refusal = Partial<Pick<Schemas['Problem'], 'code' | 'detail' | 'mend' | 'requestId' | 'errors'>>;

/** A refusal of the API, or its silence: then `code` is `UNANSWERED`. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly mend: string;
  readonly requestId: string | undefined;
  readonly fields: NonNullable<Schemas['Problem']['errors']>;

  constructor(status: number, { code, detail, mend, requestId, errors }: Refusal, cause?: unknown) {
    super(detail ?? text.problems.answered(status), { cause });
    this.status = status;
    this.code = code ?? (status === 0 ? 'UNANSWERED' : `HTTP_${status}`);
    this.mend = mend ?? '';
    this.requestId = requestId;
    this.fields = errors ?? [];
  }
}

/** The API answers within seconds; a connection that sleep or a tunnel cut never does. */
const longestMs = 60_000;

/** One call of the API. @throws Problem */
export async function call<Op extends Operation>(
  operation: Op,
  input: Input<Op>,
  { signal, idempotencyKey, ifMatch }: CallOptions = {},
): Promise<Answer<Op>> {
  const { body } = input as Untyped;
  const headers = new Headers({ accept: 'application/json' });
  if (body !== undefined) headers.set('content-type', 'application/json');
  if (idempotencyKey !== undefined) headers.set('idempotency-key', idempotencyKey);
  if (ifMatch !== undefined) headers.set('if-match', ifMatch);
  const tooLong = AbortSignal.timeout(longestMs);
  try {
    const response = await fetch(addressOf(operation, input), {
      method: operation.slice(0, operation.indexOf(' ')),
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal === undefined ? tooLong : AbortSignal.any([signal, tooLong]),
    });
    if (!response.ok) throw await problemOf(response);
    if (response.status === 204) return undefined as Answer<Op>;
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    return (await (isJson ? response.json() : response.text())) as Answer<Op>;
  } catch (err) {
    // Asked for by nobody any more, or refused; what is left is a network that is away, breaks off or never answers.
    if (signal?.aborted || err instanceof Problem || err instanceof SyntaxError) throw err;
    throw new Problem(0, { detail: text.problems.unanswered, mend: text.problems.unansweredMend }, err);
  }
}

interface Untyped {
  path?: Record<string, string>;
  query?: Record<string, unknown>;
  body?: unknown;
}

/** Path and query of a call, also for links to files. */
export function addressOf<Op extends Operation>(operation: Op, input: Omit<Input<Op>, 'body'>): string {
  const { path = {}, query = {} } = input as Untyped;
  const filled = operation
    .slice(operation.indexOf(' ') + 1)
    .replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? ''));
  const asked = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  const search = new URLSearchParams(asked.map(([name, value]): [string, string] => [name, String(value)])).toString();
  return search === '' ? filled : `${filled}?${search}`;
}

/** @internal also for streams, which `call` does not read */
export async function problemOf(response: Response): Promise<Problem> {
  const body = await response.text();
  try {
    return new Problem(response.status, JSON.parse(body) as Refusal);
  } catch (err) {
    // Something between us and the API has answered in its own words.
    return new Problem(response.status, { detail: body.slice(0, 200) }, err);
  }
}
