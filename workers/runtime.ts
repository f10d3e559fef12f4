import { DefaultLogger, type LogEntry, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import type { Logger } from 'pino';

const levels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** Sends what the SDK, Core, workflows and activities log to the part's own logger, and lets us do the shutdown. */
export function installRuntime(log: Logger): void {
  const logger = new DefaultLogger('INFO', (entry: LogEntry) => {
    const { error, ...meta } = entry.meta ?? {};
    log[levels[entry.level]]({ ...meta, ...(error === undefined ? {} : { err: error as unknown }) }, entry.message);
  });
  Runtime.install({
    logger,
    shutdownSignals: [],
    telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} } },
  });
}
