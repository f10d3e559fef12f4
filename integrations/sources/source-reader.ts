import { DomainError, type ErrorCode } from '../../domain/errors.ts';
import type { SourceItem } from '../../domain/sources.ts';

export interface SourceRead {
  /** Oldest first. */
  items: SourceItem[];
  /** Plain JSON: where the next read goes on. */
  cursor: unknown;
  /** Where it goes on if not all of these could be taken. */
  again: unknown;
  /** More is there, not among these: the next read comes soon. */
  left: number;
  /**
   * With it the items are all that the source shows now, beside what these parts of it held when they were read last;
   * absent: nobody was told what it shows.
   */
  shownParts?: readonly string[];
  /** What a person may want to know although it works; empty: nothing. */
  note: string;
}

/** How one kind of source is read; implementations lie beside this file. */
export interface SourceReader<Source> {
  /** @throws ADDRESS_REFUSED, SourceFailure and other DomainErrors: told to a person and tried again later */
  read(source: Source, from: ReadFrom): Promise<SourceRead>;
}

export interface ReadFrom {
  ownerId: string;
  /** What the read before left; one of another place or an older version is read as none. */
  cursor: unknown;
  signal: AbortSignal;
}

export class SourceFailure extends DomainError {
  /** It says that it will not come back. */
  readonly gone: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    options: { retryAfterSeconds?: number | undefined; gone?: boolean; cause?: unknown } = {},
  ) {
    // What the other side asked for.
    super(code, message, { cause: options.cause, retryAfterSeconds: options.retryAfterSeconds });
    this.name = 'SourceFailure';
    this.gone = options.gone ?? false;
  }
}
