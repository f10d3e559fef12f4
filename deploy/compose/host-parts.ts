import type { DeploySite } from '../../domain/deploy-site.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { movedArchive, movedKey, payloadEnvironment } from './coordination.ts';
import { serverNames } from '../../domain/server-names.ts';
import { generatedHead, temporalSchemaScript } from './server-files.ts';
import { hostPlaces, type Places } from './places.ts';

/** The same parts for a host without Docker: what is started, as what, after what, and how one knows that it is up. */

/** Programs that a host needs for them, and how each is had. */
export const programMends = {
  postgres: 'apt-get install postgresql, and put /usr/lib/postgresql/NN/bin on PATH',
  initdb: 'comes with postgresql',
  pg_ctl: 'comes with postgresql',
  pg_isready: 'comes with postgresql',
  psql: 'apt-get install postgresql-client',
  'redis-server': 'apt-get install redis-server',
  'redis-cli': 'apt-get install redis-tools',
  'temporal-server':
    'go install go.temporal.io/server/cmd/server@v1.31.2, and put it on PATH under the name temporal-server',
  'temporal-sql-tool':
    'go install go.temporal.io/server/cmd/tools/sql@v1.31.2, and put it on PATH under the name temporal-sql-tool',
} as const;
export type Program = keyof typeof programMends;
export type Programs = Readonly<Record<Program, string>>;

export interface HostPart {
  name: string;
  description: string;
  /** Absolute words; the first is a program. */
  command: readonly string[];
  environment: Readonly<Record<string, string>>;
  /** Run to their end before each start. */
  prepare?: readonly (readonly string[])[];
  /** Ends by itself, and is done then. */
  once?: true;
  after: readonly string[];
  /** Ends with 0 once the part is ready. Absent: what runs is ready. */
  ready?: readonly string[];
  graceSeconds: number;
  memory: string;
  /** Folders of `data/` that it writes. */
  data: readonly string[];
}

export interface HostLayout {
  /** Of the kit, absolute. */
  folder: string;
  /** This checkout, with node_modules. */
  root: string;
  node: string;
  /** Version of the checkout. */
  app: string;
  /** A fleet of `npm start` is brought in before the API begins. */
  moved?: boolean;
  programs: Programs;
  /** Of the user's that all parts run as. */
  path: string;
}

export function placesOn(site: DeploySite, folder: string, machineId: string): Places {
  return hostPlaces(folder, site.addresses[machineId]!);
}

/** Makes the data once: in a folder beside, renamed when it is whole. */
function postgresInitScript(places: Places, programs: Programs): string {
  const data = places.data('postgres');
  const socket = `${places.data('run')}`;
  return [
    '#!/bin/sh',
    `# ${generatedHead}`,
    'set -eu',
    `[ -s ${data}/main/PG_VERSION ] && exit 0`,
    `rm -rf ${data}/new`,
    `${programs.initdb} --pgdata ${data}/new --username postgres --pwfile ${places.secret('postgres_password')} --auth-host scram-sha-256 --auth-local scram-sha-256 --encoding UTF8 --locale C.UTF-8 --data-checksums > /dev/null`,
    `${programs.pg_ctl} --pgdata ${data}/new --wait --silent --log ${data}/init.log -o "-c listen_addresses='' -c unix_socket_directories=${socket}" start`,
    `trap '${programs.pg_ctl} --pgdata ${data}/new --wait --silent --mode fast stop' EXIT`,
    `PGPASSWORD=$(cat ${places.secret('postgres_password')}) ${programs.psql} --quiet --no-psqlrc -v ON_ERROR_STOP=1 --host ${socket} --username postgres --dbname postgres --file ${places.config('roles.sql')}`,
    `${programs.pg_ctl} --pgdata ${data}/new --wait --silent --mode fast stop`,
    'trap - EXIT',
    `mv ${data}/new ${data}/main`,
    '',
  ].join('\n');
}

function redisReadyScript(site: DeploySite, places: Places, programs: Programs): string {
  const tls = `--tls --cacert ${places.tls('ca.crt')} --cert ${places.tls('redis.crt')} --key ${places.tls('redis.key')}`;
  return [
    '#!/bin/sh',
    `# ${generatedHead}`,
    `REDISCLI_AUTH=$(cat ${places.secret('redis_password')}) ${programs['redis-cli']} ${tls} --sni ${serverNames.redis} -h 127.0.0.1 -p ${site.ports.redis} ping | grep -q PONG`,
    '',
  ].join('\n');
}

/** Files that only hosts have. */
export function hostScripts(site: DeploySite, places: Places, programs: Programs): Map<string, string> {
  return new Map([
    ['postgres-init.sh', postgresInitScript(places, programs)],
    ['redis-ready.sh', redisReadyScript(site, places, programs)],
    [
      'temporal-schema.sh',
      temporalSchemaScript(site, places).replaceAll('temporal-sql-tool', programs['temporal-sql-tool']),
    ],
  ]);
}

/** What a machine runs without Docker: the coordinating one the servers and the API, each its worker. */
export function hostParts(site: DeploySite, machine: FleetMachine, layout: HostLayout): HostPart[] {
  const isCoordination = machine.id === site.coordination.id;
  return [...(isCoordination ? coordinationParts(site, layout) : []), workerPart(site, machine, layout)];
}

function coordinationParts(site: DeploySite, layout: HostLayout): HostPart[] {
  const { folder, node, programs } = layout;
  const places = placesOn(site, folder, site.coordination.id);
  const ours = (certificate: string) => environmentOf(site, layout, site.coordination, certificate);
  const of = (
    part: Omit<HostPart, 'environment' | 'graceSeconds' | 'memory' | 'data'> & Partial<HostPart>,
  ): HostPart => ({
    environment: { PATH: layout.path },
    graceSeconds: 30,
    memory: '2G',
    data: [],
    ...part,
  });
  return [
    of({
      name: 'postgres',
      description: 'Postgres of Soulfra',
      prepare: [['/bin/sh', places.config('postgres-init.sh')]],
      command: [
        programs.postgres,
        '-D',
        `${places.data('postgres')}/main`,
        '-c',
        `config_file=${places.config('postgresql.conf')}`,
        '-c',
        `unix_socket_directories=${places.data('run')}`,
      ],
      after: [],
      ready: [
        programs.pg_isready,
        '-q',
        '-h',
        '127.0.0.1',
        '-p',
        String(site.ports.postgres),
        '-U',
        'exporter',
        '-d',
        'postgres',
      ],
      graceSeconds: 120,
      memory: '4G',
      data: ['postgres', 'run'],
    }),
    of({
      name: 'redis',
      description: 'Redis of Soulfra',
      command: [programs['redis-server'], places.config('redis.conf')],
      after: [],
      ready: ['/bin/sh', places.config('redis-ready.sh')],
      memory: '512M',
      data: ['redis'],
    }),
    of({
      name: 'temporal-schema',
      description: 'Schema of Temporal',
      command: ['/bin/sh', places.config('temporal-schema.sh')],
      once: true,
      after: ['postgres'],
    }),
    of({
      name: 'temporal',
      description: 'Temporal of Soulfra',
      command: [
        programs['temporal-server'],
        '--config-file',
        places.config('temporal.yaml'),
        '--allow-no-auth',
        'start',
      ],
      after: ['temporal-schema'],
    }),
    of({
      name: 'temporal-namespace',
      description: 'Namespace of Temporal, once it serves',
      command: [node, `${layout.root}/deploy/compose/namespace.ts`],
      environment: ours('api'),
      once: true,
      after: ['temporal'],
    }),
    ...(layout.moved
      ? [
          of({
            name: 'move-in',
            description: 'The fleet that was moved here',
            command: [node, `${layout.root}/deploy/move/main.ts`, `${folder}/${movedArchive}`],
            environment: { ...ours('api'), SOULFRA_BACKUP_KEY_FILE: places.secret(movedKey) },
            once: true,
            after: ['postgres'],
          }),
        ]
      : []),
    of({
      name: 'api',
      description: 'API of Soulfra',
      command: [node, `${layout.root}/api/main.ts`],
      environment: {
        ...ours('api'),
        SOULFRA_BOOTSTRAP_TOKEN_FILE: places.secret('operator_token'),
        // The proxy of the kit's Caddyfile, which runs on this host.
        SOULFRA_TRUST_PROXY: '127.0.0.1',
        SOULFRA_SECRET_KEY_FILE: places.secret('secret_key'),
        SOULFRA_WEBHOOK_KEY_FILE: places.secret('webhook_key'),
        ...payloadEnvironment(site, places.secret('payload_keys')),
      },
      after: ['temporal-namespace', 'redis', ...(layout.moved ? ['move-in'] : [])],
      ready: readyWhenOk(node, 'http://127.0.0.1:17000/v1/health/ready'),
      data: ['api'],
    }),
    of({
      name: 'first-fleet',
      description: 'The first fleet of Soulfra',
      command: [node, `${layout.root}/deploy/compose/first-fleet.ts`, places.config('fleet.yaml')],
      environment: {
        PATH: layout.path,
        SOULFRA_URL: 'http://127.0.0.1:17000',
        SOULFRA_TOKEN_FILE: places.secret('operator_token'),
      },
      once: true,
      after: ['api'],
    }),
  ];
}

function workerPart(site: DeploySite, machine: FleetMachine, layout: HostLayout): HostPart {
  const isCoordination = machine.id === site.coordination.id;
  const places = placesOn(site, layout.folder, machine.id);
  return {
    name: 'worker',
    description: `Worker of Soulfra on ${machine.id}`,
    command: [layout.node, `${layout.root}/workers/main.ts`, '--machine', machine.id],
    environment: {
      ...environmentOf(site, layout, machine, machine.id),
      SOULFRA_HOST_NAME: machine.host ?? machine.id,
      SOULFRA_WEBHOOK_KEY_FILE: places.secret('webhook_key'),
      ...payloadEnvironment(site, places.secret('payload_keys')),
      SOULFRA_MAILBOX: `${places.data('worker')}/mail`,
      SOULFRA_PUBLIC_URL: `https://${site.host}:${site.ports.https}`,
    },
    after: isCoordination ? ['first-fleet'] : [],
    graceSeconds: 90,
    memory: '6G',
    data: ['worker'],
  };
}

/** Servers are dialled by address; who they are is checked by their names. */
function environmentOf(
  site: DeploySite,
  layout: HostLayout,
  machine: FleetMachine,
  certificate: string,
): Record<string, string> {
  const places = placesOn(site, layout.folder, machine.id);
  return {
    PATH: layout.path,
    DATABASE_URL_FILE: places.secret('database_url_by_address'),
    REDIS_URL_FILE: places.secret('redis_url_by_address'),
    TEMPORAL_ADDRESS: `${site.addresses[site.coordination.id]}:${site.ports.temporal}`,
    SOULFRA_TLS_CA_FILE: places.tls('ca.crt'),
    SOULFRA_TLS_CERT_FILE: places.tls(`${certificate}.crt`),
    SOULFRA_TLS_KEY_FILE: places.tls(`${certificate}.key`),
    SOULFRA_HOME: places.data(certificate === machine.id ? 'worker' : 'api'),
  };
}

function readyWhenOk(node: string, url: string): string[] {
  return [node, '-e', `fetch('${url}').then((a) => process.exit(a.ok ? 0 : 1), () => process.exit(1))`];
}

/** Folders of `data/` on the coordinating machine; the others have only `worker`. */
export function dataFoldersOf(site: DeploySite): string[] {
  const none = Object.fromEntries(Object.keys(programMends).map((name) => [name, name])) as Programs;
  const layout = { folder: '', root: '', node: '', app: '', programs: none, path: '' };
  return [...new Set(hostParts(site, site.coordination, layout).flatMap(({ data }) => data))];
}
