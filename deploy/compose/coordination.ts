import type { DeploySite } from '../../domain/deploy-site.ts';
import { serverNames } from '../../domain/server-names.ts';
import type { PartOfCompose, PublishedPort } from './compose-service.ts';
import { archiving } from './archiving.ts';
import { imageOf, ownImage } from './images.ts';
import { databases } from './server-files.ts';

/** Everything that one machine holds for all: data, Temporal, API, observability, the proxy. Its own worker is in machine.ts. */

export type Parts = Record<string, PartOfCompose>;

const inner = serverNames;

/** What a process of ours needs to reach the servers; its certificate is named by who it is. */
export function clientEnvironment(site: DeploySite, certificate: string): Record<string, string> {
  return {
    DATABASE_URL_FILE: '/run/secrets/database_url',
    REDIS_URL_FILE: '/run/secrets/redis_url',
    TEMPORAL_ADDRESS: `${inner.temporal}:${site.ports.temporal}`,
    SOULFRA_TLS_CA_FILE: '/etc/soulfra/tls/ca.crt',
    SOULFRA_TLS_CERT_FILE: `/etc/soulfra/tls/${certificate}.crt`,
    SOULFRA_TLS_KEY_FILE: `/etc/soulfra/tls/${certificate}.key`,
    SOULFRA_HOME: '/var/lib/soulfra',
  };
}

/** Names that our certificates are for, at the address where their servers are. */
export function serverHosts(site: DeploySite): Record<string, string> {
  const at = site.addresses[site.coordination.id]!;
  return Object.fromEntries([inner.postgres, inner.redis, inner.temporal].map((name) => [name, at]));
}

/** Others get theirs from the lower half of the network, so the proxy's is never another's. */
const proxyAddress = ({ fleet }: DeploySite) => fleet.deploy.subnet.replace(/\.0\/24$/, '.250');

/** The network of a file with a proxy: the API believes that address alone about callers and TLS. */
export function proxiedNetwork({ fleet }: DeploySite): object {
  const { subnet } = fleet.deploy;
  return { ipam: { config: [{ subnet, ip_range: subnet.replace(/\/24$/, '/25') }] } };
}

/** What the API and every worker read payloads by, and whether they encode them. */
export function payloadEnvironment({ fleet }: DeploySite, keysFile: string): Record<string, string> {
  return {
    SOULFRA_PAYLOAD_KEYS_FILE: keysFile,
    ...(fleet.deploy.payloadCodec ? { SOULFRA_PAYLOAD_CODEC: 'on' } : {}),
  };
}

const of = (name: string) => [`${name}.crt`, `${name}.key`, 'ca.crt'];
const httpReady = (url: string) => ['CMD', 'wget', '-q', '-O', '/dev/null', url];

/**
 * Asks Postgres at its port, since while the data is made it listens to a socket alone; not by TLS, where it would log each question as
 * one without a certificate.
 */
export function postgresReady({ ports }: DeploySite, program: string): string[] {
  const at = ['-h', '127.0.0.1', '-p', String(ports.postgres)];
  return [program, '-q', ...at, '-U', 'exporter', '-d', 'dbname=postgres sslmode=disable'];
}

/** Which ports the coordinating machine opens, and why. */
function coordinationPorts(site: DeploySite): Record<'proxy' | 'temporal' | 'postgres' | 'redis', PublishedPort[]> {
  const { ports, coordination } = site;
  const address = site.addresses[coordination.id]!;
  const open = (port: number, reason: string) => ({ port, address, reason });
  return {
    proxy: [
      open(ports.https, 'browsers and `soulfra`: API, Temporal UI and Grafana behind one sign-in; TLS'),
      open(ports.telemetry, 'collectors of the machines send figures and lines; only with a certificate of ours'),
    ],
    temporal: [open(ports.temporal, 'workers of the machines; only with a certificate of ours')],
    postgres: [
      open(ports.postgres, 'workers of the machines and the standby; TLS 1.3, a certificate of ours and a password'),
    ],
    redis: [open(ports.redis, 'workers of the machines; TLS 1.3, a certificate of ours and a password')],
  };
}

/** New volumes belong to root: this hands them to the user that all else runs as, and ends. */
export function volumesPart(names: readonly string[]): PartOfCompose {
  return {
    image: ownImage,
    user: 'root:root',
    command: ['sh', '-c', 'chown "$SOULFRA_UID:$SOULFRA_GID" /volumes/*'],
    environment: { SOULFRA_UID: '${SOULFRA_UID}', SOULFRA_GID: '${SOULFRA_GID}' },
    capabilities: ['CHOWN'],
    volumes: names.map((name) => `${name}:/volumes/${name}`),
    once: true,
    memory: '128m',
    cpus: 0.5,
  };
}

/** The servers that hold data, and what makes them ready. */
export function dataParts(site: DeploySite): Parts {
  const { ports } = site;
  const open = coordinationPorts(site);
  return {
    volumes: volumesPart([...namedVolumes, 'worker']),
    postgres: {
      image: imageOf('postgres'),
      entrypoint: ['sh', '/etc/soulfra/postgres-start.sh'],
      command: ['docker-entrypoint.sh', 'postgres', '-c', 'config_file=/etc/soulfra/postgresql.conf'],
      environment: {
        POSTGRES_PASSWORD_FILE: '/run/secrets/postgres_password',
        POSTGRES_INITDB_ARGS: '--data-checksums --auth-host=scram-sha-256 --auth-local=scram-sha-256',
        PGDATA: '/var/lib/postgresql/data',
      },
      configs: [
        'postgresql.conf',
        'pg_hba.conf',
        'postgres-start.sh',
        ...(site.standby === undefined ? [] : ['fenced.sh']),
        ...archiving.configs,
      ],
      secrets: ['postgres_password', ...roleSecrets, ...archiving.secrets],
      tls: of('postgres'),
      volumes: [
        'postgres:/var/lib/postgresql',
        ...archiving.volumes,
        './config/roles.sql:/docker-entrypoint-initdb.d/roles.sql:ro',
      ],
      ports: open.postgres,
      aliases: [inner.postgres],
      after: { volumes: 'service_completed_successfully' },
      health: { test: ['CMD', ...postgresReady(site, 'pg_isready')], startPeriod: '2m' },
      tmpfs: ['/dev/shm:mode=1777'],
      memory: '4g',
      cpus: 'host',
      grace: '2m',
    },
    redis: {
      image: imageOf('redis'),
      entrypoint: ['redis-server'],
      command: ['/etc/soulfra/redis.conf'],
      configs: ['redis.conf'],
      secrets: ['redis_password.conf', 'redis_password'],
      tls: of('redis'),
      volumes: ['redis:/var/lib/redis'],
      ports: open.redis,
      aliases: [inner.redis],
      after: { volumes: 'service_completed_successfully' },
      health: {
        test: [
          'CMD-SHELL',
          `REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli --tls --cacert /etc/soulfra/tls/ca.crt --cert /etc/soulfra/tls/redis.crt --key /etc/soulfra/tls/redis.key -h ${inner.redis} -p ${ports.redis} ping | grep -q PONG`,
        ],
      },
      memory: '512m',
      cpus: 1,
    },
    'temporal-schema': {
      image: imageOf('temporalTools'),
      entrypoint: ['sh'],
      command: ['/etc/soulfra/temporal-schema.sh'],
      configs: ['temporal-schema.sh'],
      secrets: ['temporal_password'],
      tls: of('temporal'),
      after: { postgres: 'service_healthy' },
      once: true,
      memory: '256m',
      cpus: 1,
    },
    temporal: {
      image: imageOf('temporal'),
      entrypoint: ['temporal-server'],
      command: ['--config-file', '/etc/soulfra/temporal.yaml', '--allow-no-auth', 'start'],
      // It asks who it runs as, and ends where neither /etc/passwd nor these say it.
      environment: { USER: 'soulfra', HOME: '/tmp' },
      configs: ['temporal.yaml', 'temporal-dynamic.yaml'],
      secrets: ['temporal_password'],
      tls: of('temporal'),
      ports: open.temporal,
      aliases: [inner.temporal],
      after: { 'temporal-schema': 'service_completed_successfully' },
      // Whether it serves is asked over TLS by `temporal-namespace`, which everything that needs Temporal waits for.
      health: { test: ['CMD', 'nc', '-z', '127.0.0.1', String(ports.temporal)], startPeriod: '1m' },
      memory: '2g',
      cpus: 2,
    },
    'temporal-namespace': {
      image: ownImage,
      command: ['node', 'deploy/compose/namespace.ts'],
      environment: {
        TEMPORAL_ADDRESS: `${inner.temporal}:${ports.temporal}`,
        SOULFRA_TLS_CA_FILE: '/etc/soulfra/tls/ca.crt',
        SOULFRA_TLS_CERT_FILE: '/etc/soulfra/tls/api.crt',
        SOULFRA_TLS_KEY_FILE: '/etc/soulfra/tls/api.key',
      },
      tls: of('api'),
      after: { temporal: 'service_healthy' },
      once: true,
      memory: '512m',
      cpus: 1,
    },
  };
}

/** The API, what people look at, and what watches. */
export function servingParts(site: DeploySite, { moved = false } = {}): Parts {
  const { ports, host } = site;
  const open = coordinationPorts(site);
  const at = `https://${host}:${ports.https}`;
  return {
    ...(moved ? { 'move-in': moveInPart(site) } : {}),
    api: {
      image: ownImage,
      command: ['node', 'api/main.ts'],
      environment: {
        ...clientEnvironment(site, 'api'),
        SOULFRA_API_HOST: '0.0.0.0',
        SOULFRA_METRICS_HOST: '0.0.0.0',
        SOULFRA_BOOTSTRAP_TOKEN_FILE: '/run/secrets/operator_token',
        SOULFRA_SECRET_KEY_FILE: '/run/secrets/secret_key',
        SOULFRA_WEBHOOK_KEY_FILE: '/run/secrets/webhook_key',
        ...payloadEnvironment(site, '/run/secrets/payload_keys'),
        SOULFRA_TRUST_PROXY: proxyAddress(site),
        SOULFRA_TEMPORAL_UI: `${at}/temporal`,
        SOULFRA_PROMETHEUS_URL: 'http://prometheus:9090',
      },
      secrets: ['database_url', 'redis_url', 'operator_token', 'secret_key', 'webhook_key', 'payload_keys'],
      tls: of('api'),
      volumes: ['api:/var/lib/soulfra'],
      after: {
        'temporal-namespace': 'service_completed_successfully',
        redis: 'service_healthy',
        ...(moved ? { 'move-in': 'service_completed_successfully' as const } : {}),
      },
      health: { test: nodeAsks('http://127.0.0.1:17000/v1/health/ready'), startPeriod: '2m' },
      memory: '2g',
      cpus: 2,
    },
    'first-fleet': {
      image: ownImage,
      command: ['node', 'deploy/compose/first-fleet.ts', '/etc/soulfra/fleet.yaml'],
      environment: { SOULFRA_URL: 'http://api:17000', SOULFRA_TOKEN_FILE: '/run/secrets/operator_token' },
      configs: ['fleet.yaml'],
      secrets: ['operator_token'],
      after: { api: 'service_healthy' },
      once: true,
      memory: '512m',
      cpus: 1,
    },
    'temporal-ui': {
      image: imageOf('temporalUi'),
      environment: {
        TEMPORAL_ADDRESS: `${inner.temporal}:${ports.temporal}`,
        TEMPORAL_UI_PORT: '8080',
        TEMPORAL_UI_PUBLIC_PATH: '/temporal',
        TEMPORAL_CORS_ORIGINS: at,
        // By the sign-in of whoever looks: it is the proxy's own origin.
        ...(site.fleet.deploy.payloadCodec
          ? { TEMPORAL_CODEC_ENDPOINT: `${at}/v1/codec`, TEMPORAL_CODEC_INCLUDE_CREDENTIALS: 'true' }
          : {}),
        TEMPORAL_TLS_CA: '/etc/soulfra/tls/ca.crt',
        TEMPORAL_TLS_CERT: '/etc/soulfra/tls/temporal-ui.crt',
        TEMPORAL_TLS_KEY: '/etc/soulfra/tls/temporal-ui.key',
        TEMPORAL_TLS_ENABLE_HOST_VERIFICATION: 'true',
        TEMPORAL_TLS_SERVER_NAME: inner.temporal,
      },
      tls: of('temporal-ui'),
      after: { 'temporal-namespace': 'service_completed_successfully' },
      health: { test: ['CMD', 'nc', '-z', '127.0.0.1', '8080'] },
      memory: '256m',
      cpus: 1,
    },
    proxy: {
      image: imageOf('proxy'),
      command: ['caddy', 'run', '--config', '/etc/soulfra/Caddyfile', '--adapter', 'caddyfile'],
      configs: ['Caddyfile'],
      tls: of('proxy'),
      address: proxyAddress(site),
      // Its program has this one by its file: a container that may not have it cannot start it at all.
      capabilities: ['NET_BIND_SERVICE'],
      volumes: ['proxy:/data'],
      ports: open.proxy,
      after: { api: 'service_healthy', volumes: 'service_completed_successfully' },
      health: { test: ['CMD', 'nc', '-z', '127.0.0.1', String(ports.https)] },
      tmpfs: ['/config:mode=1777'],
      memory: '256m',
      cpus: 1,
    },
    'postgres-exporter': {
      image: imageOf('postgresExporter'),
      environment: {
        DATA_SOURCE_URI: `${inner.postgres}:${ports.postgres}/postgres?sslmode=verify-full&sslrootcert=/etc/soulfra/tls/ca.crt&sslcert=/etc/soulfra/tls/exporters.crt&sslkey=/etc/soulfra/tls/exporters.key`,
        DATA_SOURCE_USER: 'exporter',
        DATA_SOURCE_PASS_FILE: '/run/secrets/exporter_password',
      },
      secrets: ['exporter_password'],
      tls: of('exporters'),
      after: { postgres: 'service_healthy' },
      health: { test: httpReady('http://127.0.0.1:9187/') },
      profiles: ['observability'],
      memory: '128m',
      cpus: 0.5,
    },
    'redis-exporter': {
      image: imageOf('redisExporter'),
      environment: {
        REDIS_ADDR: redisAddressOf(site),
        REDIS_EXPORTER_TLS_CA_CERT_FILE: '/etc/soulfra/tls/ca.crt',
        REDIS_EXPORTER_TLS_CLIENT_CERT_FILE: '/etc/soulfra/tls/exporters.crt',
        REDIS_EXPORTER_TLS_CLIENT_KEY_FILE: '/etc/soulfra/tls/exporters.key',
        REDIS_PASSWORD_FILE: '/run/secrets/redis_exporter_password.json',
      },
      secrets: ['redis_exporter_password.json'],
      tls: of('exporters'),
      after: { redis: 'service_healthy' },
      profiles: ['observability'],
      memory: '128m',
      cpus: 0.5,
    },
    prometheus: {
      image: imageOf('prometheus'),
      command: [
        '--config.file=/etc/soulfra/prometheus.yaml',
        '--storage.tsdb.path=/prometheus',
        '--storage.tsdb.retention.time=400d',
        '--storage.tsdb.retention.size=20GB',
        '--web.enable-remote-write-receiver',
      ],
      configs: ['prometheus.yaml', 'rules'],
      volumes: ['prometheus:/prometheus'],
      after: { volumes: 'service_completed_successfully' },
      health: { test: httpReady('http://127.0.0.1:9090/-/ready') },
      profiles: ['observability'],
      memory: '2g',
      cpus: 2,
    },
    alertmanager: {
      image: imageOf('alertmanager'),
      command: [
        '--config.file=/etc/soulfra/alertmanager.yaml',
        '--storage.path=/alertmanager',
        '--cluster.listen-address=',
      ],
      own: ['alertmanager.yaml'],
      volumes: ['alertmanager:/alertmanager'],
      after: { volumes: 'service_completed_successfully' },
      health: { test: httpReady('http://127.0.0.1:9093/-/ready') },
      profiles: ['observability'],
      memory: '256m',
      cpus: 0.5,
    },
    loki: {
      image: imageOf('loki'),
      command: ['-config.file=/etc/soulfra/loki.yaml'],
      configs: ['loki.yaml'],
      volumes: ['loki:/var/lib/loki'],
      after: { volumes: 'service_completed_successfully' },
      profiles: ['observability'],
      memory: '1g',
      cpus: 1,
    },
    grafana: {
      image: imageOf('grafana'),
      environment: {
        GF_SERVER_ROOT_URL: `${at}/grafana/`,
        GF_SERVER_SERVE_FROM_SUB_PATH: 'true',
        GF_SECURITY_ADMIN_PASSWORD__FILE: '/run/secrets/grafana_password',
        // The proxy lets operators in and nobody else; nothing but the proxy reaches it.
        GF_AUTH_ANONYMOUS_ENABLED: 'true',
        GF_AUTH_ANONYMOUS_ORG_ROLE: 'Viewer',
        GF_ANALYTICS_REPORTING_ENABLED: 'false',
        GF_ANALYTICS_CHECK_FOR_UPDATES: 'false',
        GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES: 'false',
        GF_PATHS_PROVISIONING: '/etc/soulfra/grafana/provisioning',
      },
      configs: ['grafana'],
      secrets: ['grafana_password'],
      volumes: ['grafana:/var/lib/grafana'],
      after: { volumes: 'service_completed_successfully' },
      health: { test: httpReady('http://127.0.0.1:3000/api/health'), startPeriod: '1m' },
      profiles: ['observability'],
      memory: '512m',
      cpus: 1,
    },
  };
}

/** Where a fleet that was taken along lies in the folder, and what opens it. */
export const movedArchive = 'moved/fleet.tar.gz.age';
export const movedKey = 'moved_key';

/** Brings a fleet of `npm start` in, once, while nothing works on the rows yet. */
function moveInPart(site: DeploySite): PartOfCompose {
  return {
    image: ownImage,
    command: ['node', 'deploy/move/main.ts', `/etc/soulfra/${movedArchive}`],
    environment: { ...clientEnvironment(site, 'api'), SOULFRA_BACKUP_KEY_FILE: `/run/secrets/${movedKey}` },
    secrets: ['database_url', 'redis_url', movedKey],
    tls: of('api'),
    volumes: ['./moved:/etc/soulfra/moved:ro'],
    after: { postgres: 'service_healthy' },
    once: true,
    memory: '1g',
    cpus: 2,
  };
}

export const roleSecrets = [
  'soulfra_password',
  'temporal_password',
  'exporter_password',
  'replicator_password',
] as const;
const namedVolumes = [
  'postgres',
  'run',
  'backup',
  'redis',
  'api',
  'proxy',
  'prometheus',
  'alertmanager',
  'loki',
  'grafana',
] as const;
/** With a certificate of their own, besides each machine. */
export const clientNames = ['api', 'temporal-ui', 'exporters'] as const;
export const databaseUrlOf = (site: DeploySite, password: string) =>
  `postgres://soulfra:${password}@${inner.postgres}:${site.ports.postgres}/${databases.app}`;
export const redisUrlOf = (site: DeploySite, password: string) =>
  `rediss://default:${password}@${inner.redis}:${site.ports.redis}`;

/** As the exporter of Redis finds its password by. */
export const redisAddressOf = (site: DeploySite) => `rediss://${inner.redis}:${site.ports.redis}`;

/** For images of ours, which have no wget. */
function nodeAsks(url: string): string[] {
  return ['CMD', 'node', '-e', `fetch('${url}').then((a) => process.exit(a.ok ? 0 : 1), () => process.exit(1))`];
}
