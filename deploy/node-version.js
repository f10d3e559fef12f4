// Plain JavaScript, since it has to speak on a Node that cannot read TypeScript. Usage: node deploy/node-version.js FILE.ts [arguments]
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const major = Number(process.versions.node.split('.')[0]);
const file = process.argv[2];
if (major < 24) {
  process.stderr.write(
    `Soulfra runs on Node >= 24; this is ${process.version} on ${process.platform}-${process.arch}.\n` +
      'On linux-x64 and linux-arm64 `npm ci` brings its own Node: run it without --omit=optional, then use the npm scripts.\n' +
      'Elsewhere install Node 24 first: https://nodejs.org/en/download\n',
  );
  process.exitCode = 1;
} else if (file === undefined) {
  process.stderr.write('Usage: node deploy/node-version.js FILE.ts [arguments]\n');
  process.exitCode = 2;
} else {
  const path = resolve(file);
  process.argv.splice(1, 2, path);
  await import(pathToFileURL(path).href);
}
