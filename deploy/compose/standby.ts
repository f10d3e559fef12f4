import type { DeploySite } from '../../domain/deploy-site.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { standbyName } from '../../domain/server-names.ts';
import { archiving } from './archiving.ts';
import { backupParts } from './backup-part.ts';
import { claimLines } from './cluster-files.ts';
import { dataParts, type Parts, servingParts } from './coordination.ts';
import { imageOf } from './images.ts';
import type { Places } from './places.ts';
import { generatedHead } from './server-files.ts';

/** What the first one waits for once it is fenced: nobody has this name, so it acknowledges nothing any more. */
export const fencedName = 'soulfra_fenced';
/** One file of changes. */
const closeBehindBytes = 16 * 1024 ** 2;
/** The last word that the copy heard of whether the first one waits for it; beside the data. */
const lastWordFile = 'standby.state';
/** Where the folder keeps what holds once the standby has taken over. */
export const promotedFolder = 'promoted';

/** The site as it will be when the standby has taken over: the same ports and names, at its own address. */
export function promotedSite(site: DeploySite, standby: FleetMachine): DeploySite {
  const host = site.fleet.deploy.host ?? site.addresses[standby.id]!;
  return { ...site, coordination: standby, standby: undefined, host };
}

/** A copy of Postgres that follows; everything else is there and stands still until somebody promotes it (docs/deploy.md). */
export function standbyParts(site: DeploySite, standby: FleetMachine): Parts {
  const promoted = promotedSite(site, standby);
  const { volumes, postgres, ...data } = dataParts(promoted);
  const { restore, backup } = backupParts(promoted, { promoted: true });
  const waiting = Object.entries({ ...data, backup: backup!, ...servingParts(promoted) }).map(([name, part]) => [
    name,
    { ...part, profiles: ['promoted'] },
  ]);
  const follows = {
    secrets: ['replicator_password'],
    tls: ['postgres.crt', 'postgres.key', 'ca.crt'],
    volumes: ['postgres:/var/lib/postgresql'],
  };
  return {
    volumes: volumes!,
    postgres: {
      ...postgres!,
      ...follows,
      entrypoint: ['bash', '/etc/soulfra/standby-postgres.sh'],
      command: [],
      environment: {},
      // Promoted, it hands its own changes on.
      configs: ['postgresql.conf', 'pg_hba.conf', 'standby-postgres.sh', 'standby-sql.sh', ...archiving.configs],
      secrets: [...follows.secrets, ...archiving.secrets],
      volumes: [...follows.volumes, ...archiving.volumes],
    },
    // From then on the first one answers only what the copy has, too: nothing acknowledged is lost with its disk.
    synchronous: {
      ...follows,
      image: imageOf('postgres'),
      entrypoint: ['bash', '/etc/soulfra/synchronous.sh'],
      configs: ['synchronous.sh', 'standby-sql.sh'],
      after: { postgres: 'service_healthy' },
      health: { test: ['CMD', ...isSynchronous('/var/lib/postgresql', 'data')], startPeriod: '2m' },
      memory: '128m',
      cpus: 0.5,
    },
    restore: restore!,
    ...Object.fromEntries(waiting),
  };
}

/** Of a promoted one nobody asks any more; a copy whose first one is dead comes up all the same, and can be promoted. */
export function isSynchronous(base: string, data: string): string[] {
  return [
    '/bin/sh',
    '-c',
    `[ -e ${base}/${data}.promoted ] || grep -qE '^(synchronous|unheard) ' ${base}/${lastWordFile}`,
  ];
}

/** Where the scripts find what they use. */
export interface StandbyPlaces {
  places: Places;
  /** Folder of the data's own folder. */
  base: string;
  /** Of the data in it. */
  data: string;
  /** The server; its tools lie beside it. */
  postgres: string;
  flock?: string;
  /** Further arguments of the server. */
  more?: string;
  /** Where the copy itself is reached; absent: by its name, as between containers. */
  own?: string;
}

export const containerStandby = (places: Places): StandbyPlaces => ({
  places,
  base: places.postgres.data,
  data: places.postgres.cluster,
  postgres: 'postgres',
});

function connection(site: DeploySite, { places }: StandbyPlaces, address: string | undefined): string {
  return [
    'host=postgres.soulfra',
    ...(address === undefined ? [] : [`hostaddr=${address}`]),
    `port=${site.ports.postgres}`,
    'user=replicator',
    'sslmode=verify-full',
    `sslrootcert=${places.tls('ca.crt')}`,
    `sslcert=${places.tls('postgres.crt')}`,
    `sslkey=${places.tls('postgres.key')}`,
    'connect_timeout=5',
    'tcp_user_timeout=10000',
  ].join(' ');
}

/** Whose data are of one cluster, and who was promoted last. */
const timelines = [
  'identity() { "$bin/psql" "$1 dbname=postgres replication=database" -qAtX -F " " -c "IDENTIFY_SYSTEM"; }',
  'own() { "$bin/pg_controldata" -D "$data" | sed -n "s/^$1: *//p"; }',
];

function opening(at: StandbyPlaces): string[] {
  return [
    '#!/usr/bin/env bash',
    `# ${generatedHead}`,
    'set -euo pipefail',
    `bin=$(dirname "$(readlink -f "$(command -v ${at.postgres})")")`,
    `PGPASSWORD=$(cat ${at.places.secret('replicator_password')})`,
    'export PGPASSWORD',
  ];
}

/** Every file that a standby has besides those of what it will be. */
export function standbyScripts(site: DeploySite, at: StandbyPlaces): Map<string, string> {
  return new Map([
    ['standby-postgres.sh', standbyPostgres(site, at)],
    ['standby-sql.sh', standbySql(site, at)],
    ['synchronous.sh', synchronous(site, at)],
  ]);
}

/**
 * Copies the first one once, whole or not at all, and follows it from then on. Promoted, it follows nobody; and what was a first one
 * itself until another took over is put aside, since it may hold what nobody else has.
 */
function standbyPostgres(site: DeploySite, at: StandbyPlaces): string {
  const primary = connection(site, at, site.addresses[site.coordination.id]!);
  const server = `exec ${at.postgres} -D "$data" -c config_file=${at.places.config('postgresql.conf')}${at.more ?? ''}`;
  return [
    ...opening(at),
    ...claimLines(at.places, at.flock),
    `data=${at.base}/${at.data}`,
    `primary='${primary} application_name=${standbyName}'`,
    ...timelines,
    'if [ -e "$data/standby.signal" ] && [ ! -e "$data.promoted" ]; then',
    '  # Where both lost their power at once, the other may be on its way. Without it, it can be promoted all the same.',
    '  until identity "$primary" > /dev/null 2>&1 || [ "$SECONDS" -gt 60 ]; do sleep 2; done',
    'fi',
    'if [ -s "$data/PG_VERSION" ]; then',
    '  # Who was promoted, or restored, last has the higher timeline. What is of before cannot follow it.',
    '  if there=$(identity "$primary"); then',
    '    read -r system timeline rest <<< "$there"',
    '    if [ "$system" != "$(own "Database system identifier")" ]; then',
    `      echo "the data in $data is not a copy of ${site.coordination.id}'s: put it elsewhere by hand (mv), then start again" >&2`,
    '      exit 1',
    '    fi',
    '    if [ "$timeline" -gt "$(own "Latest checkpoint\'s TimeLineID")" ]; then',
    '      mv "$data" "$data.before-$(date -u +%Y%m%dT%H%M%SZ)"',
    '      rm -f "$data.promoted"',
    '    fi',
    '  fi',
    '  if [ -e "$data" ] && [ ! -e "$data/standby.signal" ] && [ ! -e "$data.promoted" ]; then',
    `    echo "the data in $data was a first one's, and ${site.coordination.id} does not say that it has taken over: bring ${site.coordination.id} up first" >&2`,
    '    exit 1',
    '  fi',
    'fi',
    'if [ -e "$data.promoted" ]; then',
    `  ${server}`,
    'fi',
    'umask 077',
    'if [ ! -s "$data/PG_VERSION" ]; then',
    `  until identity "$primary" > /dev/null 2>&1; do echo "waiting for ${site.coordination.id}" >&2; sleep 2; done`,
    '  rm -rf "$data.new"',
    `  "$bin/psql" "$primary dbname=postgres" -qAt -v ON_ERROR_STOP=1 -c "select pg_create_physical_replication_slot('${standbyName}') where not exists (select from pg_replication_slots where slot_name = '${standbyName}')"`,
    `  "$bin/pg_basebackup" --pgdata "$data.new" --wal-method stream --checkpoint fast --slot ${standbyName} --dbname "$primary"`,
    '  # Whom the first one waits for is its own matter: the copy waits for nobody once it is a first one.',
    '  sed -i "/^synchronous_standby_names/d" "$data.new/postgresql.auto.conf"',
    '  touch "$data.new/standby.signal"',
    '  mv "$data.new" "$data"',
    'fi',
    `printf 'postgres.soulfra:${site.ports.postgres}:*:replicator:%s\\n' "$PGPASSWORD" > ${at.base}/pgpass.new`,
    `mv -f ${at.base}/pgpass.new ${at.base}/pgpass`,
    'unset PGPASSWORD',
    `${server} -c "primary_conninfo=$primary passfile=${at.base}/pgpass" -c primary_slot_name=${standbyName}`,
    '',
  ].join('\n');
}

/**
 * `standby-sql.sh own|primary SQL`: asks the copy, or the first one. `fenced`: whether a commit there waits. `promote`: as whose the
 * data are, so that no role needs a right for it. `mark`: from now on it may start as a first one. `word`: the last word.
 */
function standbySql(site: DeploySite, at: StandbyPlaces): string {
  const primary = connection(site, at, site.addresses[site.coordination.id]!);
  const data = `${at.base}/${at.data}`;
  return [
    ...opening(at),
    'case $1 in',
    `  own) to='${connection(site, at, at.own)}' ;;`,
    `  primary) to='${primary}' ;;`,
    '  fenced)',
    `    timeout 3 "$bin/psql" '${primary} dbname=postgres' -qAtX -v ON_ERROR_STOP=1 -c "select pg_logical_emit_message(true, 'soulfra', 'fenced')" > /dev/null && code=0 || code=$?`,
    '    case $code in 0) echo f ;; 124) echo t ;; *) exit "$code" ;; esac',
    '    exit ;;',
    '  promote)',
    '    as=()',
    `    if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid="$(stat -c %u ${data})" --regid="$(stat -c %g ${data})" --clear-groups --); fi`,
    `    exec "\${as[@]}" "$bin/pg_ctl" promote --pgdata ${data} --wait --timeout 120 --silent ;;`,
    `  mark) touch ${at.base}/${at.data}.promoted; exit ;;`,
    `  word) cat ${at.base}/${lastWordFile} 2> /dev/null || true; exit ;;`,
    '  *) echo "own, primary, fenced, promote, mark or word" >&2; exit 2 ;;',
    'esac',
    'exec "$bin/psql" "$to dbname=postgres" -qAtX -v ON_ERROR_STOP=1 -c "$2"',
    '',
  ].join('\n');
}

/**
 * Has the first one wait for the copy once it streams, and writes down what it said last: whoever promotes when it no longer answers
 * knows by that whether it may have acknowledged what the copy lacks. Once the copy is promoted it fences the old one.
 * `synchronous TIME`, `asynchronous TIME`, or `unheard TIME`: synchronous then, and not heard of since this began.
 */
function synchronous(site: DeploySite, at: StandbyPlaces): string {
  const sql = `bash ${at.places.config('standby-sql.sh')}`;
  const names = `FIRST 1 (${standbyName})`;
  return [
    '#!/usr/bin/env bash',
    `# ${generatedHead}`,
    'set -euo pipefail',
    `word=${at.base}/${lastWordFile}`,
    '# While this was away itself, the first one may have been told to wait no more.',
    'if [ -e "$word" ]; then',
    '  sed "s/^synchronous /unheard /" "$word" > "$word.new"',
    '  mv -f "$word.new" "$word"',
    'fi',
    'while true; do',
    `  if [ "$(${sql} own "select pg_is_in_recovery()" || true)" = f ]; then`,
    '    # Promoted. The old one may come back, and must acknowledge nothing: a first one of before is fenced wherever it shows.',
    `    if [ "$(${sql} primary "select pg_is_in_recovery() or current_setting('synchronous_standby_names') like '%${fencedName}%'" 2> /dev/null || true)" = f ]; then`,
    `      ${sql} primary "alter system set synchronous_standby_names = 'FIRST 1 (${fencedName})'" || true`,
    `      ${sql} primary "select pg_reload_conf()" > /dev/null || true`,
    `      echo "${site.coordination.id} came back, and is fenced"`,
    '    fi',
    `  elif names=$(${sql} primary "show synchronous_standby_names"); then`,
    '    # Close behind, so that nobody waits for what it lacks. Its slot says so to everybody; how it streams is shown to monitors alone.',
    `    if [ -z "$names" ] && [ "$(${sql} primary "select count(*) from pg_replication_slots where slot_name = '${standbyName}' and active and pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) < ${closeBehindBytes}")" = 1 ]; then`,
    `      ${sql} primary "alter system set synchronous_standby_names = '${names}'"`,
    `      ${sql} primary "select pg_reload_conf()" > /dev/null`,
    '      sleep 2',
    `      names=$(${sql} primary "show synchronous_standby_names")`,
    '    fi',
    '    case $names in',
    `      '${names}') mode=synchronous ;;`,
    '      # By a promotion that goes on: the last word stays what it was.',
    `      *${fencedName}*) mode= ;;`,
    '      *) mode=asynchronous ;;',
    '    esac',
    '    if [ -n "$mode" ]; then',
    '      printf "%s %s\\n" "$mode" "$(date +%s)" > "$word.new"',
    '      mv -f "$word.new" "$word"',
    '    fi',
    '  fi',
    '  sleep 5',
    'done',
    '',
  ].join('\n');
}

/** What a first one that has a standby looks at before it starts: whether that was promoted while it was away. */
export function fencedScript(site: DeploySite, standby: FleetMachine, at: StandbyPlaces): string {
  const other = connection(site, at, site.addresses[standby.id]!);
  return [
    ...opening(at),
    `data=${at.base}/${at.data}`,
    ...timelines,
    `if [ -s "$data/PG_VERSION" ] && there=$(identity '${other}' 2> /dev/null); then`,
    '  read -r system timeline rest <<< "$there"',
    '  if [ "$system" = "$(own "Database system identifier")" ] && [ "$timeline" -gt "$(own "Latest checkpoint\'s TimeLineID")" ]; then',
    `    echo "${standby.id} was promoted while this machine was away: what lies here is of before, and stays out. Make it the standby of ${standby.id} (deploy/runbooks/04-promote-the-standby.md)" >&2`,
    '    exit 1',
    '  fi',
    'fi',
    '',
  ].join('\n');
}
