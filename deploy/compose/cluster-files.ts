import type { ClusterPlace } from '../../config/cluster-place.ts';
import { stanza } from '../../domain/cluster-backups.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import type { Places } from './places.ts';
import { generatedHead } from './server-files.ts';

/** What the cluster of a deployment is backed up by: settings of pgBackRest, and how Postgres begins beside a restore. */

/** Opens the repository; a new one opens nothing that the old one closed. */
export const backupPassphrase = 'backup_passphrase';

export interface ClusterPrograms {
  pgbackrest: string;
  postgres: string;
  flock: string;
}
export const programsInContainer: ClusterPrograms = { pgbackrest: 'pgbackrest', postgres: 'postgres', flock: 'flock' };

/** For containers, where the first one's and that of a standby lie in one folder. */
export const promotedClusterFile = 'promoted-cluster.json';

export function clusterFiles(site: DeploySite, places: Places, programs: ClusterPrograms): Map<string, string> {
  return new Map([
    ['pgbackrest.conf', pgbackrestConf(site, places)],
    ['pgbackrest.sh', pgbackrestScript(places, programs)],
    ['cluster.json', `${JSON.stringify(clusterPlace(site, places, programs), null, 2)}\n`],
  ]);
}

/** How long backups are kept is said by who makes them, so that Postgres does not begin anew when that changes. */
function pgbackrestConf({ ports }: DeploySite, places: Places): string {
  const backup = places.data('backup');
  const global: Record<string, string | number> = {
    'repo1-path': `${backup}/repo`,
    'repo1-cipher-type': 'aes-256-cbc',
    // Thousands of small files, of tables that are hardly used, become few.
    'repo1-bundle': 'y',
    'compress-type': 'zst',
    'compress-level': 3,
    'start-fast': 'y',
    'process-max': 2,
    'lock-path': `${backup}/lock`,
    'log-level-console': 'off',
    'log-level-stderr': 'warn',
    'log-level-file': 'off',
  };
  const { data, cluster, socket } = places.postgres;
  const own: Record<string, string | number> = {
    'pg1-path': `${data}/${cluster}`,
    'pg1-port': ports.postgres,
    'pg1-socket-path': socket,
    'pg1-user': 'postgres',
  };
  const lines = (settings: typeof global) => Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  return `# ${generatedHead}\n[global]\n${lines(global).join('\n')}\n\n[${stanza}]\n${lines(own).join('\n')}\n`;
}

/** It reads its passphrase from the file, so that it stands in no setting and in no argument. */
function pgbackrestScript(places: Places, { pgbackrest }: ClusterPrograms): string {
  return [
    '#!/bin/sh',
    `# ${generatedHead}`,
    'set -eu',
    `PGBACKREST_REPO1_CIPHER_PASS=$(cat ${places.secret(backupPassphrase)})`,
    'export PGBACKREST_REPO1_CIPHER_PASS',
    `exec ${pgbackrest} --config=${places.config('pgbackrest.conf')} "$@"`,
    '',
  ].join('\n');
}

function clusterPlace({ fleet, ports }: DeploySite, places: Places, programs: ClusterPrograms): ClusterPlace {
  const { to, keep } = fleet.backup;
  const { data, cluster, socket } = places.postgres;
  return {
    pgbackrest: ['/bin/sh', places.config('pgbackrest.sh')],
    postgres: programs.postgres,
    configFile: places.config('postgresql.conf'),
    data,
    cluster,
    socket,
    port: ports.postgres,
    passwordFile: places.secret('postgres_password'),
    backup: places.data('backup'),
    second: to === undefined ? null : places.second(to),
    keep,
  };
}

/**
 * Lines of shell before Postgres: it holds a lock while it lives, which a restore takes too, so neither begins beside the other; and what a
 * restore has made whole takes the place of what was there, wherever that one was cut off (deploy/cluster/restore.ts does the same).
 */
export function claimLines({ postgres: { data, cluster } }: Places, flock = programsInContainer.flock): string[] {
  return [
    `exec 9>> ${data}/lock`,
    `if ! ${flock} --nonblock 9; then`,
    `  echo 'the cluster is being restored, or another Postgres has it' >&2`,
    '  exit 1',
    'fi',
    `if [ -d ${data}/restored ]; then`,
    `  if [ -d ${data}/${cluster} ]; then mv -T ${data}/${cluster} "${data}/${cluster}.before-$(date -u +%Y%m%dT%H%M%SZ)"; fi`,
    `  rm -f ${makingOf(data)}`,
    `  mv -T ${data}/restored ${data}/${cluster}`,
    'fi',
  ];
}

/** Is there while the data is made; who finds it at its start finds half of them. */
export const makingOf = (data: string) => `${data}/making`;

/** The last line of what the image of Postgres runs on new data. */
export function madeLine({ postgres: { data } }: Places): string {
  return `\\! rm -f ${makingOf(data)}\n`;
}

function beginAgain({ postgres: { data, cluster } }: Places): string[] {
  const making = makingOf(data);
  return [
    // Aside and not away: what was made halfway is worth nothing, and a mark that was left behind must not cost what is whole.
    `if [ -e ${making} ] && [ -d ${data}/${cluster} ]; then mv -T ${data}/${cluster} "${data}/${cluster}.half-$(date -u +%Y%m%dT%H%M%SZ)"; fi`,
    `[ -s ${data}/${cluster}/PG_VERSION ] || touch ${making}`,
  ];
}

/**
 * @param options.init what makes the data where there is none; absent: the image does
 * @param options.fence what ends it where a standby was promoted meanwhile
 */
export function postgresStartScript(
  places: Places,
  { init, flock, fence }: { init?: string; flock?: string; fence?: string | undefined } = {},
): string {
  return [
    '#!/bin/sh',
    `# ${generatedHead}`,
    'set -eu',
    ...claimLines(places, flock),
    ...(init === undefined ? beginAgain(places) : [`/bin/sh ${init}`]),
    ...(fence === undefined ? [] : [`bash ${fence}`]),
    // It is a first one by its own settings from here on. Were it said still, it would begin as one after another has taken over, too.
    `rm -f ${places.postgres.data}/${places.postgres.cluster}.promoted`,
    'exec "$@"',
    '',
  ].join('\n');
}
