import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import type { DestinationStream } from 'pino';
import { logStreamEntries, logStreamKey, longestShippedLine, parseLogLine } from '../domain/log-lines.ts';

const flushEveryMs = 500;
/** Lines that wait at the most; beyond it the oldest are given up. */
const mostWaiting = 2_000;
const mostAtOnce = 500;

export interface LogShipper extends DestinationStream {
  /** Sends what waits, within a moment, and closes. */
  close(): Promise<void>;
}

/**
 * Appends a process's lines to the one stream in Redis that the API reads logs of all machines from. Nothing waits for it:
 * while Redis is away lines are given up, and once it is back a line says how many.
 * @param source names the process as its log file does
 */
export function shipLogs({
  redisUrl,
  source,
  tls,
}: {
  redisUrl: string;
  source: string;
  tls?: ConnectionOptions | undefined;
}): LogShipper {
  const redis = new Redis(redisUrl, {
    ...(tls && { tls }),
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: 2_000,
    retryStrategy: (times) => Math.min(times * 500, 5_000),
  });
  // Its absence is told by whoever needs it; logging it here would ship it here.
  redis.on('error', () => undefined);
  redis.connect().catch(() => undefined);

  let waiting: string[] = [];
  let lost = 0;
  let sending: Promise<void> | undefined;

  async function flush(): Promise<void> {
    while (waiting.length > 0 && redis.status === 'ready') {
      const lines = waiting.splice(0, mostAtOnce);
      if (lost > 0) lines.unshift(tellLost(lost));
      const told = lost;
      lost = 0;
      try {
        const batch = redis.pipeline();
        for (const line of lines)
          batch.xadd(logStreamKey, 'MAXLEN', '~', logStreamEntries, '*', 'source', source, 'line', line);
        const failed = (await batch.exec())?.find(([err]) => err !== null);
        if (failed?.[0]) throw failed[0];
      } catch {
        // Sent again they might stand there twice.
        lost += lines.length + (told > 0 ? told - 1 : 0);
        return;
      }
    }
  }

  function send(): Promise<void> {
    sending ??= flush().finally(() => {
      sending = undefined;
    });
    return sending;
  }

  const timer = setInterval(() => void send(), flushEveryMs).unref();
  return {
    write(line: string): void {
      waiting.push(line.length > longestShippedLine ? shortened(line) : line.trimEnd());
      if (waiting.length <= mostWaiting) return;
      lost += waiting.length - mostWaiting;
      waiting = waiting.slice(-mostWaiting);
    },
    async close(): Promise<void> {
      clearInterval(timer);
      await send();
      redis.disconnect();
    },
  };
}

function tellLost(lost: number): string {
  return JSON.stringify({
    time: new Date().toISOString(),
    level: 'warn',
    part: 'logs',
    msg: 'lines were not sent while Redis was away; the log file of this process has them',
    lost,
  });
}

/** What finds a line and what it says; without what makes it long. */
function shortened(text: string): string {
  const line = parseLogLine(text);
  if (line === undefined) return text.slice(0, longestShippedLine);
  const { time, level, part, machineId, workflowId, runId, agentId, msg } = line;
  return JSON.stringify({
    time,
    level,
    part,
    machineId,
    workflowId,
    runId,
    agentId,
    msg: msg.slice(0, 1_000),
    cut: true,
  });
}
