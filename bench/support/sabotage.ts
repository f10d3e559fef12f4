import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const protections = [
  'idempotency',
  'fence',
  'unique',
  'compensation',
  'cap',
  'key',
  'attempt',
  'doubt',
  'expiry',
  'notice',
  'patience',
  'retry',
] as const;
export type Protection = (typeof protections)[number];

const root = fileURLToPath(new URL('../../', import.meta.url));
const rooms = [
  'api',
  'deploy',
  'domain',
  'workflows',
  'activities',
  'workers',
  'stores',
  'integrations',
  'config',
  'observability',
  // Workers that a bench starts, with a provider of payments that is its own.
  'bench',
  'test/support',
  'package.json',
];

/** What `--sabotage` names; ends the program where it is none that the bench leans on. */
export function wantedProtection(named: string | undefined, leansOn: readonly Protection[]): Protection | undefined {
  if (named === undefined) return undefined;
  const found = leansOn.find((protection) => protection === named);
  if (found !== undefined) return found;
  const known = (protections as readonly string[]).includes(named);
  process.stderr.write(
    known
      ? `this bench leans on ${leansOn.join(', ')}, not on ${named}\n`
      : `--sabotage takes one of ${leansOn.join(', ')}\n`,
  );
  process.exit(2);
}

/** What is taken out, as text that must stand in the source exactly once: a bench whose protection has moved fails here. */
export interface Edit {
  file: string;
  from: string;
  to: string;
}

/** A copy of the shipped sources with a protection taken out; the product itself knows nothing of it. */
export function sabotagedSources(name: string, changes: readonly Edit[]): { folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), `soulfra-sabotage-${name}-`));
  for (const room of rooms) cpSync(join(root, room), join(folder, room), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const { file, from, to } of changes) {
    const path = join(folder, file);
    const source = readFileSync(path, 'utf8');
    if (source.split(from).length !== 2) throw new Error(`${file} does not hold once: ${from}`);
    writeFileSync(path, source.replace(from, to));
  }
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
