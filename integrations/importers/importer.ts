import type { DomainError, FieldError } from '../../domain/errors.ts';
import type { MemoryLine } from '../../domain/memory-lines.ts';

/** One thing that a file tells, or why it cannot be read; the next one is read all the same. */
export interface ReadThing {
  /** Of the file, from 1. */
  line: number;
  /** Names it where the line does not, such as `node_881`. */
  at?: string;
  read: { told: MemoryLine } | { error: DomainError };
  /** What was changed so that it can go in. */
  notes?: FieldError[];
}

/** A field that has no place here, and in how many things it stood. */
export interface LostField {
  field: string;
  count: number;
  reason: string;
}

export interface MemoryImporter {
  mediaType: 'application/x-ndjson' | 'application/json';
  /** Memories as lines of our own format, in the order in which they are to go in. */
  read(stream: AsyncIterable<Buffer>): AsyncIterable<ReadThing>;
  /** What was left behind; complete once everything has been read. */
  lost(): LostField[];
}
