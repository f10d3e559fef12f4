import type { DeploySite } from '../../domain/deploy-site.ts';
import { archiving } from './archiving.ts';
import { promotedClusterFile } from './cluster-files.ts';
import type { PartOfCompose } from './compose-service.ts';
import { clientEnvironment, type Parts, payloadEnvironment } from './coordination.ts';
import { backupImage } from './images.ts';
import { containerPlaces } from './places.ts';

/** What backs the cluster up, in the containers of the machine that has it. */

const places = containerPlaces();

/** @param promoted on a standby, by settings of its own */
export function backupParts(site: DeploySite, { promoted = false } = {}): Parts {
  const { to } = site.fleet.backup;
  const settings = promoted ? promotedClusterFile : 'cluster.json';
  const base: Omit<PartOfCompose, 'memory' | 'cpus'> = {
    image: backupImage,
    environment: {
      ...clientEnvironment(site, 'api'),
      SOULFRA_CLUSTER_FILE: places.config(settings),
      ...payloadEnvironment(site, places.secret('payload_keys')),
    },
    configs: [settings, 'postgresql.conf', ...archiving.configs],
    secrets: ['database_url', 'redis_url', 'postgres_password', 'payload_keys', ...archiving.secrets],
    tls: ['api.crt', 'api.key', 'ca.crt'],
    ...(to === undefined ? {} : { binds: [{ source: to, target: places.second(to) }] }),
    // A cluster that is tried out needs it as the real one does.
    tmpfs: ['/dev/shm:mode=1777'],
  };
  const limits = { memory: '2g', cpus: 2 };
  return {
    backup: {
      ...base,
      ...limits,
      command: ['node', 'workers/backup-main.ts'],
      volumes: [`postgres:${places.postgres.data}:ro`, ...archiving.volumes],
      after: { postgres: 'service_healthy', 'temporal-namespace': 'service_completed_successfully' },
    },
    // Never up: `soulfra deploy restore` runs it, while all else stands still.
    restore: {
      ...base,
      ...limits,
      command: ['node', 'deploy/cluster/main.ts', 'list'],
      volumes: [`postgres:${places.postgres.data}`, ...archiving.volumes],
      once: true,
      profiles: ['restore'],
    },
  };
}
