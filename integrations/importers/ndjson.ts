import { isDomainError } from '../../domain/errors.ts';
import { readMemoryLine } from '../../domain/memory-lines.ts';
import type { MemoryImporter, ReadThing } from './importer.ts';
import { jsonLines } from './lines.ts';

/** Our own format: docs/memory.md. */
export function ndjsonImporter({ lineLimit }: { lineLimit: number }): MemoryImporter {
  return {
    mediaType: 'application/x-ndjson',
    async *read(stream) {
      for await (const { line, value } of jsonLines(stream, lineLimit)) {
        yield { line, read: 'error' in value ? value : told(value.json) };
      }
    },
    lost: () => [],
  };
}

function told(json: unknown): ReadThing['read'] {
  try {
    return { told: readMemoryLine(json) };
  } catch (error) {
    if (isDomainError(error)) return { error };
    throw error;
  }
}
