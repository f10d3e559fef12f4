import type { ConnectionOptions } from 'node:tls';
import type { DestinationStream, Logger } from 'pino';
import { openLogFiles, openLogOutput } from './log-files.ts';
import { createLoggers, toAll } from './logger.ts';
import { shipLogs } from './log-shipper.ts';

export interface ProcessLog {
  /** Of a part that speaks in this process. */
  of: (part: string) => Logger;
  /** Tells how many lines found no room in files or on standard output: those so far, and then each further. */
  onLost(tell: (lines: number) => void): void;
  /** Sends the last lines on their way. */
  close(): Promise<void>;
}

/**
 * Where a process of ours logs: into files where a folder is named (standard output then has its last words alone), else to
 * standard output; and to the stream that the API reads.
 */
export async function openProcessLog(settings: {
  /** Names the process among all that log: `api`, `worker-pc2`. */
  source: string;
  level: string;
  folder: string | undefined;
  redisUrl: string;
  /** Absent: Redis is reached in the clear. */
  tls?: ConnectionOptions | undefined;
  fields?: Record<string, string>;
}): Promise<ProcessLog> {
  const { source, level, folder, redisUrl, tls, fields = {} } = settings;
  const shipper = shipLogs({ redisUrl, source, tls });
  const output = await openLogOutput();
  const main = folder === undefined ? output : await openLogFiles(folder, source);
  const own: Array<{ level: string; stream: DestinationStream }> = [
    { level, stream: main },
    ...(folder === undefined ? [] : [{ level: 'fatal', stream: output }]),
  ];
  const shipped = ['trace', 'debug'].includes(level) ? 'info' : level;
  const streams = level === 'silent' ? [] : [...own, { level: shipped, stream: shipper }];
  return {
    of: createLoggers({ level, fields, destination: toAll(streams) }),
    onLost: (tell) => main.onLost(tell),
    close: () => shipper.close(),
  };
}
