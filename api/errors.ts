import { ServiceError, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';
import type { FastifyError } from 'fastify';
import { isResponseSerializationError } from 'fastify-type-provider-zod';
import pg from 'pg';
import { DomainError, type ErrorCode, errorTable, type FieldError, isDomainError } from '../domain/errors.ts';

/** An answer by RFC 9457, with the stable code of domain/errors.ts. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  code: ErrorCode;
  detail: string;
  /** What to do about it. */
  mend: string;
  requestId: string;
  errors?: readonly FieldError[];
}

/** The one place where a code becomes an HTTP status. */
export function problemOf(err: DomainError, requestId: string): Problem {
  const { status, cause, mend } = errorTable[err.code];
  return {
    type: `/docs/errors.md#${err.code.toLowerCase()}`,
    title: cause,
    status,
    code: err.code,
    detail: err.message,
    mend,
    requestId,
    ...(err.fields.length > 0 ? { errors: err.fields } : {}),
  };
}

const fastifyCodes: Record<string, ErrorCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_INVALID_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'MALFORMED_BODY',
  FST_ERR_CTP_INVALID_JSON_BODY: 'MALFORMED_BODY',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'MALFORMED_BODY',
  FST_ERR_BAD_URL: 'INVALID_INPUT',
  FST_ERR_MAX_PARAM_LENGTH: 'NOT_FOUND',
  FST_ERR_NOT_FOUND: 'NOT_FOUND',
};

/** Connection lost or refused, too many of them, shutting down, statement or transaction over its time, nothing written for now. */
const pgAway = new Set(['57P01', '57P02', '57P03', '53300', '57014', '25006', '25P03', '25P04', '40001', '40P01']);
const socketAway = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTFOUND', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOENT']);
/** gRPC statuses CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED and UNAVAILABLE. */
const grpcAway = new Set([1, 4, 8, 14]);
const grpcNotFound = 5;

/** Whatever was thrown as one of our own errors; what nobody foresaw is INTERNAL and keeps its cause for the log. */
export function asDomainError(err: unknown): DomainError {
  if (isDomainError(err)) return err;
  if (isResponseSerializationError(err))
    return new DomainError('INTERNAL', 'the answer did not fit its schema', { cause: err });
  const known = isFastifyError(err) ? fastifyCodes[err.code] : undefined;
  if (known !== undefined && err instanceof Error) return new DomainError(known, err.message, { cause: err });
  if (err instanceof WorkflowNotFoundError) return new DomainError('NOT_FOUND', err.message, { cause: err });
  if (err instanceof WorkflowExecutionAlreadyStartedError)
    return new DomainError('CONFLICT', err.message, { cause: err });
  const grpc = grpcStatus(err);
  if (grpc === grpcNotFound) return new DomainError('NOT_FOUND', 'Temporal knows nothing of that id', { cause: err });
  if (grpc !== undefined && grpcAway.has(grpc))
    return new DomainError('UNAVAILABLE', 'Temporal does not answer', { cause: err });
  if (isPostgresAway(err)) return new DomainError('UNAVAILABLE', 'Postgres does not answer', { cause: err });
  if (isClientsFault(err)) {
    return new DomainError('MALFORMED_BODY', err instanceof Error ? err.message : String(err), { cause: err });
  }
  return new DomainError('INTERNAL', 'something went wrong here', { cause: err });
}

function isFastifyError(err: unknown): err is FastifyError {
  return err instanceof Error && 'code' in err && typeof err.code === 'string' && err.code.startsWith('FST_');
}

function grpcStatus(err: unknown): number | undefined {
  const at = err instanceof ServiceError ? err.cause : err;
  if (!(at instanceof Error) || !('code' in at) || !('metadata' in at)) return undefined;
  return typeof at.code === 'number' ? at.code : undefined;
}

export function isPostgresAway(err: unknown): boolean {
  if (err instanceof pg.DatabaseError) return pgAway.has(err.code ?? '') || (err.code ?? '').startsWith('08');
  if (!(err instanceof Error)) return false;
  if (err instanceof AggregateError) return err.errors.some(isPostgresAway);
  if ('code' in err && typeof err.code === 'string' && socketAway.has(err.code)) return true;
  return /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error)/.test(
    err.message,
  );
}

/** The request ended before its body did: nobody is left to read the answer, but it is no fault of ours. */
function isClientsFault(err: unknown): boolean {
  return err instanceof Error && 'statusCode' in err && typeof err.statusCode === 'number' && err.statusCode < 500;
}
