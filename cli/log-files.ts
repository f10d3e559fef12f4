import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isAskedFor, type LogFilter, type LogLine, parseLogLine } from '../domain/log-lines.ts';

/** `<source>.<n>.jsonl` */
const fileName = /^(.+)\.(\d+)\.jsonl$/;
const readAtOnce = 1 << 20;

/** The log files of this host's processes: each read gives what has come since the one before. */
export function createLogFiles(folder: string) {
  /** How far each file was read: whole lines alone, so that one that is being written is read when it is there. */
  const readTo = new Map<string, number>();

  function files(): Array<{ path: string; source: string }> {
    let names: string[];
    try {
      names = readdirSync(folder);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw err;
    }
    return names.flatMap((name) => {
      const source = fileName.exec(name)?.[1];
      return source === undefined ? [] : [{ path: join(folder, name), source }];
    });
  }

  return {
    /** The processes whose lines lie here. */
    sources: () => new Set(files().map(({ source }) => source)),

    read(filter: LogFilter): LogLine[] {
      return files().flatMap(({ path }) => {
        if ((statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) < (filter.since ?? 0)) return [];
        return newLines(path).flatMap((text) => {
          const line = parseLogLine(text);
          return line !== undefined && isAskedFor(line, filter) ? [line] : [];
        });
      });
    },
  };

  function newLines(path: string): string[] {
    const file = openSync(path, 'r');
    try {
      const pieces: Buffer[] = [];
      for (let at = readTo.get(path) ?? 0; ; ) {
        const piece = Buffer.alloc(readAtOnce);
        const count = readSync(file, piece, 0, readAtOnce, at);
        if (count === 0) break;
        pieces.push(piece.subarray(0, count));
        at += count;
      }
      const bytes = Buffer.concat(pieces);
      const whole = bytes.subarray(0, bytes.lastIndexOf(10) + 1);
      readTo.set(path, (readTo.get(path) ?? 0) + whole.length);
      return whole.toString('utf8').split('\n').slice(0, -1);
    } finally {
      closeSync(file);
    }
  }
}
