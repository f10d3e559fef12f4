import { exitCodes } from './failures.ts';
import { createProgram, run } from './run.ts';

// A reader that has seen enough, such as `head`, closes the pipe: that is no failure.
process.stdout.on('error', (err: NodeJS.ErrnoException) => {
  if (err.code === 'EPIPE') process.exit(exitCodes.ok);
  throw err;
});
process.exitCode = await run(createProgram(), process.argv.slice(2));
