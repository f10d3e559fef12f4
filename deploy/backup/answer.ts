import { errorTable, isDomainError } from '../../domain/errors.ts';
import { endBySignal, unlessEnding } from './on-end.ts';

/** Does what the process was started for, and ends it with one last line of JSON on stdout: `{result}` or `{failed}`. */
export async function answer(run: () => Promise<unknown>): Promise<void> {
  endBySignal();
  // Who asked may be gone; what was begun is ended all the same.
  process.stdout.on('error', () => undefined);
  let last: object;
  try {
    last = { result: await run() };
  } catch (err) {
    process.exitCode = 1;
    last = { failed: failureOf(err) };
  }
  await unlessEnding();
  // What was broken off may hold a connection that never ends.
  process.stdout.write(`${JSON.stringify(last)}\n`, () => process.exit());
}

function failureOf(err: unknown): { code: string; message: string; mend: string | null } {
  if (isDomainError(err)) return { code: err.code, message: err.message, mend: errorTable[err.code].mend };
  const { message, stack } = err instanceof Error ? err : { message: String(err), stack: undefined };
  process.stderr.write(`${stack ?? message}\n`);
  return { code: 'INTERNAL', message, mend: null };
}
