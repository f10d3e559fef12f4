import { stringify } from 'yaml';
import { archiveEverySeconds, stanza } from '../../domain/cluster-backups.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import { temporalSettings } from '../../domain/temporal-needs.ts';
import type { Places } from './places.ts';

/** What the servers of the coordinating machine are configured by. None holds a secret: those are read from files at the start. */

/** Unchangeable once a database was made with it, so a standby has the same. */
const historyShards = 512;
export const databases = { app: 'soulfra', temporal: 'temporal', visibility: 'temporal_visibility' } as const;
export const generatedHead = 'Made by `soulfra deploy init` from fleet.yaml; the next init writes over it.';

export function postgresConf({ ports }: DeploySite, places: Places): string {
  const settings: Record<string, string | number> = {
    listen_addresses: quoted(places.listen.includes('0.0.0.0') ? '*' : places.listen.join(',')),
    port: ports.postgres,
    hba_file: quoted(places.config('pg_hba.conf')),
    ssl: 'on',
    ssl_cert_file: quoted(places.tls('postgres.crt')),
    ssl_key_file: quoted(places.tls('postgres.key')),
    ssl_ca_file: quoted(places.tls('ca.crt')),
    ssl_min_protocol_version: quoted('TLSv1.3'),
    password_encryption: quoted('scram-sha-256'),
    max_connections: 200,
    shared_buffers: quoted('512MB'),
    wal_level: 'replica',
    max_wal_senders: 10,
    max_replication_slots: 10,
    // A standby that is away for long must not fill the primary's disk; it is then made anew. At rest a file of 16 MB a minute is
    // handed on, so this is some 8 hours.
    max_slot_wal_keep_size: quoted('8GB'),
    // A cut line is noticed by both ends before anybody gives up waiting for a commit.
    wal_sender_timeout: quoted('15s'),
    wal_receiver_timeout: quoted('15s'),
    hot_standby: 'on',
    wal_log_hints: 'on',
    archive_mode: 'on',
    // %p is the file, in words of Postgres.
    // Without the lock of the cluster (postgres-start.sh): one that hangs would hold it after Postgres is gone.
    archive_command: quoted(`/bin/sh ${places.config('pgbackrest.sh')} --stanza=${stanza} archive-push %p 9>&-`),
    archive_timeout: quoted(`${archiveEverySeconds}s`),
    log_min_duration_statement: quoted('2s'),
    log_line_prefix: quoted('%m [%p] %q%u@%d '),
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  return `# ${generatedHead}\n${lines.join('\n')}\n`;
}

/** Over the network by TLS, with a certificate of ours and a password besides; each role reaches its own database alone. */
export function pgHba(): string {
  const rows = [
    ['local', 'all', 'all', '', 'scram-sha-256'],
    ['hostssl', databases.app, 'soulfra', 'all', 'scram-sha-256 clientcert=verify-ca'],
    [
      'hostssl',
      `${databases.temporal},${databases.visibility}`,
      'temporal',
      'all',
      'scram-sha-256 clientcert=verify-ca',
    ],
    ['hostssl', 'postgres', 'exporter', 'all', 'scram-sha-256 clientcert=verify-ca'],
    ['hostssl', 'replication,postgres', 'replicator', 'all', 'scram-sha-256 clientcert=verify-ca'],
    // So that whether it accepts can be asked from the same host; with its password, which the question does not give.
    ['host', 'postgres', 'exporter', '127.0.0.1/32', 'scram-sha-256'],
    ['host', 'all', 'all', 'all', 'reject'],
  ];
  return `# ${generatedHead}\n${rows.map((row) => row.join('\t')).join('\n')}\n`;
}

/** Runs once, when the data is made. psql reads the passwords from their files, so they stand neither here nor in its arguments. */
export function rolesSql(places: Places, { moved = false } = {}): string {
  const roles = ['soulfra', 'temporal', 'exporter', 'replicator'];
  const read = roles.map((role) => `\\set ${role}_password \`cat ${places.secret(`${role}_password`)}\``);
  const made = Object.entries({
    [databases.app]: 'soulfra',
    [databases.temporal]: 'temporal',
    [databases.visibility]: 'temporal',
  });
  return [
    `-- ${generatedHead}`,
    ...read,
    ...roles.map(
      (role) => `create role ${role} login${role === 'replicator' ? ' replication' : ''} password :'${role}_password';`,
    ),
    ...made.flatMap(([name, owner]) => [
      `create database ${name} owner ${owner};`,
      `revoke connect, temporary on database ${name} from public;`,
    ]),
    'grant pg_monitor to exporter;',
    '-- A standby that streams has the primary wait for it, and says so when it is to wait no more.',
    'grant alter system on parameter synchronous_standby_names to replicator;',
    'grant execute on function pg_reload_conf() to replicator;',
    // Rows that were written once are loaded as they are, without what acts on a new one. Who owns the tables may switch that off anyway.
    ...(moved ? ['grant set on parameter session_replication_role to soulfra;'] : []),
    '',
  ].join('\n');
}

/** Nothing in it has to outlive it: cache, limits, presence. Its password comes from a file of the same form. */
export function redisConf({ ports }: DeploySite, places: Places): string {
  const lines = [
    `bind ${places.listen.join(' ')}`,
    'port 0',
    `tls-port ${ports.redis}`,
    `tls-cert-file ${places.tls('redis.crt')}`,
    `tls-key-file ${places.tls('redis.key')}`,
    `tls-ca-cert-file ${places.tls('ca.crt')}`,
    'tls-auth-clients yes',
    'tls-protocols "TLSv1.3"',
    `include ${places.secret('redis_password.conf')}`,
    'save ""',
    'appendonly no',
    `dir ${places.data('redis')}`,
    'maxmemory 256mb',
    'maxmemory-policy allkeys-lru',
  ];
  return `# ${generatedHead}\n${lines.join('\n')}\n`;
}

export function temporalConfig({ ports }: DeploySite, places: Places): string {
  const tls = {
    certFile: places.tls('temporal.crt'),
    keyFile: places.tls('temporal.key'),
  };
  const trusted = [places.tls('ca.crt')];
  const client = { serverName: 'temporal.soulfra', rootCaFiles: trusted };
  const server = { ...tls, requireClientAuth: true, clientCaFiles: trusted };
  const store = (databaseName: string, maxConns: number) => ({
    sql: {
      pluginName: 'postgres12_pgx',
      databaseName,
      connectAddr: `${places.host('postgres')}:${ports.postgres}`,
      connectProtocol: 'tcp',
      user: 'temporal',
      passwordCommand: { command: 'cat', args: [places.secret('temporal_password')] },
      maxConns,
      maxIdleConns: maxConns,
      maxConnLifetime: '1h',
      tls: {
        enabled: true,
        ...tls,
        caFile: places.tls('ca.crt'),
        enableHostVerification: true,
      },
    },
  });
  // Machines dial the frontend alone; the rest of the server talks to itself.
  const frontendIp = places.listen.includes('0.0.0.0') ? '0.0.0.0' : places.listen.at(-1)!;
  const rpc = (grpcPort: number, membershipPort: number, bindOnIP = '127.0.0.1') => ({
    rpc: { grpcPort, membershipPort, bindOnIP },
  });
  const config = {
    log: { stdout: true, level: 'info' },
    persistence: {
      numHistoryShards: historyShards,
      defaultStore: 'default',
      visibilityStore: 'visibility',
      datastores: { default: store(databases.temporal, 20), visibility: store(databases.visibility, 10) },
    },
    global: {
      membership: {
        maxJoinDuration: '30s',
        broadcastAddress: frontendIp === '0.0.0.0' ? '127.0.0.1' : frontendIp,
      },
      tls: {
        // Certificates are renewed by writing the files: no restart.
        refreshInterval: '1m',
        expirationChecks: { warningWindow: '336h', errorWindow: '72h', checkInterval: '12h' },
        internode: { server, client },
        frontend: { server, client },
        systemWorker: { ...tls, client },
      },
      metrics: { prometheus: { timerType: 'histogram', listenAddress: `${places.inner}:8000` } },
    },
    services: {
      frontend: rpc(ports.temporal, 6933, frontendIp),
      matching: rpc(7235, 6935, frontendIp),
      history: rpc(7234, 6934, frontendIp),
      worker: rpc(7239, 6939, frontendIp),
    },
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: {
        active: {
          enabled: true,
          initialFailoverVersion: 1,
          rpcName: 'frontend',
          rpcAddress: `${frontendIp === '0.0.0.0' ? '127.0.0.1' : frontendIp}:${ports.temporal}`,
        },
      },
    },
    dcRedirectionPolicy: { policy: 'noop' },
    publicClient: { hostPort: `${frontendIp === '0.0.0.0' ? '127.0.0.1' : frontendIp}:${ports.temporal}` },
    dynamicConfigClient: { filepath: places.config('temporal-dynamic.yaml'), pollInterval: '60s' },
  };
  return `# ${generatedHead}\n${stringify(config)}`;
}

export function temporalDynamicConfig(): string {
  const settings = Object.fromEntries(Object.entries(temporalSettings).map(([name, value]) => [name, [{ value }]]));
  return `# ${generatedHead}\n${stringify(settings)}`;
}

/** Makes or upgrades the schema of both databases; run again it does nothing. */
export function temporalSchemaScript({ ports }: DeploySite, places: Places): string {
  return `#!/bin/sh
# ${generatedHead}
set -eu
SQL_PASSWORD=$(cat ${places.secret('temporal_password')})
export SQL_PASSWORD
for database in ${databases.temporal} ${databases.visibility}; do
  case $database in ${databases.temporal}) folder=temporal ;; *) folder=visibility ;; esac
  tool() {
    temporal-sql-tool --plugin postgres12_pgx --endpoint ${places.host('postgres')} --port ${ports.postgres} --user temporal --database "$database" \\
      --tls --tls-ca-file ${places.tls('ca.crt')} --tls-cert-file ${places.tls('temporal.crt')} --tls-key-file ${places.tls('temporal.key')} "$@"
  }
  tool setup-schema --version 0.0
  # The tool carries the schema of its version.
  tool update-schema --schema-name postgresql/v12/$folder
done
`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
