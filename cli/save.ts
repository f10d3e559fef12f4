import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CommandFailure, exitCodes } from './failures.ts';

/** Writes what comes to a file, which is there whole or not at all; without one to the standard output. */
export async function save(from: Readable, file: string | undefined): Promise<void> {
  try {
    if (file === undefined) return await pipeline(from, process.stdout, { end: false });
    const part = `${file}.part`;
    try {
      await pipeline(from, createWriteStream(part));
      await rename(part, file);
    } finally {
      await rm(part, { force: true });
    }
  } catch (cause) {
    throw new CommandFailure(`it broke off: ${cause instanceof Error ? cause.message : String(cause)}`, {
      exitCode: exitCodes.failed,
      code: 'UNAVAILABLE',
      mend: 'Ask for it again.',
      cause,
    });
  }
}
