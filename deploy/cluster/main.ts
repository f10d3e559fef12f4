import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type ClusterPlace, readClusterPlace } from '../../config/cluster-place.ts';
import { backupEnvironment } from '../../config/environment.ts';
import { backupIdSchema } from '../../domain/backups.ts';
import { type ClusterBackup, isLiving, type Repository, saidBy } from '../../domain/cluster-backups.ts';
import { DomainError } from '../../domain/errors.ts';
import { answer } from '../backup/answer.ts';
import type { Progress } from '../backup/create.ts';
import { onEnd } from '../backup/on-end.ts';
import { backUpCluster, keepSecondCopy, prepareRepository, verifyCluster } from './create.ts';
import { drillCluster } from './drill.ts';
import { openPgbackrest, repositoryOf } from './pgbackrest.ts';
import { restoreCluster } from './restore.ts';

/**
 * `node deploy/cluster/main.ts prepare|create|copy|list|verify|drill|restore`: what `soulfra deploy` and the backup part of a deployment start.
 * It runs as the user of Postgres, beside its data. Lines of JSON on stdout: `{progress}`, then `{result}` or `{failed}`.
 */

const say = (line: object) => void process.stdout.write(`${JSON.stringify(line)}\n`);
const progress: Progress = (text, share) => say({ progress: text, share: share ?? null });
/** How flock ends where the lock is taken. */
const takenCode = 75;
const lockedFlag = 'locked';

async function run(): Promise<object> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      id: { type: 'string' },
      to: { type: 'string' },
      second: { type: 'boolean', default: false },
      [lockedFlag]: { type: 'boolean', default: false },
    },
  });
  const { clusterFile } = backupEnvironment();
  if (clusterFile === undefined) throw new TypeError('SOULFRA_CLUSTER_FILE is not set');
  const place = readClusterPlace(clusterFile);
  // `newest`, which the drill of `npm start` is told, is all that there is here.
  const [act] = positionals;
  const id = values.id === undefined ? undefined : backupIdSchema.parse(values.id);
  switch (act) {
    case 'prepare':
      await prepareRepository(place);
      return { repository: repositoryOf(place) };
    case 'create':
      return backUpCluster({ place, id, progress });
    case 'copy':
      return keepSecondCopy(place, progress);
    case 'verify':
      return verifyCluster(place, progress);
    case 'drill':
      return drillCluster({ place, id, progress });
    case 'list':
      return list(place);
    case 'restore': {
      const { to, second } = values;
      if (to === undefined) throw new DomainError('INVALID_INPUT', '--to is missing: a time with its zone, or latest');
      return values[lockedFlag] ? restoreCluster({ place, to, second, progress }) : underLock(place);
    }
    default:
      throw new TypeError(`unknown: ${act ?? 'nothing to do'}`);
  }
}

async function list(place: ClusterPlace): Promise<object> {
  const { backups, history } = await openPgbackrest(place).info();
  const items = backups.toReversed().map((backup) => ({
    label: backup.label,
    type: backup.type,
    endedAt: new Date(backup.timestamp.stop * 1000).toISOString(),
    bytes: backup.info.repository.delta,
    dataBytes: backup.info.size,
    app: saidBy(backup, 'app') ?? null,
    fault: faultOf(backup, history),
  }));
  return { repository: repositoryOf(place), second: place.second, items };
}

function faultOf(backup: ClusterBackup, history: Repository['history']): string {
  if (backup.error === true) return 'pages are damaged';
  if (backup.isDamaged === true) return 'damaged, or what it builds on is';
  return isLiving(backup, history) ? '' : 'left behind by a restore';
}

/**
 * The same once more, by flock, under the lock that Postgres holds while it lives: neither begins while the other is there, and no kill
 * leaves it taken. What this one says is what that one says.
 */
async function underLock(place: ClusterPlace): Promise<never> {
  mkdirSync(place.data, { recursive: true });
  const lock = join(place.data, 'lock');
  const main = fileURLToPath(import.meta.url);
  const words = ['--nonblock', '--conflict-exit-code', String(takenCode), lock, process.execPath, main];
  const child = spawn('flock', [...words, ...process.argv.slice(2), `--${lockedFlag}`], {
    stdio: ['ignore', 'inherit', 'inherit'],
    // Of its own, so that a signal reaches flock and what it runs.
    detached: true,
  });
  const gone = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
  onEnd(async () => {
    process.kill(-child.pid!, 'SIGTERM');
    await gone;
  });
  const code = await gone;
  if (code === takenCode)
    throw new DomainError(
      'CONFLICT',
      `Postgres of this deployment runs, or another restore does (${lock} is taken): stop every part on every machine first`,
    );
  // It has said how it ended.
  process.exit(code);
}

await answer(run);
