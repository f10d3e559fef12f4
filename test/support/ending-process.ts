/** Run as `node ending-process.ts FOLDER`: one part that heeds no SIGTERM, under the shipped signal handling. */
import { onEnding } from '../../deploy/embedded/ending.ts';
import { openHome } from '../../deploy/embedded/home.ts';
import { createParts } from '../../deploy/embedded/parts.ts';
import { createScreen } from '../../deploy/embedded/screen.ts';

const env = { ...process.env, SOULFRA_HOME: process.argv[2] };
const screen = createScreen(process.stderr);
const parts = createParts({
  home: openHome(env, process.cwd()),
  onEvent: (text) => screen.line(text),
  onFailed: (_part, why) => screen.line(why),
});
onEnding({ screen, parts, last: () => undefined });
await parts.start({
  name: 'deaf',
  order: 0,
  command: process.execPath,
  args: ['-e', "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)"],
  env,
  stopSignal: 'SIGTERM',
  graceMs: 60_000,
  startAttempts: 1,
  readyWithinMs: 5000,
});
process.stdout.write(`${JSON.stringify({ parts: parts.list() })}\n`);
