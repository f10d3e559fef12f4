import { DomainError, errorTable, type ErrorCode, isDomainError, isErrorCode } from '../../domain/errors.ts';

/** A refusal as the edge tells it to a box that joins. */
export function refusalOf(err: unknown): { status: number; body: { code: ErrorCode; detail: string; mend: string } } {
  const code = isDomainError(err) ? err.code : 'INTERNAL';
  const { status, mend } = errorTable[code];
  const detail = isDomainError(err) ? err.message : 'the edge failed; its log says why';
  return { status, body: { code, detail, mend } };
}

/** The same, as the box throws it. */
export function errorOf(body: unknown, status: number): DomainError {
  const { code, detail } = (body ?? {}) as { code?: string; detail?: string };
  if (code !== undefined && isErrorCode(code)) return new DomainError(code, detail ?? code);
  return new DomainError('UNAVAILABLE', `the fleet answered ${status}`);
}
