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

/** Files of ./standby by their names: the scripts, without what they are given. */
export type ScriptFiles = ReadonlyMap<string, string>;

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

function connection(site: DeploySite, { places }: StandbyPlaces, address: string | undefined, seconds = 5): string {
  return [
    'host=postgres.soulfra',
    ...(address === undefined ? [] : [`hostaddr=${address}`]),
    `port=${site.ports.postgres}`,
    'user=replicator',
    'sslmode=verify-full',
    `sslrootcert=${places.tls('ca.crt')}`,
    `sslcert=${places.tls('postgres.crt')}`,
    `sslkey=${places.tls('postgres.key')}`,
    `connect_timeout=${seconds}`,
    'tcp_user_timeout=10000',
  ].join(' ');
}

function opening(at: StandbyPlaces): string[] {
  return [
    `bin=$(dirname "$(readlink -f "$(command -v ${at.postgres})")")`,
    `PGPASSWORD=$(cat ${at.places.secret('replicator_password')})`,
    'export PGPASSWORD',
  ];
}

/** What a script of ./standby is given, before it. */
function given(values: Readonly<Record<string, string | number>>): string[] {
  return Object.entries(values).map(([name, value]) => `${name}='${value}'`);
}

const scriptOf = (lines: readonly string[], ...bodies: readonly string[]) =>
  [
    '#!/usr/bin/env bash',
    `# ${generatedHead}`,
    'set -euo pipefail',
    ...lines,
    ...bodies.map((body) => body.replace(/^#!.*\n/, '')),
  ].join('\n');

/**
 * Every file that a standby has besides those of what it will be.
 * @param shipped files of ./standby by their names
 */
export function standbyScripts(site: DeploySite, at: StandbyPlaces, shipped: ScriptFiles): Map<string, string> {
  const { base, places } = at;
  const data = `${base}/${at.data}`;
  const word = `${base}/${lastWordFile}`;
  const dialled = (seconds?: number) => connection(site, at, site.addresses[site.coordination.id]!, seconds);
  const primary = dialled();
  const common = { data, primary, first: site.coordination.id, slot: standbyName };
  const server = `${at.postgres} -D "$data" -c config_file=${places.config('postgresql.conf')}${at.more ?? ''}`;
  const making = makingOf(base);
  const lost = places.config('standby-lost.sh');
  const script = places.config('standby-sql.sh');
  const lines: Record<string, string[]> = {
    'standby-postgres.sh': [
      ...opening(at),
      ...claimLines(places, at.flock),
      ...given({ ...common, base, word, making, lost, port: site.ports.postgres }),
      `serve() { exec ${server} "$@"; }`,
    ],
    // Whoever waits for its answer is recovery.
    'standby-lost.sh': [...opening(at), ...given({ ...common, primary: dialled(2) })],
    'standby-sql.sh': [...opening(at), ...given({ base, data, primary, self: connection(site, at, at.own), word })],
    'synchronous.sh': given({
      word,
      first: site.coordination.id,
      slot: standbyName,
      fenced: fencedName,
      near: closeBehindBytes,
      script,
    }),
  };
  const ofTimelines = ['standby-postgres.sh', 'standby-lost.sh'];
  return new Map(
    Object.entries(lines).map(([name, before]) => {
      const bodies = ofTimelines.includes(name) ? ['timelines.sh', name] : [name];
      return [name, scriptOf(before, ...bodies.map((body) => shipped.get(body)!))];
    }),
  );
}

/** For the first one of a site that has a standby. */
export function fencedScript(site: DeploySite, standby: FleetMachine, at: StandbyPlaces, shipped: ScriptFiles): string {
  const other = connection(site, at, site.addresses[standby.id]!);
  const before = given({ data: `${at.base}/${at.data}`, other, standby: standby.id, slot: standbyName });
  return scriptOf([...opening(at), ...before], shipped.get('timelines.sh')!, shipped.get('fenced.sh')!);
}
