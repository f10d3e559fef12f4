import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { repositoryRoot } from '../deploy/embedded/own-parts.ts';
import { generators } from './generators.ts';
import { ensureDatabase, startServers, withDatabase } from './support/servers.ts';
import { migrate } from '../stores/migrate.ts';

/** Writes every generated file below `folder`, each under its path in the repository; gives those paths back. */
export async function generateInto(folder: string): Promise<string[]> {
  const files = generators.flatMap((generator) => generator.files);
  for (const file of files) mkdirSync(join(folder, dirname(file)), { recursive: true });
  const home = mkdtempSync(join(tmpdir(), 'soulfra-gen-'));
  const servers = await startServers(home, { namespaces: [], redisDatabases: 1 });
  try {
    await ensureDatabase(servers.postgresUrl, 'soulfra_gen');
    const databaseUrl = withDatabase(servers.postgresUrl, 'soulfra_gen');
    await migrate(databaseUrl);
    for (const generator of generators) await generator.write({ databaseUrl, at: (file) => join(folder, file) });
  } finally {
    await servers.stop();
    rmSync(home, { recursive: true, force: true });
  }
  return files;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const file of await generateInto(repositoryRoot)) process.stdout.write(`${file}\n`);
}
