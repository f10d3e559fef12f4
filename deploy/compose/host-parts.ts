import type { DeploySite } from '../../domain/deploy-site.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { postgresStartScript } from './cluster-files.ts';
import type { RingPrints } from './key-rotation.ts';
import { serverNames } from '../../domain/server-names.ts';
import { movedArchive, movedKey, payloadEnvironment, postgresReady } from './coordination.ts';
import { generatedHead, temporalSchemaScript } from './server-files.ts';
import { leadsVersion } from './machine.ts';
import { hostPlaces, type Places } from './places.ts';
import { isSynchronous, promotedFolder, promotedSite, type StandbyPlaces } from './standby.ts';

/** The same parts for a host without Docker: what is started, as what, after what, and how one knows that it is up. */

/** Programs that a host needs for them, and how each is had. */
export const programMends = {
  postgres: 'apt-get install postgresql, and put /usr/lib/postgresql/NN/bin on PATH',
  initdb: 'comes with postgresql',
  pg_ctl: 'comes with postgresql',
  pg_isready: 'comes with postgresql',
  pgbackrest: 'apt-get install pgbackrest, of the same source as postgresql',
  flock: 'apt-get install util-linux',
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
  /** Ends by itself, and is done then. */
  once?: true;
  after: readonly string[];
  /** Ends with 0 once the part is ready. Absent: what runs is ready. */
  ready?: readonly string[];
  graceSeconds: number;
  /** @default SIGTERM */
  stopSignal?: 'SIGINT';
  memory: string;
  /** Folders of `data/` that it writes. */
  data: readonly string[];
  /** Folders of the host's owner that it writes. */
  writes?: readonly string[];
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
  /** As it is once the standby has taken over. */
  promoted?: true;
  /** Of the folder's secrets: a unit that reads a ring starts anew when it changes. @default none */
  rings?: RingPrints;
  programs: Programs;
  /** Of the user's that all parts run as. */
  path: string;
}

export function placesOn(site: DeploySite, folder: string, machineId: string): Places {
  return hostPlaces(folder, site.addresses[machineId]!);
}

/** The same data, secrets and certificates, with the settings that hold once the standby has taken over. */
export function promotedPlaces(site: DeploySite, folder: string, machineId: string): Places {
  const places = placesOn(site, folder, machineId);
  return {
    ...places,
    config: (file) => `${folder}/${promotedFolder}/${file}`,
    secret: (file) => places.secret(file.endsWith('_by_address') ? `${file}.${promotedFolder}` : file),
  };
}

export function hostStandby(places: Places, programs: Programs): StandbyPlaces {
  return {
    places,
    base: places.postgres.data,
    data: places.postgres.cluster,
    postgres: programs.postgres,
    flock: programs.flock,
    more: ` -c unix_socket_directories=${places.postgres.socket}`,
    own: '127.0.0.1',
  };
}

function placesOf(site: DeploySite, { folder, promoted }: HostLayout, machineId: string): Places {
  return promoted ? promotedPlaces(site, folder, machineId) : placesOn(site, folder, machineId);
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
    [
      'postgres-start.sh',
      postgresStartScript(places, {
        init: places.config('postgres-init.sh'),
        flock: programs.flock,
        fence: site.standby === undefined ? undefined : places.config('fenced.sh'),
      }),
    ],
    ['redis-ready.sh', redisReadyScript(site, places, programs)],
    [
      'temporal-schema.sh',
      temporalSchemaScript(site, places).replaceAll('temporal-sql-tool', programs['temporal-sql-tool']),
    ],
  ]);
}

/** What a machine runs without Docker: the coordinating one the servers and the API, the standby its copy, each its worker. */
export function hostParts(site: DeploySite, machine: FleetMachine, layout: HostLayout): HostPart[] {
  const isCoordination = machine.id === site.coordination.id;
  return [
    ...(isCoordination ? coordinationParts(site, layout) : []),
    ...(machine.id === site.standby?.id ? copyParts(site, machine, layout) : []),
    workerPart(site, machine, layout),
  ];
}

/** What it runs once the standby has taken over from another machine. */
export function promotedHostParts(site: DeploySite, machine: FleetMachine, layout: HostLayout): HostPart[] {
  const later = { ...layout, moved: false, promoted: true as const };
  return [
    ...hostParts(promotedSite(site, site.standby!), machine, later),
    // From then on it fences the old one, should that come back.
    ...(machine.id === site.standby!.id
      ? copyParts(site, machine, later).filter(({ name }) => name === 'synchronous')
      : []),
  ];
}

/** A copy of Postgres that follows, and what has the first one wait for it. */
function copyParts(site: DeploySite, standby: FleetMachine, layout: HostLayout): HostPart[] {
  const places = promotedPlaces(site, layout.folder, standby.id);
  // With what it reads, so that a change of that is one of its unit.
  const script = (...names: string[]) => ['/bin/bash', ...names.map((name) => places.config(name))];
  const part = { environment: { PATH: layout.path }, data: ['postgres', 'run', 'backup'] };
  return [
    {
      ...part,
      name: 'postgres',
      description: 'Copy of Postgres of Soulfra',
      command: script('standby-postgres.sh', 'standby-lost.sh', 'postgresql.conf', 'pg_hba.conf'),
      after: [],
      ready: postgresReady(site, layout.programs.pg_isready),
      graceSeconds: 120,
      stopSignal: 'SIGINT',
      memory: '4G',
    },
    {
      ...part,
      name: 'synchronous',
      description: 'Has Postgres of Soulfra wait for its copy',
      command: script('synchronous.sh', 'standby-sql.sh'),
      after: ['postgres'],
      // Of a promoted one nobody asks that.
      ...(layout.promoted ? {} : { ready: isSynchronous(places.data('postgres')) }),
      graceSeconds: 10,
      memory: '128M',
    },
  ];
}

function coordinationParts(site: DeploySite, layout: HostLayout): HostPart[] {
  const { folder, node, programs } = layout;
  const places = placesOf(site, layout, site.coordination.id);
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
      command: [
        '/bin/sh',
        places.config('postgres-start.sh'),
        programs.postgres,
        '-D',
        `${places.postgres.data}/${places.postgres.cluster}`,
        '-c',
        `config_file=${places.config('postgresql.conf')}`,
        '-c',
        `unix_socket_directories=${places.postgres.socket}`,
      ],
      after: [],
      ready: postgresReady(site, programs.pg_isready),
      graceSeconds: 120,
      // It breaks sessions off: by SIGTERM it would wait for those of other machines, and be killed before it hands its last changes on.
      stopSignal: 'SIGINT',
      memory: '4G',
      data: ['postgres', 'run', 'backup'],
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
    of({
      name: 'backup',
      description: 'Backups of Soulfra',
      command: [node, `${layout.root}/workers/backup-main.ts`],
      environment: {
        ...ours('api'),
        SOULFRA_CLUSTER_FILE: places.config('cluster.json'),
        ...payloadEnvironment(site, places.secret('payload_keys')),
      },
      after: ['postgres', 'temporal-namespace'],
      data: ['backup'],
      ...(site.fleet.backup.to === undefined ? {} : { writes: [site.fleet.backup.to] }),
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
  const places = placesOf(site, layout, machine.id);
  return {
    name: 'worker',
    description: `Worker of Soulfra on ${machine.id}`,
    command: [layout.node, `${layout.root}/workers/main.ts`, '--machine', machine.id],
    environment: {
      ...environmentOf(site, layout, machine, machine.id),
      SOULFRA_HOST_NAME: machine.host ?? machine.id,
      SOULFRA_WORKER_VERSION: leadsVersion(site, machine) ? 'leads' : 'follows',
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
  const places = placesOf(site, layout, machine.id);
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

/** Folders of `data/` on a machine, before and after a standby has taken over. */
export function dataFoldersOf(site: DeploySite, machine: FleetMachine): string[] {
  const none = Object.fromEntries(Object.keys(programMends).map((name) => [name, name])) as Programs;
  const layout = { folder: '', root: '', node: '', app: '', programs: none, path: '' };
  const later = site.standby === undefined ? [] : promotedHostParts(site, machine, layout);
  return [...new Set([...hostParts(site, machine, layout), ...later].flatMap(({ data }) => data))];
}
