import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Version of this checkout. */
export function appVersion(): string {
  const file = fileURLToPath(new URL('../package.json', import.meta.url));
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** Hash over every file that may be bundled as a workflow and the SDK's version: two boxes with the same one run the same workflows. */
export function workflowSources(): string {
  const root = fileURLToPath(new URL('../', import.meta.url));
  const hash = createHash('sha256');
  hash.update(readFileSync(join(root, 'node_modules/@temporalio/worker/package.json')));
  for (const room of ['domain', 'workflows']) {
    const files = readdirSync(join(root, room), { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.ts'),
    );
    for (const file of files.sort()) hash.update(file).update(readFileSync(join(root, room, file)));
  }
  return hash.digest('hex').slice(0, 16);
}
