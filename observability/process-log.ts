import { destination, type DestinationStream, type Logger } from 'pino';
import { openLogFiles } from './log-files.ts';
import { createLoggers, toAll } from './logger.ts';
import { shipLogs } from './log-shipper.ts';

export interface ProcessLog {
  /** Of a part that speaks in this process. */
  of: (part: string) => Logger;
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
  fields?: Record<string, string>;
}): Promise<ProcessLog> {
  const { source, level, folder, redisUrl, fields = {} } = settings;
  const shipper = shipLogs({ redisUrl, source });
  const output = destination({ fd: 1, sync: true });
  const own: Array<{ level: string; stream: DestinationStream }> =
    folder === undefined
      ? [{ level, stream: output }]
      : [
          { level, stream: await openLogFiles(folder, source) },
          { level: 'fatal', stream: output },
        ];
  const shipped = ['trace', 'debug'].includes(level) ? 'info' : level;
  const streams = level === 'silent' ? [] : [...own, { level: shipped, stream: shipper }];
  return { of: createLoggers({ level, fields, destination: toAll(streams) }), close: () => shipper.close() };
}
