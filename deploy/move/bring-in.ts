import type { ConnectionOptions } from 'node:tls';
import type { BackupManifest } from '../../domain/backups.ts';
import { DomainError } from '../../domain/errors.ts';
import { type MovedWorkflows, movedWorkflowsSchema } from '../../domain/fleet-move.ts';
import { movedState, settleMoved } from '../../stores/database-copy.ts';
import { migrate, migrationsBeyond } from '../../stores/migrate.ts';
import { readArchive } from '../backup/archive.ts';
import type { Progress } from '../backup/create.ts';
import { equalWords, loadRows, refuseNewer } from '../backup/scratch.ts';
import type { Seal } from '../backup/seal.ts';

/** A fleet that was taken along longer ago may have lived here since, in a database that was lost. */
const freshMs = 7 * 86_400_000;

export interface BroughtIn {
  id: string;
  /** Null: this very fleet was brought in before. */
  tables: number | null;
  rows: number | null;
  ledger: BackupManifest['ledger'] | null;
  /** Workflows that the new Temporal is to begin, by noun. */
  begins: Record<string, number>;
}

/**
 * Fills the empty database of a new deployment with a fleet that was taken along: all rows, each compared, and what was under way, in
 * one transaction or not at all. @throws CONFLICT where another fleet lives there, or it was taken along too long ago
 */
export async function bringIn(options: {
  archive: string;
  url: string;
  tls: ConnectionOptions | undefined;
  seal: Seal;
  app: string;
  progress: Progress;
}): Promise<BroughtIn> {
  const { archive, url, tls, seal, app, progress } = options;
  progress('reading the archive');
  let workflows: MovedWorkflows = [];
  const manifest = await readArchive(archive, seal, async ({ name, content }, head) => {
    refuseNewer(head, app);
    if (name === 'workflows.json') workflows = movedWorkflowsSchema.parse(JSON.parse(await textOf(content)));
  });
  progress('bringing the schema up to date');
  await migrate(url, undefined, { tls });
  const state = await movedState(url, manifest.id, tls);
  if (state === 'here') return { id: manifest.id, tables: null, rows: null, ledger: null, begins: {} };
  if (state === 'another')
    throw new DomainError(
      'CONFLICT',
      'a fleet lives in this database already: a fleet is moved into a new deployment. Take moved/ out of its folder to go on with the one that lives here',
    );
  if (Date.now() - Date.parse(manifest.madeAt) > freshMs)
    throw new DomainError(
      'CONFLICT',
      `the fleet was taken along at ${manifest.madeAt}, and what it did here since would be done again: restore a backup into this database. If it never ran here: rm moved.json in its old data folder, and take it along anew`,
    );
  const lacking = migrationsBeyond(manifest.migrations);
  if (lacking.length > 0)
    throw new DomainError(
      'CONFLICT',
      `the fleet was taken along by an older version, which lacks ${lacking.join(', ')}: deploy that version, or \`npm start\` the old fleet once with this one and take it along anew`,
    );
  let begins: Record<string, number> = {};
  await loadRows(url, manifest, {
    archive,
    seal,
    tls,
    progress,
    mustBeEmpty: true,
    settle: async (client) => {
      begins = await settleMoved(client, manifest, workflows);
    },
  });
  return { id: manifest.id, ...equalWords(manifest), begins };
}

async function textOf(content: AsyncIterable<Buffer>): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}
