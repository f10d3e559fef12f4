import type { FieldError } from '../domain/errors.ts';

/** What the shell is told: 0 ok, 1 failed, 2 bad input, 3 unreachable. */
export const exitCodes = { ok: 0, failed: 1, badInput: 2, unreachable: 3 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** An end that is told in plain words, without a stack. */
export class CommandFailure extends Error {
  readonly exitCode: ExitCode;
  /** The code of domain/errors.ts where the API refused. */
  readonly code: string | undefined;
  readonly mend: string | undefined;
  readonly fields: ReadonlyArray<FieldError & { line?: number; file?: string }>;

  constructor(
    message: string,
    more: {
      exitCode: ExitCode;
      code?: string | undefined;
      mend?: string | undefined;
      fields?: ReadonlyArray<FieldError & { line?: number; file?: string }>;
      cause?: unknown;
    },
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'CommandFailure';
    this.exitCode = more.exitCode;
    this.code = more.code;
    this.mend = more.mend;
    this.fields = more.fields ?? [];
  }
}

export function badInput(message: string, mend?: string, cause?: unknown): CommandFailure {
  return new CommandFailure(message, { exitCode: exitCodes.badInput, code: 'INVALID_INPUT', mend, cause });
}
