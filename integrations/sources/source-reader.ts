import { DomainError, type ErrorCode } from '../../domain/errors.ts';

/** One thing that came from outside. */
export interface SourceItem {
  /** The other side's own id: the same again is the same item. */
  key: string;
  /** Plain, may be empty. */
  title: string;
  /** Plain, may be empty. */
  text: string;
  /** http or https. */
  url: string | null;
  /** As the other side says, ISO; null: it does not. */
  publishedAt: string | null;
  changedAt: string | null;
}

export interface SourceRead {
  /** Oldest first. */
  items: SourceItem[];
  /** Plain JSON: where the next read goes on. */
  cursor: unknown;
  /** What a person may want to know although it works; empty: nothing. */
  note: string;
}

/** How one kind of source is read; implementations lie beside this file. */
export interface SourceReader<Source> {
  /**
   * @param cursor what the read before left; one of another address or an older version is read as none
   * @throws ADDRESS_REFUSED, SourceFailure and other DomainErrors: told to a person and tried again later
   */
  read(source: Source, cursor: unknown, signal: AbortSignal): Promise<SourceRead>;
}

export class SourceFailure extends DomainError {
  /** What the other side asked for. */
  readonly retryAfterSeconds: number | undefined;
  /** It says that it will not come back. */
  readonly gone: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    options: { retryAfterSeconds?: number | undefined; gone?: boolean; cause?: unknown } = {},
  ) {
    super(code, message, { cause: options.cause });
    this.name = 'SourceFailure';
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.gone = options.gone ?? false;
  }
}
