/** The package ships no types; this is what observability/log-files.ts uses of it. */
declare module 'pino-roll' {
  import type { OpenedStream } from './log-files.ts';
  function openRolling(options: {
    file: string;
    /** `10m`. */
    size?: string;
    /** With `removeOtherLogFiles` the one that is written counts, too. */
    limit?: { count: number; removeOtherLogFiles?: boolean };
    mkdir?: boolean;
    sync?: boolean;
  }): Promise<OpenedStream>;
  export = openRolling;
}
