import type { DeploySite } from '../../domain/deploy-site.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { archiving } from './archiving.ts';
import { backupParts } from './backup-part.ts';
import { claimLines } from './cluster-files.ts';
import { dataParts, type Parts, servingParts } from './coordination.ts';
import { imageOf } from './images.ts';
import type { Places } from './places.ts';
import { generatedHead, standbyName } from './server-files.ts';

/** The site as it will be when the standby has taken over: the same ports and names, at its own address. */
function promotedSite(site: DeploySite, standby: FleetMachine): DeploySite {
  const host = site.fleet.deploy.host ?? site.addresses[standby.id]!;
  return { ...site, coordination: standby, standby: undefined, host };
}

/** A copy of Postgres that follows; everything else is there and stands still until somebody promotes it (docs/deploy.md). */
export function standbyParts(site: DeploySite, standby: FleetMachine): Parts {
  const promoted = promotedSite(site, standby);
  const { volumes, postgres, ...data } = dataParts(promoted);
  const primary = { 'postgres.soulfra': site.addresses[site.coordination.id]! };
  const { restore, backup } = backupParts(promoted, { promoted: true });
  const waiting = Object.entries({ ...data, backup: backup!, ...servingParts(promoted) }).map(([name, part]) => [
    name,
    { ...part, profiles: ['promoted'] },
  ]);
  return {
    volumes: volumes!,
    postgres: {
      ...postgres!,
      entrypoint: ['bash', '/etc/soulfra/standby-postgres.sh'],
      command: [],
      environment: { PGDATA: '/var/lib/postgresql/data' },
      // Promoted, it hands its own changes on.
      configs: ['postgresql.conf', 'pg_hba.conf', 'standby-postgres.sh', ...archiving.configs],
      secrets: ['replicator_password', ...archiving.secrets],
      volumes: ['postgres:/var/lib/postgresql', ...archiving.volumes],
      extraHosts: primary,
    },
    // From then on the primary answers only what the copy has, too: nothing acknowledged is lost with its disk.
    synchronous: {
      image: imageOf('postgres'),
      entrypoint: ['bash', '/etc/soulfra/synchronous.sh'],
      configs: ['synchronous.sh'],
      secrets: ['replicator_password'],
      tls: ['postgres.crt', 'postgres.key', 'ca.crt'],
      extraHosts: primary,
      after: { postgres: 'service_healthy' },
      once: true,
      memory: '128m',
      cpus: 0.5,
    },
    restore: restore!,
    ...Object.fromEntries(waiting),
  };
}

const primaryOf = ({ ports }: DeploySite, places: Places) =>
  [
    'host=postgres.soulfra',
    `port=${ports.postgres}`,
    'user=replicator',
    'sslmode=verify-full',
    `sslrootcert=${places.tls('ca.crt')}`,
    `sslcert=${places.tls('postgres.crt')}`,
    `sslkey=${places.tls('postgres.key')}`,
    `application_name=${standbyName}`,
    'passfile=/tmp/pgpass',
  ].join(' ');

const passfile = ({ ports }: DeploySite, places: Places) => [
  'umask 077',
  `printf 'postgres.soulfra:${ports.postgres}:*:replicator:%s\\n' "$(cat ${places.secret('replicator_password')})" > /tmp/pgpass`,
];

/** Copies the primary once, whole or not at all, and follows it from then on. Promoted, it follows nobody. */
export function standbyScript(site: DeploySite, places: Places): string {
  return [
    '#!/usr/bin/env bash',
    `# ${generatedHead}`,
    'set -euo pipefail',
    ...claimLines(places),
    ...passfile(site, places),
    `primary='${primaryOf(site, places)}'`,
    'if [ ! -s "$PGDATA/PG_VERSION" ]; then',
    '  rm -rf "$PGDATA.new"',
    `  psql "$primary dbname=postgres" -qAt -v ON_ERROR_STOP=1 -c "select pg_create_physical_replication_slot('${standbyName}') where not exists (select from pg_replication_slots where slot_name = '${standbyName}')"`,
    `  pg_basebackup --pgdata "$PGDATA.new" --wal-method stream --checkpoint fast --slot ${standbyName} --dbname "$primary"`,
    '  touch "$PGDATA.new/standby.signal"',
    '  mv "$PGDATA.new" "$PGDATA"',
    'fi',
    `exec postgres -c config_file=${places.config('postgresql.conf')} -c "primary_conninfo=$primary" -c primary_slot_name=${standbyName}`,
    '',
  ].join('\n');
}

/** Waits until the primary sees the copy stream, then has it wait for the copy. */
export function synchronousScript(site: DeploySite, places: Places): string {
  return [
    '#!/usr/bin/env bash',
    `# ${generatedHead}`,
    'set -euo pipefail',
    ...passfile(site, places),
    `primary='${primaryOf(site, places)} dbname=postgres'`,
    `until [ "$(psql "$primary" -qAt -c "select count(*) from pg_stat_replication where application_name = '${standbyName}' and state = 'streaming'")" = 1 ]; do sleep 2; done`,
    `psql "$primary" -q -v ON_ERROR_STOP=1 -c "alter system set synchronous_standby_names = 'FIRST 1 (${standbyName})'" -c 'select pg_reload_conf()'`,
    '',
  ].join('\n');
}
