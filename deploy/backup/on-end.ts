/** What this process has begun and would leave behind; undone in the reverse order where a signal ends it. */
const begun = new Set<() => unknown>();

/** @returns for when it is done by whoever began it */
export function onEnd(undo: () => unknown): () => void {
  begun.add(undo);
  return () => void begun.delete(undo);
}

let ending = false;

/** From a signal on whoever would leave waits: what is undone ends the process. */
export async function unlessEnding(): Promise<void> {
  if (ending) await new Promise(() => undefined);
}

/** Undoes on the first signal and then ends by it; a second one ends at once. What SIGKILL leaves is swept by who comes next. */
export function endBySignal(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => void end(signal));
}

async function end(signal: NodeJS.Signals): Promise<void> {
  // Its own default again: the process ends by what it was told.
  if (ending) return void process.kill(process.pid, signal);
  ending = true;
  for (const undo of [...begun].reverse()) {
    try {
      await undo();
    } catch (err) {
      process.stderr.write(`${err instanceof Error ? err.message : String(err)}\n`);
    }
  }
  process.kill(process.pid, signal);
}
