import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const protections = ['idempotency', 'fence', 'unique', 'compensation', 'cap'] as const;
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

/** What is taken out, as text that must stand in the source exactly once: a bench whose protection has moved fails here. */
export interface Edit {
  file: string;
  from: string;
  to: string;
}

/** A copy of the shipped sources with one protection taken out; the product itself knows nothing of it. */
export function sabotagedSources(protection: Protection, changes: readonly Edit[]): { folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), `soulfra-sabotage-${protection}-`));
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
