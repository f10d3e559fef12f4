import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { FolderSource, SourceItem } from '../../domain/sources.ts';
import { fileItems } from './file-items.ts';
import { allowedFolder, type FileStat, listFiles, mostFileBytes, readFileOnce } from './folder-files.ts';
import type { SourceReader } from './source-reader.ts';

/** A file that was written to more recently than this may not be whole yet. */
const defaultQuietMs = 5_000;
/** Files a person is told of. */
const mostTold = 20;

/** Of the folder that it was made for. Files are known by name, time and size; those that cannot be read with the reason. */
const cursorSchema = z.object({
  folder: z.string(),
  files: z.array(z.string()),
  problems: z.record(z.string(), z.string()),
});
type FolderCursor = z.infer<typeof cursorSchema>;

export interface FolderReaderOptions {
  /** Folders that the machine's own environment allows, with all below them. */
  roots: readonly string[];
  /** @default 5,000 */
  quietMs?: number;
}

/** Text files of a folder on the machine that this runs on. Nothing is changed, moved or deleted there. */
export function createFolderReader({
  roots,
  quietMs = defaultQuietMs,
}: FolderReaderOptions): SourceReader<FolderSource> {
  return {
    async read(source, { cursor, signal }) {
      const before = cursorOf(source.folder, cursor);
      const known = new Set(before.files);
      const next: FolderCursor = { folder: source.folder, files: [], problems: {} };
      const items: SourceItem[] = [];
      let left = 0;
      const folder = await allowedFolder(source.folder, roots);
      const files = await listFiles(folder, signal);
      for (const file of files.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
        signal.throwIfAborted();
        let mark = '';
        let waits = false;
        const read = await readFileOnce(file, (stat) => {
          mark = markOf(file.name, stat);
          waits = Math.max(0, Date.now() - stat.ctimeMs) < quietMs || items.length >= source.itemsPerPoll;
          return !known.has(mark) && !waits;
        });
        if (known.has(mark)) {
          keep(file.name, mark, before.problems[mark] ?? '');
        } else if (read === 'moving' || waits) {
          left += 1;
        } else if (read === 'too large') {
          keep(file.name, mark, `is over ${mostFileBytes} bytes`);
        } else if (read.bytes !== undefined) {
          const found = fileItems(file.name, read.bytes, new Date(read.stat.mtimeMs).toISOString());
          for (const item of found.items) items.push({ ...item, part: file.name });
          keep(file.name, mark, found.problem);
        }
      }
      // Also those that wait or cannot be read: they are there.
      const shownParts = files.map(({ name }) => name);
      return { items, cursor: next, again: before, left, shownParts, note: noteOf(next) };

      function keep(name: string, mark: string, problem: string): void {
        next.files.push(mark);
        if (problem !== '') next.problems[mark] = problem.startsWith(name) ? problem : `${name} ${problem}`;
      }
    },
  };
}

function cursorOf(folder: string, known: unknown): FolderCursor {
  const parsed = cursorSchema.safeParse(known);
  return parsed.success && parsed.data.folder === folder ? parsed.data : { folder, files: [], problems: {} };
}

function markOf(name: string, { mtimeMs, size }: FileStat): string {
  return createHash('sha256').update(`${name}\0${mtimeMs}\0${size}`).digest('hex').slice(0, 20);
}

function noteOf({ problems }: FolderCursor): string {
  const told = Object.values(problems);
  const more = told.length > mostTold ? `; and ${told.length - mostTold} more` : '';
  return told.length === 0 ? '' : `${told.slice(0, mostTold).join('; ')}${more}`;
}
