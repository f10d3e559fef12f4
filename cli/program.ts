import { type Command, InvalidArgumentError } from 'commander';
import { durationSchema, durationSeconds } from '../domain/durations.ts';
import { type Client, createClient } from './client.ts';
import type { Output } from './output.ts';
import { findTarget } from './target.ts';

/** What a command is given besides its arguments. */
export interface Session extends Output {
  client: Client;
}

/** Global options stand on the program and hold for every command below it. */
export function outputOf(command: Command): Output {
  const { json = false, yes = false } = command.optsWithGlobals<{ json?: boolean; yes?: boolean }>();
  return { json, yes };
}

export function sessionOf(command: Command): Session {
  return { ...outputOf(command), client: createClient(findTarget()) };
}

/** Of an option: `12x` is no 12. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It is a whole number.');
  return Number(text);
}

/** Of an option, in seconds. */
export function durationOption(text: string): number {
  if (!durationSchema.safeParse(text).success)
    throw new InvalidArgumentError('It is a number and s, m, h or d, such as 30d.');
  return durationSeconds(text);
}

/** `--limit` of the lists. */
export function limitOption(command: Command): Command {
  return command.option('-n, --limit <rows>', 'how many rows', wholeNumber, 50);
}
