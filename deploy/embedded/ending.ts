import type { Parts } from './parts.ts';
import type { Screen } from './screen.ts';

/** One Ctrl-C arrives twice, from the terminal and passed on by npm; only a later one counts as the second. */
const sameKeyMs = 1000;

/** Stops in order on the first signal, at once on the second. */
export function onEnding(deps: { screen: Screen; parts: Parts; last: () => void }) {
  let begunAt: number | undefined;
  let ended: Promise<void> | undefined;

  async function stop(code: number, lastLine: string | undefined): Promise<void> {
    begunAt = Date.now();
    await deps.parts.stopAll((names) => {
      if (names.length > 0) deps.screen.line(`  stopping ${names.join(', ')}`);
    });
    deps.last();
    deps.screen.line('Stopped.');
    if (lastLine !== undefined) process.stdout.write(`${lastLine}\n`);
    await flushed();
    process.exit(code);
  }

  const end = (code: number, lastLine?: string): Promise<void> => (ended ??= stop(code, lastLine));
  const onSignal = () => {
    if (begunAt === undefined) void end(0);
    else if (Date.now() - begunAt > sameKeyMs) {
      deps.screen.line('Forced.');
      deps.parts.forceAll();
      deps.last();
      process.exit(1);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  return { end, begun: () => begunAt !== undefined };
}

/** A pipe may still hold our last lines when we leave. */
async function flushed(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => stream.write('', () => resolve()));
  }
}
