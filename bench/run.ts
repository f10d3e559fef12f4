import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** `npm run bench -- NAME [arguments]` runs bench/NAME.ts (or bench/NAME/run.ts), which ends with one JSON line. */
const folder = fileURLToPath(new URL('.', import.meta.url));
const name = process.argv[2];
const candidates =
  name !== undefined && /^[a-z][a-z-]*$/.test(name) ? [join(folder, `${name}.ts`), join(folder, name, 'run.ts')] : [];
const file = candidates.find((path) => existsSync(path));

if (file === undefined || name === 'run') {
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((entry) =>
      entry.isDirectory()
        ? existsSync(join(folder, entry.name, 'run.ts'))
        : entry.name.endsWith('.ts') && entry.name !== 'run.ts',
    )
    .map((entry) => entry.name.replace(/\.ts$/, ''));
  process.stderr.write(`Usage: npm run bench -- NAME; there are: ${names.sort().join(', ')}\n`);
  process.exitCode = 2;
} else {
  // In this process, so that a signal to `npm run bench` ends the bench and not only its caller.
  process.argv.splice(1, 2, file);
  await import(pathToFileURL(file).href);
}
