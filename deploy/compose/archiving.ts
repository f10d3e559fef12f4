import { backupPassphrase } from './cluster-files.ts';
import { containerPlaces } from './places.ts';

/** What a container needs in which Postgres hands its changes on. */
export const archiving = {
  configs: ['pgbackrest.conf', 'pgbackrest.sh'],
  secrets: [backupPassphrase],
  volumes: ['backup:/var/lib/backup', `run:${containerPlaces().postgres.socket}`],
} as const;
