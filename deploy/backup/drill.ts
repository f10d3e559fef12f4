import { rmSync } from 'node:fs';
import { backupIdOf, type BackupManifest } from '../../domain/backups.ts';
import { openBackupLog } from '../../stores/backup-log.ts';
import { migrate } from '../../stores/migrate.ts';
import type { Env, Home } from '../embedded/home.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';
import { appStamp } from '../embedded/version.ts';
import { compareFile } from './archive.ts';
import { databaseOf, type Progress } from './create.ts';
import { drillOf } from '../embedded/scratch-folders.ts';
import { logged } from './logged.ts';
import { equalWords, needRestoreRoom, refuseNewer, unpack } from './scratch.ts';
import type { Seal } from './seal.ts';
import { findArchive } from './shelf.ts';

export interface Drilled {
  id: string;
  madeAt: string;
  tables: number;
  rows: number;
  ledger: BackupManifest['ledger'];
  /** What would have been lost. */
  rpoSeconds: number;
  /** How long it took until every row was back and compared. */
  rtoSeconds: number;
}

/** Restores a backup beside the running fleet, compares it, and throws it away again. */
export async function drillRestore(options: {
  home: Home;
  wanted: string;
  folders: readonly string[];
  seal: Seal;
  env: Env;
  /** Names the drill. @default now */
  id: string | undefined;
  progress: Progress;
}): Promise<Drilled> {
  const { home, wanted, folders, seal, env, progress } = options;
  const log = await openBackupLog(databaseOf(home));
  const id = options.id ?? backupIdOf(await log.now());
  const folder = drillOf(home);
  return logged(
    log,
    (reason) => log.drillFailed(id, reason),
    async () => {
      const since = performance.now();
      const beganAt = Date.parse(await log.now());
      const origin = await log.origin();
      const { archive, record } = findArchive(wanted, folders, origin);
      const { app } = appStamp(repositoryRoot);
      await log.drillBegun(id, record?.id ?? wanted);
      if (record !== undefined) {
        refuseNewer(record, app);
        await compareFile(archive, record.archive);
      }
      needRestoreRoom(home.dir, record, archive);
      const fresh = await unpack({ archive, seal, folder, env, app, progress, origin });
      try {
        await migrate(fresh.url);
      } finally {
        await fresh.stop();
        rmSync(folder, { recursive: true, force: true });
      }
      const drilled: Drilled = {
        id: fresh.manifest.id,
        madeAt: fresh.manifest.madeAt,
        ...equalWords(fresh.manifest),
        rpoSeconds: Math.max(0, Math.round((beganAt - Date.parse(fresh.manifest.madeAt)) / 1000)),
        rtoSeconds: Math.round(performance.now() - since) / 1000,
      };
      await log.drillDone(id, drilled);
      return drilled;
    },
  );
}
