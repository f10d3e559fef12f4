import type { Command } from 'commander';
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

/** `--limit` of the lists. */
export function limitOption(command: Command): Command {
  return command.option('-n, --limit <rows>', 'how many rows', (text) => Number.parseInt(text, 10), 50);
}
