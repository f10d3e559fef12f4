import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { exportFleet } from '../../config/fleet-file.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import { backupParts } from './backup-part.ts';
import {
  clusterFiles,
  type ClusterPrograms,
  madeLine,
  postgresStartScript,
  programsInContainer,
  promotedClusterFile,
} from './cluster-files.ts';
import { composeService, type PublishedPort } from './compose-service.ts';
import { dataParts, type Parts, proxiedNetwork, servingParts } from './coordination.ts';
import type { RingPrints } from './key-rotation.ts';
import { hostScripts, hostStandby, placesOn, type Programs, promotedPlaces } from './host-parts.ts';
import { leadsVersion, machineParts } from './machine.ts';
import { secretFiles } from './made-once.ts';
import { collectorConfig, grafanaDatasources, lokiYaml, prometheusYaml, proxyConfig } from './observability-files.ts';
import { containerPlaces, type Places } from './places.ts';
import {
  generatedHead,
  pgHba,
  postgresConf,
  redisConf,
  rolesSql,
  temporalConfig,
  temporalDynamicConfig,
  temporalSchemaScript,
} from './server-files.ts';
import {
  containerStandby,
  fencedScript,
  promotedFolder,
  promotedParts,
  promotedSite,
  type ScriptFiles,
  standbyParts,
  standbyScripts,
} from './standby.ts';

/** Paths in the kit's folder and what is in them. Secrets and certificates are none of it: they are made once (made-once.ts). */
export type KitFiles = ReadonlyMap<string, string>;

/** What of this repository goes along as it is: rules of alerts, dashboards, and what the owner may change. */
export interface Shipped {
  prometheus: string;
  alertmanager: string;
  rules: ReadonlyMap<string, string>;
  dashboards: ReadonlyMap<string, string>;
  /** What a pair of Postgres runs, without what it is given. */
  standby: ScriptFiles;
}

export function readShipped(deployFolder: string): Shipped {
  const text = (...path: string[]) => readFileSync(join(deployFolder, ...path), 'utf8');
  const all = (...path: string[]) =>
    new Map(
      readdirSync(join(deployFolder, ...path))
        .toSorted()
        .map((file) => [file, text(...path, file)]),
    );
  return {
    prometheus: text('prometheus', 'prometheus.yaml'),
    alertmanager: text('prometheus', 'alertmanager.yaml'),
    rules: all('prometheus', 'rules'),
    dashboards: all('grafana', 'dashboards'),
    standby: all('compose', 'standby'),
  };
}

export interface KitOptions {
  /** A fleet of `npm start` is brought in before the API begins. @default false */
  moved?: boolean;
  /** Of the folder's secrets: a part that reads a ring starts anew when it changes. @default none */
  rings?: RingPrints;
}

/** Files of `config/`, for containers or for a host. */
function configFiles(
  site: DeploySite,
  shipped: Shipped,
  places: Places,
  logs: string,
  programs: ClusterPrograms,
  options: KitOptions,
): Map<string, string> {
  const { fleet } = site;
  return new Map([
    ['fleet.yaml', exportFleet(fleet)],
    ['postgresql.conf', postgresConf(site, places)],
    ['pg_hba.conf', pgHba()],
    ['roles.sql', rolesSql(places, options)],
    ...clusterFiles(site, places, programs),
    ['redis.conf', redisConf(site, places)],
    ['temporal.yaml', temporalConfig(site, places)],
    ['temporal-dynamic.yaml', temporalDynamicConfig()],
    ['prometheus.yaml', prometheusYaml(shipped.prometheus, site, places)],
    ...[...shipped.rules].map(([file, text]) => [`rules/${file}`, text] as const),
    ['loki.yaml', lokiYaml(places)],
    ['grafana/provisioning/datasources/soulfra.yaml', grafanaDatasources(places)],
    ['grafana/provisioning/dashboards/soulfra.yaml', dashboardsOf(places)],
    ...[...shipped.dashboards].map(([file, text]) => [`grafana/dashboards/${file}`, text] as const),
    ['Caddyfile', proxyConfig(site, places)],
    ...fleet.machines.map(({ id }) => [`collector-${id}.alloy`, collectorConfig(site, id, places, logs)] as const),
  ]);
}

/** The whole folder for Docker: the same of the same fleet, byte for byte. */
export function composeKit(site: DeploySite, shipped: Shipped, options: KitOptions = {}): KitFiles {
  const places = containerPlaces();
  const logs = '/var/lib/docker/containers/*/*-json.log';
  const config = configFiles(site, shipped, places, logs, programsInContainer, options);
  const fence = site.standby === undefined ? undefined : places.config('fenced.sh');
  config.set('postgres-start.sh', postgresStartScript(places, { fence }));
  config.set('roles.sql', `${config.get('roles.sql')!}${madeLine(places)}`);
  config.set('temporal-schema.sh', temporalSchemaScript(site, places));
  const { standby } = site;
  if (standby !== undefined) {
    const at = containerStandby(places);
    for (const [name, text] of standbyScripts(site, at, shipped.standby)) config.set(name, text);
    config.set('fenced.sh', fencedScript(site, standby, at, shipped.standby));
    const promoted = clusterFiles(promotedSite(site, standby), places, programsInContainer);
    config.set(promotedClusterFile, promoted.get('cluster.json')!);
  }
  const files = new Map([...config].map(([name, text]) => [`config/${name}`, text]));
  for (const [name, parts] of [...composeFiles(site, options), ...followingFiles(site)])
    files.set(name, composeText(site, name, parts, files, options.rings));
  for (const { id } of site.fleet.machines)
    if (id !== site.coordination.id) files.set(`machines/${id}.files`, `${machineFiles(site, id, files).join('\n')}\n`);
  return files;
}

/** The folder for hosts without Docker. */
export function hostKit(
  site: DeploySite,
  shipped: Shipped,
  folder: string,
  programs: Programs,
  options: KitOptions = {},
): KitFiles {
  const places = placesOn(site, folder, site.coordination.id);
  const config = configFiles(site, shipped, places, '/var/log/journal/*', programs, options);
  for (const [name, text] of hostScripts(site, places, programs)) config.set(name, text);
  const files = new Map([...config].map(([name, text]) => [`config/${name}`, text]));
  const { standby } = site;
  if (standby === undefined) return files;
  files.set('config/fenced.sh', fencedScript(site, standby, hostStandby(places, programs), shipped.standby));
  const promoted = promotedSite(site, standby);
  const there = promotedPlaces(site, folder, standby.id);
  for (const some of [
    configFiles(promoted, shipped, there, '/var/log/journal/*', programs, {}),
    hostScripts(promoted, there, programs),
    standbyScripts(site, hostStandby(there, programs), shipped.standby),
  ])
    for (const [name, text] of some) files.set(`${promotedFolder}/${name}`, text);
  return files;
}

/** Compose files by their names, before they are text. */
function composeFiles(site: DeploySite, { moved = false }: KitOptions = {}): Map<string, Parts> {
  const files = new Map<string, Parts>([
    [
      'coordination.yaml',
      {
        ...dataParts(site),
        ...backupParts(site),
        ...servingParts(site, { moved }),
        ...machineParts(site, site.coordination),
      },
    ],
  ]);
  for (const machine of site.fleet.machines)
    if (machine.id !== site.coordination.id) files.set(`inference-${machine.id}.yaml`, machineParts(site, machine));
  if (site.standby !== undefined) files.set(standbyFile, standbyParts(site, site.standby));
  return files;
}
export const standbyFile = 'standby.yaml';
export const promotedFile = `${promotedFolder}/${standbyFile}`;

/** What runs once the standby has taken over: everything on it, and on the others the same, with its address for that of the first one. */
function followingFiles(site: DeploySite): Map<string, Parts> {
  const { standby, coordination, addresses } = site;
  if (standby === undefined) return new Map();
  const promoted = promotedSite(site, standby);
  const followed = {
    ...site,
    host: promoted.host,
    addresses: { ...addresses, [coordination.id]: addresses[standby.id]! },
  };
  const others = site.fleet.machines.filter(({ id }) => id !== coordination.id);
  return new Map([
    [promotedFile, promotedParts(site, standby)],
    ...others.map(
      (machine) =>
        [followingFile(machine.id), machineParts(followed, machine, leadsVersion(promoted, machine))] as const,
    ),
  ]);
}
export const followingFile = (machineId: string) => `${promotedFolder}/inference-${machineId}.yaml`;

/** What follows the promoted one takes the place of what followed the first one. */
export const projectOf = (file: string) => `soulfra-${file.replace(/^.*\//, '').replace(/\.yaml$/, '')}`;
/** Says of a container by what it was made, so that a change of a mounted file is a change of it. */
export const hashLabel = 'soulfra.hash';

function composeText(site: DeploySite, name: string, parts: Parts, files: KitFiles, rings?: RingPrints): string {
  // Two files of one host must not want one network: only that with the proxy has its addresses named. A copy is in the one that it
  // will be in, so that it runs on while it is promoted.
  const isProxied = 'proxy' in parts || name === standbyFile;
  const network = isProxied ? 'proxied' : 'inner';
  const services = Object.fromEntries(
    Object.entries(parts).map(([service, part]) => {
      const made = composeService(part, network);
      return [service, { ...made, labels: { [hashLabel]: hashOf(made, files, rings) } }];
    }),
  );
  const volumes = [
    ...new Set(
      Object.values(parts)
        .flatMap(({ volumes = [] }) => volumes)
        .flatMap((volume) => /^[a-z]+(?=:)/.exec(volume) ?? []),
    ),
  ].toSorted();
  const project = {
    name: projectOf(name),
    services,
    networks: { [network]: isProxied ? proxiedNetwork(site) : {} },
    // By one name in every file, so that a promoted standby finds its data.
    volumes: Object.fromEntries(volumes.map((volume) => [volume, { name: `soulfra_${volume}` }])),
  };
  return `# ${generatedHead}\n${stringify(project, { lineWidth: 0, aliasDuplicateObjects: false })}`;
}

/** Of the service, of every file of `config/` that it mounts, and of what is told of its keys. */
function hashOf(service: Record<string, unknown>, files: KitFiles, rings: RingPrints = new Map()): string {
  const hash = createHash('sha256').update(JSON.stringify(service));
  for (const source of sourcesOf(service, 'config')) {
    for (const [file, text] of files)
      if (file === source || file.startsWith(`${source}/`)) hash.update(`\n${file}\n`).update(text);
  }
  for (const source of sourcesOf(service, 'secrets')) hash.update(rings.get(source.slice('secrets/'.length)) ?? '');
  return hash.digest('hex').slice(0, 16);
}

function sourcesOf(service: Record<string, unknown>, folder: string): string[] {
  const volumes = (service['volumes'] ?? []) as (string | { source: string })[];
  return volumes
    .map((volume) => (typeof volume === 'string' ? volume.split(':')[0]! : volume.source))
    .filter((source) => source.startsWith(`./${folder}/`))
    .map((source) => source.slice(2));
}

/** What another machine needs of the folder, and nothing else: no key of another's. */
function machineFiles(site: DeploySite, id: string, files: KitFiles): string[] {
  const own = [
    '.env',
    `inference-${id}.yaml`,
    ...(site.standby === undefined ? [] : ['config/fleet.yaml', followingFile(id)]),
    ...(site.standby?.id === id ? [standbyFile, promotedFile, ...secretFiles] : []),
  ];
  const mounted = own
    .filter((name) => name.endsWith('.yaml') && name !== 'config/fleet.yaml')
    .flatMap((name) => {
      const { services } = parse(files.get(name)!) as { services: Record<string, Record<string, unknown>> };
      return Object.values(services).flatMap((service) =>
        ['config', 'own', 'secrets', 'tls'].flatMap((folder) => sourcesOf(service, folder)),
      );
    });
  return [...new Set([...own, ...mounted])].toSorted();
}

function dashboardsOf(places: Places): string {
  const provider = {
    name: 'soulfra',
    folder: 'Soulfra',
    type: 'file',
    allowUiUpdates: false,
    disableDeletion: true,
    options: { path: places.config('grafana/dashboards') },
  };
  return `# ${generatedHead}\n${stringify({ apiVersion: 1, providers: [provider] })}`;
}

export interface PortRow extends PublishedPort {
  machineId: string;
  file: string;
  service: string;
}

/** Every port that the kit opens on any host, if only for the host itself. */
export function portRows(site: DeploySite): PortRow[] {
  const rows = (file: string, machineId: string, parts: Parts) =>
    Object.entries(parts).flatMap(([service, { ports = [], listens = [] }]) =>
      [...ports, ...listens].map((port) => ({ ...port, machineId, file, service })),
    );
  const files = composeFiles(site);
  // A standby opens the more once it is promoted; that file takes the place of the copy's.
  const copy = files.get(standbyFile) ?? {};
  if (site.standby !== undefined) files.set(standbyFile, promotedParts(site, site.standby));
  const fileOf = (file: string, service: string) =>
    file === standbyFile && copy[service] === undefined ? promotedFile : file;
  return [...files].flatMap(([file, parts]) => {
    const machineId =
      file === 'coordination.yaml'
        ? site.coordination.id
        : file === standbyFile
          ? site.standby!.id
          : file.slice('inference-'.length, -'.yaml'.length);
    return rows(file, machineId, parts).map((row) => ({ ...row, file: fileOf(file, row.service) }));
  });
}
