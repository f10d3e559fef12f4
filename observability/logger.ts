import { type DestinationStream, type Logger, type LoggerOptions, multistream, pino, stdTimeFunctions } from 'pino';
import { redact, redactText } from './redaction.ts';

export interface LoggerSettings {
  /** Which part writes: api, worker. */
  part: string;
  /** @default 'info' */
  level?: string;
  /** In every line, such as the machine. */
  fields?: Record<string, string>;
  /** @default standard output */
  destination?: DestinationStream;
}

/** JSON lines: an event with fields, never a built string, and never a secret. */
export function createLogger({ part, ...settings }: LoggerSettings): Logger {
  return createLoggers(settings)(part);
}

/** A logger for each part that speaks in one process; all write to one place, each line with its own `part`. */
export function createLoggers({
  level = 'info',
  fields = {},
  destination,
}: Omit<LoggerSettings, 'part'>): (part: string) => Logger {
  const options: LoggerOptions = {
    level,
    base: { pid: process.pid, ...fields },
    timestamp: stdTimeFunctions.isoTime,
    formatters: {
      level: (label) => ({ level: label }),
      log: (object) => redact(object) as Record<string, unknown>,
    },
    // Redaction has made plain fields of an error already.
    serializers: { err: (err: unknown) => err },
    hooks: {
      logMethod(args, method) {
        method.apply(this, withoutSecrets(args) as typeof args);
      },
    },
  };
  const root = destination ? pino(options, destination) : pino(options);
  return (part) => root.child({ part });
}

/** An error without a message of the caller's own gives it its own, which pino takes as it is. */
function withoutSecrets([first, ...rest]: readonly unknown[]): unknown[] {
  const texts = rest.map((each) => (typeof each === 'string' ? redactText(each) : each));
  if (typeof first === 'string') return [redactText(first), ...texts];
  const fields = first instanceof Error ? { err: first } : first;
  const err = typeof fields === 'object' && fields !== null && 'err' in fields ? fields.err : undefined;
  if (texts.length === 0 && err instanceof Error) return [fields, redactText(err.message)];
  return [fields, ...texts];
}

/** Lines to several places, each from its own level on. */
export function toAll(places: ReadonlyArray<{ level: string; stream: DestinationStream }>): DestinationStream {
  return multistream(places.map(({ level, stream }) => ({ level: level as 'info', stream })));
}
