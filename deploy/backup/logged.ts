import { fullDisk } from './folders.ts';
import { onEnd } from './on-end.ts';

/**
 * Acts, and has the log say why it failed: of a full disk in words, and of a signal that it was ended. The log is closed after it.
 * @param failed tells of what was begun; before that there is nothing to tell of
 */
export async function logged<Result>(
  log: { end(): Promise<void> },
  failed: (reason: string) => Promise<void>,
  act: () => Promise<Result>,
): Promise<Result> {
  const forget = onEnd(() => failed('it was ended'));
  try {
    return await act();
  } catch (err) {
    const told = fullDisk(err);
    await failed(told instanceof Error ? told.message : String(told)).catch(() => undefined);
    throw told;
  } finally {
    forget();
    await log.end();
  }
}
