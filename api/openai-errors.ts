import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError, type ErrorCode, errorTable } from '../domain/errors.ts';
import { asDomainError } from './errors.ts';

/** A refusal as OpenAI's clients read it. */
export interface OpenAiError {
  error: { message: string; type: string; param: string | null; code: string };
}

/** What OpenAI's own service calls these; any other code is told as ours, in small letters. */
const openAiCodes: Partial<Record<ErrorCode, string>> = {
  UNAUTHENTICATED: 'invalid_api_key',
  RATE_LIMITED: 'rate_limit_exceeded',
  GATEWAY_BUSY: 'rate_limit_exceeded',
  TOKENS_SPENT: 'insufficient_quota',
  MODEL_UNKNOWN: 'model_not_found',
  CONTEXT_TOO_LONG: 'context_length_exceeded',
  PARAMETER_UNSUPPORTED: 'unsupported_parameter',
  INVALID_INPUT: 'invalid_value',
};

function typeOf(code: ErrorCode, status: number): string {
  if (code === 'TOKENS_SPENT') return 'insufficient_quota';
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}

export function openAiErrorOf(err: DomainError): OpenAiError {
  const { code, fields } = err;
  const told = fields.map(({ path, rule, mend }) => `${path} ${rule}. ${mend}`).join(' ');
  const message = code === 'INVALID_INPUT' && told !== '' ? told : err.message;
  return {
    error: {
      message: `${message}${/[.!?]$/.test(message) ? '' : '.'} ${errorTable[code].mend}`,
      type: typeOf(code, errorTable[code].status),
      param: fields[0]?.path ?? null,
      code: openAiCodes[code] ?? code.toLowerCase(),
    },
  };
}

/** Seconds after which asking again may help, and whether it may at all: the official clients heed both headers. */
function retryHeaders(err: DomainError, retryAfter: number | undefined): Record<string, string> {
  const { retryable: again, status } = errorTable[err.code];
  return {
    ...(status === 429 || status >= 500 ? { 'x-should-retry': String(again) } : {}),
    ...(again && retryAfter !== undefined ? { 'retry-after': String(retryAfter) } : {}),
  };
}

/** In place of problem+json, for routes that speak OpenAI's protocol. */
export function sendOpenAiError(err: unknown, request: FastifyRequest, reply: FastifyReply): void {
  // Whoever asked has gone away.
  if (reply.raw.destroyed) {
    void reply.code(499).send('');
    return;
  }
  const known = asDomainError(err);
  const { status } = errorTable[known.code];
  if (status >= 500) request.log.error({ err, requestId: request.id, code: known.code }, 'request failed');
  const after = known instanceof BusyError ? known.retryAfter : known.code === 'RATE_LIMITED' ? undefined : 5;
  void reply
    .code(status)
    .headers(retryHeaders(known, after))
    .type('application/json; charset=utf-8')
    .send(JSON.stringify(openAiErrorOf(known)));
}

/** Too many requests of one service are open. */
export class BusyError extends DomainError {
  readonly retryAfter: number;

  constructor(message: string, retryAfter: number) {
    super('GATEWAY_BUSY', message);
    this.retryAfter = retryAfter;
  }
}
