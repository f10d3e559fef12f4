import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFleet, type Found, type ImportRequest } from '../../config/imports/import-fleet.ts';
import { writeMonorepo } from './monorepo.ts';

/** Does something with a folder of its own, which is gone afterwards. */
export async function inFolder<T>(files: Record<string, string>, act: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-import-'));
  try {
    writeMonorepo(folder, { files: new Map(Object.entries(files)) });
    return await act(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What an import finds in these files, on a fleet of mainpc and pc2. */
export function importOf(files: Record<string, string>, request: Partial<ImportRequest> = {}): Promise<Found> {
  return inFolder(files, (folder) =>
    findFleet({
      paths: [folder],
      machineFiles: [],
      portRules: [],
      machines: [{ id: 'mainpc', host: 'big-box' }, { id: 'pc2' }],
      ...request,
    }),
  );
}
