import { cleanLine } from '../../domain/clean-text.ts';
import { leaveAfterLookSeconds } from '../../domain/deliveries.ts';
import { DomainError, isDomainError } from '../../domain/errors.ts';
import { waitSecondsOf } from '../../domain/rate-signals.ts';
import type { GuardedFetch } from '../guarded-fetch.ts';
import type { PostAnswer } from './channel.ts';

/** Nobody's answer to a post is longer. */
const mostBytes = 256 * 1024;

export interface Question {
  url: string;
  /** Sent as JSON. @default GET */
  json?: unknown;
  /** Sent as it is, as JSON: what is signed must be these bytes. */
  bytes?: Uint8Array;
  method?: 'PATCH' | 'PUT';
  headers?: Readonly<Record<string, string>>;
}

export interface Reply {
  kind: 'reply';
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Undefined where it is no JSON. */
  json: unknown;
  text: string;
  /** The error as it names it, without what it was told in confidence: pages of errors repeat addresses. Empty where there is none. */
  said: string;
}

/** not_sent: no byte of it left. unanswered: bytes left, and then nothing whole came. */
export type Asked = Reply | { kind: 'not_sent' | 'unanswered'; reason: string };
export type Ask = (question: Question) => Promise<Asked>;

export interface AskDeps {
  guardedFetch: GuardedFetch;
  allowPrivate: readonly string[];
  timeoutMs: number;
  /** Milliseconds since 1970 after which no byte leaves any more. */
  leaveBy: number;
  /** A last look before a byte leaves. @throws DomainError where none may */
  mayLeave?: (() => Promise<void>) | undefined;
  /** Words that are told to nobody else, in whatever is answered. */
  hidden?: readonly string[];
  now?: () => number;
}

/** One request to a service: by https, through the guarded fetch, without redirects, tried once. Its end is an answer, never a throw. */
export function createAsk(deps: AskDeps): Ask {
  const { guardedFetch, allowPrivate, timeoutMs, leaveBy, mayLeave, hidden = [], now = Date.now } = deps;
  return async ({ url, json, bytes, method, headers = {} }) => {
    let left = false;
    const to = URL.parse(url);
    // It was judged when the channel was made; what the operator allows may have become less since.
    if (to?.protocol === 'http:' && !allowPrivate.includes(to.hostname.replace(/^\[|\]$/g, '')))
      return { kind: 'not_sent', reason: `${to.host}: only https is posted to` };
    const body = bytes ?? (json === undefined ? undefined : Buffer.from(JSON.stringify(json), 'utf8'));
    try {
      const reply = await guardedFetch(url, {
        ...(body === undefined ? {} : { body }),
        ...(method === undefined ? {} : { method }),
        headers: {
          accept: 'application/json',
          'user-agent': userAgent,
          ...(body === undefined || body.length === 0 ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        allowPrivate,
        mostBytes,
        mostRedirects: 0,
        timeoutMs,
        async onLeave() {
          const looked = now();
          await mayLeave?.();
          // This process stood still meanwhile: others have taken it for dead, and may have sent it by now.
          if (now() > Math.min(leaveBy, looked + leaveAfterLookSeconds * 1000))
            throw new DomainError('REMOTE_FAILED', 'it came too late to be sent');
          left = true;
        },
      });
      const text = reply.body.toString('utf8');
      const answered = jsonOf(text);
      const said = saidIn({ json: answered, text }, hidden);
      return { kind: 'reply', status: reply.status, headers: reply.headers, json: answered, text, said };
    } catch (err) {
      if (!isDomainError(err)) throw err;
      return { kind: left ? 'unanswered' : 'not_sent', reason: err.message.slice(0, 300) };
    }
  };
}

/** In the form that Discord asks of every program. */
const userAgent = 'DiscordBot (soulfra-drops, 1)';

/**
 * What a reply that is no post means, where the service documents nothing else: 429 was not taken, any other 4xx will never be, 5xx may have been
 * taken. A reply that was cut off or never came may have been, too.
 */
export function unpublished(asked: Asked, { stopOn = [] }: { stopOn?: readonly number[] } = {}): PostAnswer {
  if (asked.kind !== 'reply')
    return { outcome: asked.kind === 'not_sent' ? 'deferred' : 'unknown', reason: asked.reason };
  const { status } = asked;
  const reason = `it answered ${status}${asked.said === '' ? '' : `: ${asked.said}`}`;
  const answer = { status, reason, waitSeconds: waitSecondsOf(asked, new Date()) };
  if (status === 429) return { ...answer, outcome: 'deferred' };
  if (status >= 400 && status < 500)
    return { ...answer, outcome: 'refused', ...(stopOn.includes(status) ? { stopChannel: true } : {}) };
  if (status >= 300 && status < 400)
    return { ...answer, outcome: 'refused', reason: `${reason}, and no redirect is followed` };
  return { ...answer, outcome: 'unknown' };
}

/** What is needed before a post was refused. */
export class NotReady extends DomainError {
  readonly answer: PostAnswer;

  constructor(what: string, answer: PostAnswer) {
    super('REMOTE_FAILED', `${what}: ${answer.reason}`);
    this.answer = answer;
  }
}

/** What the quota says after a post that was taken. */
export function waitAfter(reply: Reply): number | undefined {
  return waitSecondsOf(reply, new Date());
}

/** The error's name as services tell it; never the whole answer, which may repeat what was sent. */
function saidIn({ json, text }: Pick<Reply, 'json' | 'text'>, hidden: readonly string[]): string {
  const fields = fieldsOf(json);
  const name = fields['error'] ?? fields['message'] ?? fields['description'];
  const words = typeof name === 'string' ? name : json === undefined ? text : '';
  const shown = hidden.reduce((rest, word) => rest.replaceAll(word, '…'), words);
  return cleanLine(shown).slice(0, 120).toWellFormed();
}

const leastHidden = 6;
/** Every word of secrets as it may come back; of an address also the parts of its path. */
export function wordsToHide(secrets: unknown): string[] {
  const words = Object.values(fieldsOf(secrets)).flatMap((value) => {
    if (typeof value !== 'string') return [];
    const path = /^https?:/.test(value) ? (URL.parse(value)?.pathname.split('/') ?? []) : [];
    return [value, ...path.filter((part) => part.length >= 2 * leastHidden)];
  });
  // The longest first, so that no part of one is left.
  return words.filter((word) => word.length >= leastHidden).sort((one, other) => other.length - one.length);
}

export function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** The objects of a list; what is none is left out. */
export function listOf(value: unknown): Array<Record<string, unknown>> {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Proxies answer in HTML.
    return undefined;
  }
}
