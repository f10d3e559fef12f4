import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { migrate } from '../../stores/migrate.ts';
import { workflowBundle } from '../../workers/bundle.ts';
import { endOrphans } from './orphans.ts';
import { ensureDatabase, startServers, type TestServers, withDatabase } from './servers.ts';

/** One each for every test file of a run. */
const scopes = 256;
export const templateDatabase = 'soulfra_template';

/** What test files get by `inject('stack')`. */
export interface StackInfo {
  folder: string;
  postgresUrl: string;
  /** By the number of a scope. */
  redisUrls: string[];
  temporalAddress: string;
  /** null: workflows/index.ts is not there. */
  workflowBundle: string | null;
}

declare module 'vitest' {
  export interface ProvidedContext {
    stack: StackInfo;
  }
}

interface Shared {
  users: number;
  stack: Promise<{ info: StackInfo; servers: TestServers }>;
}
const key = Symbol.for('soulfra.test.stack');
const holder = globalThis as typeof globalThis & { [key]?: Shared };

/** Each vitest project loads this file anew; they share one stack, which ends with the last of them. */
export async function setup(project: TestProject): Promise<void> {
  const shared = (holder[key] ??= { users: 0, stack: bringUp() });
  shared.users += 1;
  project.provide('stack', (await shared.stack).info);
}

export async function teardown(): Promise<void> {
  const shared = holder[key];
  if (shared === undefined) return;
  shared.users -= 1;
  if (shared.users > 0) return;
  delete holder[key];
  const { servers, info } = await shared.stack;
  await servers.stop();
  const orphans = await endOrphans();
  rmSync(info.folder, { recursive: true, force: true });
  if (orphans.length > 0) throw new Error(`tests left processes behind: ${orphans.join('; ')}`);
}

async function bringUp(): Promise<{ info: StackInfo; servers: TestServers }> {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-test-'));
  // Postgres may run as a user of its own and has to pass through.
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, 'scopes'));
  process.env['SOULFRA_TEST_RUN'] = folder;
  const namespaces = Array.from({ length: scopes }, (_, n) => `test-${n}`);
  const servers = await startServers(join(folder, 'home'), { namespaces, redisDatabases: scopes });
  try {
    await ensureDatabase(servers.postgresUrl, templateDatabase);
    await migrate(withDatabase(servers.postgresUrl, templateDatabase));
    const info: StackInfo = {
      folder,
      postgresUrl: servers.postgresUrl,
      redisUrls: namespaces.map((_, n) => servers.redisUrl(n)),
      temporalAddress: servers.temporalAddress,
      workflowBundle: await bundle(),
    };
    return { info, servers };
  } catch (err) {
    await servers.stop();
    rmSync(folder, { recursive: true, force: true });
    throw err;
  }
}

/** The workers' own bundle, from their cache where the sources are the same. */
async function bundle(): Promise<string | null> {
  const workflows = fileURLToPath(new URL('../../workflows/index.ts', import.meta.url));
  return existsSync(workflows) ? workflowBundle() : null;
}
