import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterPlace } from '../../config/cluster-place.ts';
import { backupIdOf, differences, rowsOf } from '../../domain/backups.ts';
import { backupToRestore, refuseForeign, type RestoreTarget } from '../../domain/cluster-backups.ts';
import { DomainError } from '../../domain/errors.ts';
import { openBackupLog } from '../../stores/backup-log.ts';
import {
  archiveFigures,
  archiveUntil,
  figuresOf,
  nameMoment,
  restoredFigures,
  temporalWorkflows,
} from '../../stores/cluster-backups.ts';
import type { Progress } from '../backup/create.ts';
import type { Drilled } from '../backup/drill.ts';
import { needRoom } from '../backup/folders.ts';
import { logged } from '../backup/logged.ts';
import { isNewer, majorOf } from './own-version.ts';
import { openPgbackrest } from './pgbackrest.ts';
import { liveUrl, passwordOf, restoreScratch } from './scratch.ts';

/** A file of changes leaves within this, unless the archive is in trouble. */
const leavesWithinMs = 5 * 60_000;
/** Changes that are replayed beside the files of a backup. */
const spareShare = 1.25;

export interface DrilledCluster extends Drilled {
  /** Workflows that Temporal knows in what was restored. */
  workflows: number;
}

/**
 * Restores the running cluster beside it, up to a moment that was given a name just now, and throws it away again. Every row of that moment
 * is compared, not only those of the last backup.
 */
export async function drillCluster(options: {
  place: ClusterPlace;
  /** Names the drill. @default now */
  id: string | undefined;
  progress: Progress;
}): Promise<DrilledCluster> {
  const { place, progress } = options;
  const url = liveUrl(place, 'soulfra');
  const pgbackrest = openPgbackrest(place, { password: passwordOf(place) });
  const log = await openBackupLog(url);
  const folder = join(place.backup, 'drill');
  try {
    await log.lockDrill();
  } catch (err) {
    await log.end();
    throw err;
  }
  const id = options.id ?? backupIdOf(await log.now());
  return logged(
    log,
    (reason) => log.drillFailed(id, reason),
    async () => {
      const repository = await pgbackrest.info();
      // A second execution has a name of its own: a restore stops at the first that is called so.
      const target: RestoreTarget = { is: 'point', name: `soulfra_drill_${id}_${randomBytes(4).toString('hex')}` };
      const here = { clusterId: repository.clusterId, postgresMajor: await majorOf(place), isNewer };
      const backup = backupToRestore(repository, target, here);
      refuseForeign(backup, await log.origin());
      await log.drillBegun(id, backup.label);
      needRoom(place.backup, backup.info.size * spareShare, 'the restored cluster');
      // Before this drill closes a file of changes: what had left until then is what a lost disk would have left over.
      const { now, lastAt } = await archiveFigures(url);
      if (lastAt === null)
        throw new DomainError('UNAVAILABLE', 'no changes have left for the archive since Postgres began');
      progress('giving the moment a name');
      const { snapshot, segment } = await nameMoment(url, target.name);
      let live: Awaited<ReturnType<typeof figuresOf>>;
      try {
        progress('reading every row');
        live = await figuresOf(snapshot);
      } finally {
        await snapshot.end();
      }
      await archiveUntil(url, segment, leavesWithinMs);
      const since = performance.now();
      const scratch = await restoreScratch({ place, pgbackrest, folder, label: backup.label, target, progress });
      let workflows: number;
      try {
        progress('comparing every row');
        const wrong = differences(live, await restoredFigures(scratch.url('soulfra')));
        if (wrong.length > 0) throw new DomainError('BACKUP_DAMAGED', `${backup.label}: restored, ${wrong.join('; ')}`);
        workflows = await temporalWorkflows(scratch.url('temporal'));
      } finally {
        await scratch.stop();
        rmSync(folder, { recursive: true, force: true });
      }
      const drilled: DrilledCluster = {
        id: backup.label,
        madeAt: now,
        tables: Object.keys(live.tables).length,
        rows: rowsOf(live),
        ledger: live.ledger,
        workflows,
        rpoSeconds: Math.max(0, Math.round((Date.parse(now) - Date.parse(lastAt)) / 1000)),
        rtoSeconds: Math.round(performance.now() - since) / 1000,
      };
      await log.drillDone(id, drilled);
      return drilled;
    },
  );
}
