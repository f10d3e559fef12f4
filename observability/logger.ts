import { type DestinationStream, type Logger, type LoggerOptions, pino, stdTimeFunctions } from 'pino';

/** Values under these names never reach a log line. */
const secretPaths = ['authorization', 'cookie', 'token', 'secret', 'password', 'apiKey', 'privateKey', 'once'];

export interface LoggerSettings {
  /** Which part writes: api, worker. */
  part: string;
  /** @default 'info' */
  level?: string;
  destination?: DestinationStream;
}

/** JSON lines: an event with fields, never a built string. */
export function createLogger({ part, level = 'info', destination }: LoggerSettings): Logger {
  const options: LoggerOptions = {
    level,
    base: { part, pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: {
      paths: secretPaths.flatMap((name) => [name, `*.${name}`, `*.headers.${name}`, `req.headers.${name}`]),
      censor: '[redacted]',
    },
  };
  return destination ? pino(options, destination) : pino(options);
}
