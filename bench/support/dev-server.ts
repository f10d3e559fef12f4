import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openHome } from '../../deploy/embedded/home.ts';
import { createParts, type PartSpec } from '../../deploy/embedded/parts.ts';
import { createScreen } from '../../deploy/embedded/screen.ts';
import { resolveTemporal, temporalPart } from '../../deploy/embedded/temporal.ts';
import { freePorts } from './fleet-bench.ts';

export interface DevServer {
  address: string;
  stop(): Promise<void>;
}

/** `flags`: as `npm start` runs it. `plain`: the same binary with a database file and nothing else that bears on speed. */
export type DevServerKind = 'flags' | 'plain';

/** The binary that `npm start` would run; an outside server's flags cannot be chosen. */
export async function findDevServer(): Promise<{ binary: string; server: string }> {
  const { TEMPORAL_ADDRESS: _, ...env } = process.env;
  const { found } = await resolveTemporal(env, openHome(env, tmpdir()), createScreen(process.stderr).step('Temporal'));
  if ('address' in found) throw new Error('this bench starts servers of its own');
  return found;
}

/** A dev server over an empty database in a temporary folder. */
export async function startDevServer(binary: string, kind: DevServerKind): Promise<DevServer> {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-temporal-flags-'));
  const home = openHome({ ...process.env, SOULFRA_HOME: folder }, process.cwd());
  const [port, metricsPort] = await freePorts(2);
  const shipped = temporalPart({
    binary,
    port: port!,
    uiPort: undefined,
    metricsPort: metricsPort!,
    dbFile: home.path('temporal.db'),
    env: process.env,
  });
  const parts = createParts({
    home,
    onEvent: (text) => void process.stderr.write(`${text}\n`),
    onFailed: (_part, why) => void process.stderr.write(`${why}\n`),
  });
  const stop = async () => {
    await parts.stopAll();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await parts.start(kind === 'flags' ? shipped : plainOf(shipped));
  } catch (err) {
    await stop();
    throw err;
  }
  return { address: `127.0.0.1:${port}`, stop };
}

/** Takes away pragmas, dynamic settings and search attributes; address, database file and log level stay. */
function plainOf(shipped: PartSpec): PartSpec {
  const args: string[] = [];
  for (let i = 0; i < shipped.args.length; i += 1) {
    const arg = shipped.args[i]!;
    if (arg === '--dynamic-config-value' || arg === '--search-attribute') i += 1;
    else if (!arg.startsWith('--sqlite-pragma=')) args.push(arg);
  }
  return { ...shipped, args };
}
