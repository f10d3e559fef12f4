import type { DeploySite } from '../../domain/deploy-site.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { standbyName } from '../../domain/server-names.ts';
import { archiving } from './archiving.ts';
import { backupParts } from './backup-part.ts';
import { claimLines, makingOf } from './cluster-files.ts';
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
  // The folder of the second copy is one of the first one's host.
  const { to: _, ...backup } = site.fleet.backup;
  return { ...site, fleet: { ...site.fleet, backup }, coordination: standby, standby: undefined, host };
}

/** A copy of Postgres that follows, and what has the first one wait for it. */
export function standbyParts(site: DeploySite, standby: FleetMachine): Parts {
  const { volumes, postgres } = dataParts(promotedSite(site, standby));
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
      configs: [
        'postgresql.conf',
        'pg_hba.conf',
        'standby-postgres.sh',
        'standby-lost.sh',
        'standby-sql.sh',
        ...archiving.configs,
      ],
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
      health: { test: ['CMD', ...isSynchronous('/var/lib/postgresql')], startPeriod: '2m' },
      memory: '128m',
      cpus: 0.5,
    },
  };
}

/** The same machine once it has taken over: its Postgres runs on as it is, and everything that a first one runs is beside it. */
export function promotedParts(site: DeploySite, standby: FleetMachine): Parts {
  const promoted = promotedSite(site, standby);
  const { synchronous, ...copy } = standbyParts(site, standby);
  const { health: _, ...fencing } = synchronous!;
  return {
    ...dataParts(promoted),
    ...copy,
    synchronous: fencing,
    ...backupParts(promoted, { promoted: true }),
    ...servingParts(promoted),
  };
}

/** A copy whose first one is dead comes up all the same, and can be promoted. */
export function isSynchronous(base: string): string[] {
  return ['/bin/sh', '-c', `grep -qE '^(synchronous|unheard) ' ${base}/${lastWordFile}`];
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

/**
 * Whose data are of one cluster, and which came of which. Each timeline stands with where the next one left it, so that two that took
 * the same number by themselves differ: who begins as another does, and goes on, came after it.
 */
const timelines = [
  'identity() { "$bin/psql" "$1 dbname=postgres replication=database" -qAtX -F " " -c "IDENTIFY_SYSTEM"; }',
  'own() { "$bin/pg_controldata" -D "$data" | sed -n "s/^$1: *//p"; }',
  String.raw`branches() { sed -nE 's/^([0-9A-F]+\.history )?([0-9]+)\t([0-9A-F/]+).*/\2 \3;/p' | tr -d '\n'; }`,
  'ownLine() {',
  '  local timeline file',
  '  timeline=$(own "Latest checkpoint\'s TimeLineID") || return 1',
  '  file="$data/pg_wal/$(printf %08X "$timeline").history"',
  '  if [ -e "$file" ]; then branches < "$file"; fi',
  '  echo "$timeline "',
  '}',
  'lineOf() {',
  '  if [ "$2" != 1 ]; then "$bin/psql" "$1 dbname=postgres replication=database" -qAtX -F " " -c "TIMELINE_HISTORY $2" | branches || return 1; fi',
  '  echo "$2 "',
  '}',
];

/** Whether the first one keeps for the copy what that has not read yet: 1, or 0 where it could not for so long. */
const place = `place() { "$bin/psql" "$1 dbname=postgres" -qAtX -c "select count(*) from pg_replication_slots where slot_name = '${standbyName}' and wal_status is distinct from 'lost'"; }`;

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
    ['standby-lost.sh', standbyLost(site, at)],
    ['standby-sql.sh', standbySql(site, at)],
    ['synchronous.sh', synchronous(site, at)],
  ]);
}

/**
 * Copies the first one once, whole or not at all, and follows it from then on; anew where the first one no longer has what comes next.
 * Promoted, it follows nobody; and what was a first one itself until another took over is put aside, since it may hold what nobody else has.
 */
function standbyPostgres(site: DeploySite, at: StandbyPlaces): string {
  const primary = connection(site, at, site.addresses[site.coordination.id]!);
  const server = `exec ${at.postgres} -D "$data" -c config_file=${at.places.config('postgresql.conf')}${at.more ?? ''}`;
  return [
    ...opening(at),
    ...claimLines(at.places, at.flock),
    `data=${at.base}/${at.data}`,
    `primary='${primary}'`,
    ...timelines,
    place,
    'anew=',
    'if [ -e "$data/standby.signal" ] && [ ! -e "$data.promoted" ]; then',
    '  # Where both lost their power at once, the other may be on its way. Without it, it can be promoted all the same.',
    '  until identity "$primary" > /dev/null 2>&1 || [ "$SECONDS" -gt 60 ]; do sleep 2; done',
    'fi',
    'if [ -s "$data/PG_VERSION" ]; then',
    '  if there=$(identity "$primary"); then',
    '    read -r system timeline rest <<< "$there"',
    '    if [ "$system" != "$(own "Database system identifier")" ]; then',
    `      echo "the data in $data is not a copy of ${site.coordination.id}'s: put it elsewhere by hand (mv), then start again" >&2`,
    '      exit 1',
    '    fi',
    '    mine=$(ownLine)',
    '    theirs=$(lineOf "$primary" "$timeline")',
    '    # What was promoted here gives way to what came of it alone; all else to whatever does not lie behind it.',
    '    isBefore=0',
    '    if [ "$theirs" = "$mine" ]; then',
    '      # Two that were first ones at once may even have parted at one place.',
    '      if [ ! -e "$data/standby.signal" ] && [ ! -e "$data.promoted" ] && [ "$("$bin/psql" "$primary dbname=postgres" -qAtX -c "select pg_is_in_recovery()")" = f ]; then isBefore=1; fi',
    '    elif [[ $theirs == "$mine"* ]] || { [[ $mine != "$theirs"* ]] && [ ! -e "$data.promoted" ]; }; then',
    '      isBefore=1',
    '    fi',
    '    if [ "$isBefore" = 1 ]; then',
    '      mv "$data" "$data.before-$(date -u +%Y%m%dT%H%M%SZ)"',
    '      rm -f "$data.promoted"',
    '    elif [ -e "$data/standby.signal" ] && [ ! -e "$data.promoted" ] && [ "$(place "$primary")" = 0 ]; then',
    `      echo "${site.coordination.id} no longer has what comes next here: the copy is made anew" >&2`,
    '      anew=1',
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
    '# Until the new one is whole the old one is the copy that there is.',
    'if [ ! -s "$data/PG_VERSION" ] || [ -n "$anew" ]; then',
    `  until identity "$primary" > /dev/null 2>&1; do echo "waiting for ${site.coordination.id}" >&2; sleep 2; done`,
    '  rm -rf "$data.new"',
    `  slot="from pg_replication_slots where slot_name = '${standbyName}'"`,
    `  "$bin/psql" "$primary dbname=postgres" -qAt -v ON_ERROR_STOP=1 -c "select pg_drop_replication_slot(slot_name) $slot and wal_status = 'lost'" -c "select pg_create_physical_replication_slot('${standbyName}') where not exists (select $slot)" > /dev/null`,
    '  # By no name that the first one waits for: half a copy is none.',
    `  "$bin/pg_basebackup" --pgdata "$data.new" --wal-method stream --checkpoint fast --slot ${standbyName} --dbname "$primary"`,
    '  # Whom the first one waits for is its own matter: the copy waits for nobody once it is a first one.',
    '  sed -i "/^synchronous_standby_names/d" "$data.new/postgresql.auto.conf"',
    '  touch "$data.new/standby.signal"',
    '  sync "$data.new/standby.signal" "$data.new"',
    '  # What was heard of the first one was said of another copy.',
    `  rm -rf "$data" ${at.base}/${lastWordFile} ${makingOf(at.base)}`,
    '  mv "$data.new" "$data"',
    'fi',
    `printf 'postgres.soulfra:${site.ports.postgres}:*:replicator:%s\\n' "$PGPASSWORD" > ${at.base}/pgpass.new`,
    `mv -f ${at.base}/pgpass.new ${at.base}/pgpass`,
    'unset PGPASSWORD',
    `${server} -c "primary_conninfo=$primary application_name=${standbyName} passfile=${at.base}/pgpass" -c primary_slot_name=${standbyName} -c "restore_command=bash ${at.places.config('standby-lost.sh')} %f"`,
    '',
  ].join('\n');
}

/**
 * Postgres asks it for each file of changes that it does not get from the first one. It has none; but where the first one no longer
 * keeps what comes next, its 255 ends Postgres, which is then begun anew and copies.
 */
function standbyLost(site: DeploySite, at: StandbyPlaces): string {
  const primary = connection(site, at, site.addresses[site.coordination.id]!);
  return [
    ...opening(at),
    `data=${at.base}/${at.data}`,
    `primary='${primary} connect_timeout=2'`,
    ...timelines,
    place,
    'case $1 in *.history) exit 1 ;; esac',
    '# Whoever promotes waits for this.',
    'if [ -e "$data.promoted" ]; then exit 1; fi',
    'there=$(identity "$primary" 2> /dev/null) || exit 1',
    'read -r system rest <<< "$there"',
    'if [ "$system" = "$(own "Database system identifier")" ] && [ "$(place "$primary")" = 0 ]; then',
    `  echo "${site.coordination.id} no longer has $1" >&2`,
    '  exit 255',
    'fi',
    'exit 1',
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
    // Before Postgres takes away, for good, what says that it is a copy.
    `  mark) touch ${data}.promoted; sync ${data}.promoted ${at.base}; exit ;;`,
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
  const timeline = 'substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)';
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
    '  # Of before the answer, which may hold no more when it is written down.',
    '  at=$(date +%s)',
    `  own=$(${sql} own "select case when pg_is_in_recovery() then 'copy' else ${timeline} end" || true)`,
    '  if [ -n "$own" ] && [ "$own" != copy ]; then',
    '    # Promoted. The old one may come back, and must acknowledge nothing: a first one of before is fenced wherever it shows. One',
    '    # that was promoted after this one is none of before.',
    `    there=$(${sql} primary "select case when not pg_is_in_recovery() and current_setting('synchronous_standby_names') not like '%${fencedName}%' then ${timeline} end" 2> /dev/null || true)`,
    '    if [ -n "$there" ] && [[ ! $there > $own ]]; then',
    `      ${sql} primary "alter system set synchronous_standby_names = 'FIRST 1 (${fencedName})'" || true`,
    `      ${sql} primary "select pg_reload_conf()" > /dev/null || true`,
    `      echo "${site.coordination.id} came back, and is fenced"`,
    '    fi',
    `  elif names=$(${sql} primary "show synchronous_standby_names"); then`,
    '    # Close behind, so that nobody waits for what it lacks. Its slot says so to everybody; how it streams is shown to monitors alone.',
    `    if [ -z "$names" ] && [ "$own" = copy ] && [ "$(${sql} primary "select count(*) from pg_replication_slots where slot_name = '${standbyName}' and active and pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) < ${closeBehindBytes}")" = 1 ]; then`,
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
    '      printf "%s %s\\n" "$mode" "$at" > "$word.new"',
    '      mv -f "$word.new" "$word"',
    '    fi',
    '  fi',
    '  sleep 5',
    'done',
    '',
  ].join('\n');
}

/** What a first one that has a standby looks at before it starts: whether that was promoted while it was away, or is a first one of its own. */
export function fencedScript(site: DeploySite, standby: FleetMachine, at: StandbyPlaces): string {
  const other = connection(site, at, site.addresses[standby.id]!);
  return [
    ...opening(at),
    `data=${at.base}/${at.data}`,
    `other='${other}'`,
    ...timelines,
    'if [ ! -s "$data/PG_VERSION" ] || ! there=$(identity "$other" 2> /dev/null); then exit 0; fi',
    'read -r system timeline rest <<< "$there"',
    'if [ "$system" != "$(own "Database system identifier")" ]; then exit 0; fi',
    'copies=$("$bin/psql" "$other dbname=postgres" -qAtX -c "select pg_is_in_recovery()")',
    'mine=$(ownLine)',
    'theirs=$(lineOf "$other" "$timeline")',
    '# A first one has to be of before this one; what a restore left behind itself, a copy may still have.',
    'if [ "$copies" = t ]; then isLater=$((timeline > ${mine##*;})); elif [ "$mine" != "$theirs" ] && [[ $mine == "$theirs"* ]]; then isLater=0; else isLater=1; fi',
    'if [ "$isLater" = 1 ]; then',
    `  echo "${standby.id} was promoted while this machine was away: what lies here is of before, and stays out. Make it the standby of ${standby.id} (deploy/runbooks/04-promote-the-standby.md)" >&2`,
    '  exit 1',
    'fi',
    '',
  ].join('\n');
}
