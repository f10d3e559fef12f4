import { DomainError, type ErrorCode } from '../../domain/errors.ts';

/** The one place where the answer of a model server becomes a code of the table. */
export function modelStatusError(status: number, message: string, cause?: unknown): DomainError {
  return new DomainError(codeOf(status), `model server answered ${status}: ${clip(message)}`, { cause });
}

function codeOf(status: number): ErrorCode {
  if (status === 429 || status === 503) return 'MODEL_OVERLOADED';
  if (status === 404) return 'MODEL_MISSING';
  return status >= 400 && status < 500 && status !== 408 ? 'MODEL_REFUSED' : 'MODEL_SERVER_DOWN';
}

/** A server may also fail inside a stream that began with 200; the body then holds the status, or none. */
export function modelStreamError(body: { code?: unknown; message?: unknown }, cause?: unknown): DomainError {
  const message = typeof body.message === 'string' ? body.message : JSON.stringify(body);
  const status = Number(body.code);
  if (Number.isInteger(status) && status >= 400 && status < 600) return modelStatusError(status, message, cause);
  return new DomainError('MODEL_SERVER_DOWN', `model server failed while it answered: ${clip(message)}`, { cause });
}

/** Refused, reset or cut connections, told with the deepest cause since fetch hides it. */
export function modelConnectionError(err: unknown): DomainError {
  return new DomainError('MODEL_SERVER_DOWN', `no connection to the model server: ${clip(deepestMessage(err))}`, {
    cause: err,
  });
}

export function cutStreamError(tokens: number): DomainError {
  return new DomainError('MODEL_SERVER_DOWN', `the stream ended after ${tokens} tokens without a finish reason`);
}

/** Counted by the server itself: a prompt that leaves no room for the answer would be cut somewhere. */
export function assertWithinContext(promptTokens: number, maxTokens: number, contextTokens: number): void {
  if (promptTokens + maxTokens <= contextTokens) return;
  throw new DomainError(
    'MODEL_REFUSED',
    `the prompt took ${promptTokens} tokens and ${maxTokens} are kept for the answer: over the pinned context of ${contextTokens}`,
  );
}

function deepestMessage(err: unknown): string {
  let at = err;
  for (let depth = 0; depth < 5 && at instanceof Error && at.cause instanceof Error; depth += 1) at = at.cause;
  if (!(at instanceof Error)) return String(at);
  return at.message || ('code' in at ? String(at.code) : at.name);
}

function clip(message: string): string {
  return message.length > 400 ? `${message.slice(0, 400)}…` : message;
}
