/** Run as `node services-process.ts FOLDER`: the servers of `npm start` without our own parts, until a signal comes. */
import { onEnding } from '../../deploy/embedded/ending.ts';
import { openHome } from '../../deploy/embedded/home.ts';
import { endLeftovers } from '../../deploy/embedded/leftovers.ts';
import { createParts } from '../../deploy/embedded/parts.ts';
import { takePorts } from '../../deploy/embedded/ports.ts';
import { createScreen } from '../../deploy/embedded/screen.ts';
import { openSecrets } from '../../deploy/embedded/secrets.ts';
import { startServices } from '../../deploy/embedded/services.ts';
import { testRange } from './servers.ts';

const { DATABASE_URL: _d, REDIS_URL: _r, TEMPORAL_ADDRESS: _t, ...env } = process.env;
const home = openHome({ ...env, SOULFRA_HOME: process.argv[2] }, process.cwd());
const screen = createScreen(process.stderr);
const left = await endLeftovers(home);
const parts = createParts({ home, onEvent: (text) => screen.line(text), onFailed: (_part, why) => screen.line(why) });
onEnding({ screen, parts, last: () => undefined });
try {
  const services = await startServices({
    home,
    env,
    ports: await takePorts(home, testRange),
    secrets: openSecrets(home),
    parts,
    screen,
    data: undefined,
  });
  process.stdout.write(`${JSON.stringify({ left, services, parts: parts.list() })}\n`);
} catch (err) {
  screen.line(err instanceof Error ? err.message : String(err));
  await parts.stopAll();
  process.exitCode = 1;
}
