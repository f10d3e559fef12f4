import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { cliEnvironment } from '../../config/environment.ts';
import type { LogFilter, LogLine } from '../../domain/log-lines.ts';
import { type Client, createClient } from '../client.ts';
import { CommandFailure, exitCodes } from '../failures.ts';
import { createLogFiles } from '../log-files.ts';
import { bad, dim, line, plain, warn } from '../output.ts';
import { durationOption, outputOf, wholeNumber } from '../program.ts';
import { findTarget } from '../target.ts';

interface Options {
  machine?: string;
  run?: string;
  agent?: string;
  since: number;
  lines: number;
  follow?: boolean;
}
interface RemoteLine {
  id: string;
  time: string;
  level: LogLine['level'];
  part: string;
  source: string;
  machineId: string | null;
  msg: string;
  fields: Record<string, unknown>;
}

/** Lines are looked for this often while they are followed. */
const lookEveryMs = 1_000;
/** Of other machines: a line may arrive so much later than it was written. */
const mostLateMs = 5_000;
const mostRemote = 20_000;

export function logCommands(program: Command): void {
  program
    .command('logs')
    .option('--machine <id>', 'of one machine')
    .option('--run <id>', 'of one run, with its workflow and activities')
    .option('--agent <id>', 'of one agent')
    .option('--since <time>', 'how far back, such as 2h', durationOption, 900)
    .option('-n, --lines <n>', 'the last so many', wholeNumber, 200)
    .option('-f, --follow', 'and what comes; Ctrl-C ends it')
    .description('what the processes of all machines log, in one order of time')
    .action(async (options: Options, command: Command) => {
      const { json } = outputOf(command);
      const client = clientOrWhyNot();
      const read = reader(client, {
        machineId: options.machine,
        agentId: options.agent,
        runId: options.run,
        workflowId: options.run === undefined ? undefined : await workflowOf(client, options.run),
        since: Date.now() - options.since * 1000,
      });
      const print = (lines: LogLine[]) => {
        for (const each of lines) line(json ? JSON.stringify(each) : readable(each));
      };
      print((await read()).slice(-options.lines));
      if (!options.follow) return;
      const stop = new AbortController();
      process.once('SIGINT', () => stop.abort());
      while (!stop.signal.aborted) {
        await pause(lookEveryMs, undefined, { signal: stop.signal }).catch(() => undefined);
        print(await read());
      }
    });
}

/** Each call gives what is new: from the files of this host, and from the API for every process whose file is not here. */
function reader(client: Client | CommandFailure, filter: LogFilter): () => Promise<LogLine[]> {
  const { url, home } = cliEnvironment();
  const files = url === undefined ? createLogFiles(join(resolve(home), 'logs')) : undefined;
  const seen = new Set<string>();
  let since = filter.since ?? 0;
  let told = false;

  async function remote(): Promise<LogLine[]> {
    const asked = Date.now();
    let items: RemoteLine[];
    try {
      if (client instanceof CommandFailure) throw client;
      ({ items } = await client.list<RemoteLine>(
        '/logs',
        { machine: filter.machineId, agent: filter.agentId, run: filter.runId, since: new Date(since).toISOString() },
        mostRemote,
      ));
    } catch (err) {
      // Without the API, or its Redis, this host's own files still tell.
      const away = err === client || (err instanceof CommandFailure && err.exitCode === exitCodes.unreachable);
      if (files === undefined || files.sources().size === 0 || !(err instanceof CommandFailure) || !away) throw err;
      if (!told) process.stderr.write(`${warn('only the logs of this host:')} ${err.message}\n`);
      told = true;
      return [];
    }
    since = asked - mostLateMs;
    const here = files?.sources();
    return items.flatMap(({ id, source, machineId, fields, ...rest }) => {
      if (here?.has(source) || seen.has(id)) return [];
      seen.add(id);
      return [{ ...rest, ...fields, ...(machineId === null ? {} : { machineId }) }];
    });
  }

  return async () => {
    const lines = [...(files?.read(filter) ?? []), ...(await remote())];
    return lines.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  };
}

/** Where nothing says how the API is reached, or a file that says it is broken, this host's logs are wanted all the more. */
function clientOrWhyNot(): Client | CommandFailure {
  try {
    return createClient(findTarget());
  } catch (err) {
    if (err instanceof CommandFailure) return err;
    throw err;
  }
}

async function workflowOf(client: Client | CommandFailure, run: string): Promise<string | undefined> {
  if (client instanceof CommandFailure) return undefined;
  try {
    return (await client.get<{ workflowId: string }>(`/runs/${encodeURIComponent(run)}`)).workflowId;
  } catch (err) {
    if (err instanceof CommandFailure && err.exitCode === exitCodes.unreachable) return undefined;
    throw err;
  }
}

function readable({ time, level, part, machineId, msg, ...fields }: LogLine): string {
  const mark = { error: bad, fatal: bad, warn }[level as string] ?? dim;
  const who = machineId === undefined ? part : `${machineId} ${part}`;
  const said = Object.entries(fields)
    .filter(([name]) => name !== 'pid')
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return `${dim(time)} ${mark(level.padEnd(5))} ${who}  ${plain(msg)}  ${dim(plain(said.join(' ')))}`;
}
