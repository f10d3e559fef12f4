#!/usr/bin/env node
// Plain JavaScript, since it has to speak on a Node that cannot read TypeScript: finds Node 24 and hands over to main.ts.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const least = 24;
const main = fileURLToPath(new URL('./main.ts', import.meta.url));

if (Number(process.versions.node.split('.')[0]) >= least) await import('./main.ts');
else handOver(pinnedNode());

/** The Node that the lockfile pins, if `npm ci` could bring one for this machine. */
function pinnedNode() {
  const name = `node-${process.platform}-${process.arch}`;
  try {
    const node = join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'bin', 'node');
    return existsSync(node) ? node : undefined;
  } catch {
    return undefined;
  }
}

function handOver(node) {
  if (node === undefined) {
    process.stderr.write(
      `soulfra runs on Node >= ${least}; this is ${process.version} on ${process.platform}-${process.arch}.\n` +
        'On linux-x64 and linux-arm64 `npm ci` brings its own: run it without --omit=optional.\n' +
        'Elsewhere install Node 24 first: https://nodejs.org/en/download\n',
    );
    process.exitCode = 1;
    return;
  }
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal sends Ctrl-C to both; the child decides, and its end is ours.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (err) => {
    process.stderr.write(`${node} does not start: ${err.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => process.exit(signal === null ? code : 1));
}
