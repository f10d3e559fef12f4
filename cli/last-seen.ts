import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { cliEnvironment } from '../config/environment.ts';
import { badInput } from './failures.ts';

const seenSchema = z.strictObject({ at: z.iso.datetime() });

/** Beside the pins: the latest time at which something was verified here, so that a clock that is set back is found. */
export function lastSeenFile(): string {
  return join(resolve(cliEnvironment().home), 'last-verified.json');
}

/** @returns ms since 1970, 0 before the first. @throws bad input for a file that says nothing: taken for none, it could be emptied */
export function lastSeen(): number {
  const file = lastSeenFile();
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 0;
    throw badInput(`${file} cannot be read (${code ?? 'unknown'})`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = seenSchema.safeParse(value);
  if (!parsed.success) throw badInput(`${file} does not say when something was verified last`, 'Remove it.');
  return Date.parse(parsed.data.at);
}

/** Never an earlier one. Whole or not at all. */
export function noteSeen(now: number): void {
  if (now <= lastSeen()) return;
  const file = lastSeenFile();
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.part`, `${JSON.stringify({ at: new Date(now).toISOString() })}\n`);
  renameSync(`${file}.part`, file);
}
