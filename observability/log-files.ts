import { join } from 'node:path';
import type { DestinationStream } from 'pino';
import openRolling from 'pino-roll';

/** Of one process at the most: the file it writes, and those before it. */
const megabytes = 10;
const filesBefore = 4;

/** `<source>.<n>.jsonl` in a folder, in files of 10 MB; the last five are kept. Written at once, so that a killed process leaves its last words. */
export async function openLogFiles(folder: string, source: string): Promise<DestinationStream> {
  return openRolling({
    file: join(folder, source),
    extension: '.jsonl',
    size: `${megabytes}m`,
    limit: { count: filesBefore, removeOtherLogFiles: true },
    mkdir: true,
    sync: true,
  });
}
