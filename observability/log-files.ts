import { join } from 'node:path';
import type { DestinationStream } from 'pino';
import openRolling from 'pino-roll';

/** Of one process at the most. */
const megabytes = 10;
const files = 5;

/** `<source>.<n>.jsonl` in a folder, in files of 10 MB; the last five are kept. Written at once, so that a killed process leaves its last words. */
export async function openLogFiles(folder: string, source: string): Promise<DestinationStream> {
  return openRolling({
    // The package takes the extension from here alone.
    file: join(folder, `${source}.jsonl`),
    size: `${megabytes}m`,
    limit: { count: files, removeOtherLogFiles: true },
    mkdir: true,
    sync: true,
  });
}
