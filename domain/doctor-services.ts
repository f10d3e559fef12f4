import { amiss, type Check, ok, type Reading, skipped } from './doctor.ts';
import {
  leastTemporalServer,
  namespaceRetentionSeconds,
  searchAttributeNames,
  temporalSettings,
} from './temporal-needs.ts';

/** Where an address came from, which decides how it is mended. */
export interface ServiceAt {
  /** Without a password. */
  address: string;
  /** The variable that names it; null: what `npm start` brings up. */
  variable: string | null;
  /** Log of the part; null: outside. */
  log: string | null;
}

export interface PostgresReading {
  version: string;
  versionNumber: number;
  settings: Record<string, string>;
  /** Connections in use, of all. */
  connections: number;
  /** Migrations that this code has and the database lacks, and the other way round. */
  migrations: { missing: string[]; unknown: string[] };
  offsetMs: number;
  roundTripMs: number;
}

/** The API's pools and those of one worker; what else the owner connects with comes on top. */
const connectionsOfApi = 17;
const connectionsPerWorker = 24;

function downMend(at: ServiceAt): string {
  return at.variable === null
    ? `npm start brings it up; if it runs, look into ${at.log}.`
    : `Start it at ${at.address}, or mend ${at.variable}.`;
}

const leastPostgres = 160_000;

/** @param machines how many workers share the database */
export function judgePostgres(at: ServiceAt, reading: Reading<PostgresReading>, machines: number): Check[] {
  if ('error' in reading) {
    return [
      amiss('fail', 'postgres', `${at.address} does not answer: ${reading.error}`, downMend(at)),
      skipped('postgres_migrations', 'Postgres does not answer'),
      skipped('postgres_settings', 'Postgres does not answer'),
    ];
  }
  const { version, versionNumber, migrations } = reading.seen;
  const checks: Check[] = [
    versionNumber >= leastPostgres
      ? ok('postgres', `${version} at ${at.address}`)
      : amiss(
          'fail',
          'postgres',
          `${version}; 16 or newer is needed`,
          'Bring a newer Postgres: pg_upgrade, or dump and restore.',
        ),
  ];
  if (migrations.unknown.length > 0) {
    const detail = `the database has migrations that this version does not know: ${migrations.unknown.join(', ')}`;
    checks.push(amiss('fail', 'postgres_migrations', detail, 'Start the newer Soulfra that wrote them.'));
  } else if (migrations.missing.length > 0) {
    const detail = `not applied: ${migrations.missing.join(', ')}`;
    checks.push(
      amiss('fail', 'postgres_migrations', detail, 'Start the API again (npm start): it migrates the database.'),
    );
  } else checks.push(ok('postgres_migrations', 'all applied'));
  checks.push(judgePostgresSettings(reading.seen, machines));
  return checks;
}

function judgePostgresSettings({ settings, connections }: PostgresReading, machines: number): Check {
  const wrong: Array<{ state: 'warn' | 'fail'; detail: string; mend: string }> = [];
  const set = (name: string, value: string) => `alter system set ${name} = '${value}'; select pg_reload_conf();`;
  for (const name of ['fsync', 'full_page_writes']) {
    if (settings[name] === 'on') continue;
    const detail = `${name} is ${settings[name]}: a power cut may destroy the database`;
    wrong.push({ state: 'fail', detail, mend: set(name, 'on') });
  }
  if (settings['synchronous_commit'] === 'off') {
    const detail = 'synchronous_commit is off: a crash takes back what was answered as stored';
    wrong.push({ state: 'fail', detail, mend: set('synchronous_commit', 'on') });
  }
  if (settings['server_encoding'] !== 'UTF8') {
    const mend = 'Make the database anew with encoding UTF8 and restore into it.';
    wrong.push({ state: 'fail', detail: `server_encoding is ${settings['server_encoding']}`, mend });
  }
  if (!['UTC', 'Etc/UTC', 'GMT'].includes(settings['TimeZone'] ?? '')) {
    const detail = `TimeZone is ${settings['TimeZone']}; days are counted in UTC`;
    wrong.push({ state: 'warn', detail, mend: set('timezone', 'UTC') });
  }
  const most = Number(settings['max_connections']);
  const needed = connectionsOfApi + machines * connectionsPerWorker;
  if (most < needed) {
    const detail = `max_connections is ${most}; the API and ${machines} workers may open ${needed}`;
    wrong.push({
      state: 'fail',
      detail,
      mend: `alter system set max_connections = ${needed + 50}; then restart Postgres.`,
    });
  } else if (connections > most * 0.9) {
    const mend = `alter system set max_connections = ${most * 2}; then restart Postgres.`;
    wrong.push({ state: 'warn', detail: `${connections} of ${most} connections are in use`, mend });
  }
  if (wrong.length === 0) return ok('postgres_settings', `${connections} of ${most} connections in use, fsync on, UTC`);
  const state = wrong.some((one) => one.state === 'fail') ? 'fail' : 'warn';
  return amiss(
    state,
    'postgres_settings',
    wrong.map(({ detail }) => detail).join('; '),
    wrong.map(({ mend }) => mend).join(' '),
  );
}

export interface RedisReading {
  version: string;
  /** maxmemory in bytes; 0: no limit. */
  maxMemory: number;
  policy: string;
  /** Whether it writes to disk: nothing of it has to be kept. */
  persists: boolean;
}

const leastRedisMajor = 6;

export function judgeRedis(at: ServiceAt, reading: Reading<RedisReading>): Check[] {
  if ('error' in reading) {
    const detail = `${at.address} does not answer: ${reading.error}; limits are counted per process, presence is not shown`;
    return [amiss('warn', 'redis', detail, downMend(at)), skipped('redis_policy', 'Redis does not answer')];
  }
  const { version, maxMemory, policy, persists } = reading.seen;
  const checks: Check[] = [
    Number(version.split('.')[0]) >= leastRedisMajor
      ? ok('redis', `${version} at ${at.address}`)
      : amiss('warn', 'redis', `${version}; 6 or newer is needed`, 'Bring a newer Redis or Valkey.'),
  ];
  if (policy === 'noeviction' && maxMemory > 0) {
    const detail = 'maxmemory-policy is noeviction: once full, limits and presence are refused';
    checks.push(amiss('warn', 'redis_policy', detail, 'redis-cli config set maxmemory-policy allkeys-lru'));
  } else if (maxMemory === 0) {
    const detail = 'maxmemory is 0: it may grow until the host has no memory left';
    checks.push(amiss('warn', 'redis_policy', detail, 'redis-cli config set maxmemory 256mb'));
  } else {
    checks.push(
      ok(
        'redis_policy',
        `${policy}, at most ${Math.round(maxMemory / 2 ** 20)} MiB${persists ? ', kept on disk without need' : ''}`,
      ),
    );
  }
  return checks;
}

export interface TemporalReading {
  server: string;
  namespaces: string[];
  /** Of our namespace; undefined: it is not there. */
  namespace?: {
    retentionSeconds: number;
    searchAttributes: string[];
    /** Capabilities that a dynamic setting can take away. */
    updates: boolean;
  };
  /** Pieces that the queue of coordination is cut into. */
  partitions?: number;
  /** Dynamic settings as the server's command line states them; undefined: not to be seen from here. */
  settings?: Record<string, string> | undefined;
}

export function judgeTemporal(
  at: ServiceAt,
  name: string,
  reading: Reading<TemporalReading>,
  compare: (a: string, b: string) => number,
): Check[] {
  if ('error' in reading) {
    return [
      amiss('fail', 'temporal', `${at.address} does not answer: ${reading.error}`, downMend(at)),
      ...['temporal_namespace', 'temporal_attributes', 'temporal_settings'].map((id) =>
        skipped(id, 'Temporal does not answer'),
      ),
    ];
  }
  const { server, namespace } = reading.seen;
  const first =
    compare(server, leastTemporalServer) >= 0
      ? ok('temporal', `server ${server} at ${at.address}`)
      : amiss(
          'fail',
          'temporal',
          `server ${server}; ${leastTemporalServer} or newer is needed`,
          'Upgrade it one minor version at a time.',
        );
  if (namespace === undefined) {
    const there = reading.seen.namespaces.join(', ') || 'none';
    const mend = `temporal operator namespace create --retention 30d ${name}, or set TEMPORAL_NAMESPACE to one that is there.`;
    return [
      first,
      amiss('fail', 'temporal_namespace', `there is no namespace ${name}; there is ${there}`, mend),
      skipped('temporal_attributes', 'there is no namespace'),
      skipped('temporal_settings', 'there is no namespace'),
    ];
  }
  return [
    first,
    namespace.retentionSeconds >= namespaceRetentionSeconds
      ? ok('temporal_namespace', `${name} keeps closed workflows for ${namespace.retentionSeconds / 86_400} days`)
      : amiss(
          'warn',
          'temporal_namespace',
          `${name} keeps closed workflows for ${(namespace.retentionSeconds / 86_400).toFixed(1)} days; 30 are needed`,
          `temporal operator namespace update --retention 30d ${name}`,
        ),
    attributesCheck(namespace.searchAttributes, name),
    settingsCheck(reading.seen, namespace.updates),
  ];
}

function attributesCheck(there: readonly string[], namespace: string): Check {
  const missing = searchAttributeNames.filter((attribute) => !there.includes(attribute));
  if (missing.length === 0) return ok('temporal_attributes', searchAttributeNames.join(', '));
  const mend = missing.map(
    (attribute) => `temporal operator search-attribute create -n ${namespace} --name ${attribute} --type Keyword`,
  );
  return amiss('fail', 'temporal_attributes', `missing: ${missing.join(', ')}`, mend.join(' && '));
}

function settingsCheck({ partitions, settings }: TemporalReading, updates: boolean): Check {
  if (!updates) {
    const mend = 'Set frontend.enableUpdateWorkflowExecution: true in its dynamic configuration.';
    return amiss('fail', 'temporal_settings', 'the server refuses Updates, which quotes and approvals need', mend);
  }
  const wrong = Object.entries(temporalSettings).filter(([name, value]) =>
    settings === undefined
      ? name.startsWith('matching.') && partitions !== undefined && partitions !== value
      : Number(settings[name]) !== value,
  );
  if (wrong.length > 0) {
    const detail =
      settings === undefined
        ? `the queue coordination is cut into ${partitions} pieces: order and idle latency suffer`
        : `not set: ${wrong.map(([name]) => name).join(', ')}`;
    const mend = `In its dynamic configuration: ${wrong.map(([name, value]) => `${name}: ${value}`).join('; ')}.`;
    return amiss('warn', 'temporal_settings', detail, mend);
  }
  const seen =
    settings === undefined
      ? 'updates on, queues in one piece; its polling limits cannot be seen from here'
      : 'as needed';
  return ok('temporal_settings', seen);
}
