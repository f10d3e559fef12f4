import { containerPlaces } from './places.ts';

/** One container as this kit writes it; what all have in common is added by `composeService`. */
export interface PartOfCompose {
  image: string;
  entrypoint?: readonly string[];
  command?: readonly string[];
  environment?: Readonly<Record<string, string>>;
  /** Files of `config/` that are mounted, by their names. */
  configs?: readonly string[];
  /** Of `own/`, which the owner writes. */
  own?: readonly string[];
  secrets?: readonly string[];
  /** Files of `tls/`. */
  tls?: readonly string[];
  volumes?: readonly string[];
  /** Folders of the host that are its owner's: one that is not there is told, and not made. */
  binds?: readonly { source: string; target: string }[];
  ports?: readonly PublishedPort[];
  /** What a part on the host's own network listens at. */
  listens?: readonly PublishedPort[];
  /** On the host's own network: nothing is published, and the host's model server is reached. */
  hostNetwork?: boolean;
  /** Further names on the network. */
  aliases?: readonly string[];
  /** Always this one of the network's addresses. */
  address?: string;
  after?: Readonly<Record<string, 'service_healthy' | 'service_started' | 'service_completed_successfully'>>;
  health?: { test: readonly string[]; interval?: string; startPeriod?: string };
  /** Runs to its end, at each start. */
  once?: boolean;
  profiles?: readonly string[];
  tmpfs?: readonly string[];
  memory: string;
  /** `host`: as many as `.env` says that this host gives, since Docker starts nothing that may take more than there are. */
  cpus: number | 'host';
  gpus?: boolean;
  user?: string;
  capabilities?: readonly string[];
  grace?: string;
  extraHosts?: Readonly<Record<string, string>>;
}

export interface PublishedPort {
  port: number;
  /** @default the same */
  containerPort?: number;
  address: string;
  /** Why it is open, for docs/deploy.md. */
  reason: string;
}

const places = containerPlaces();

/** @param network of the file, which all share that are not on the host's own */
export function composeService(part: PartOfCompose, network = 'inner'): Record<string, unknown> {
  // A file that is missing is told, and not made a folder.
  const mount = (from: string, file: string, target: string) => ({
    type: 'bind',
    source: `./${from}/${file}`,
    target,
    read_only: true,
    bind: { create_host_path: false },
  });
  const volumes = [
    ...(part.configs ?? []).map((file) => mount('config', file, places.config(file))),
    ...(part.own ?? []).map((file) => mount('own', file, places.own(file))),
    ...(part.secrets ?? []).map((file) => mount('secrets', file, places.secret(file))),
    ...(part.tls ?? []).map((file) => mount('tls', file, places.tls(file))),
    ...(part.volumes ?? []).map(named),
    ...(part.binds ?? []).map(({ source, target }) => ({
      type: 'bind',
      source: dollars(source),
      target,
      // A disk that is mounted there while the container runs is seen in it.
      bind: { create_host_path: false, propagation: '${SOULFRA_MOUNTS:-rprivate}' },
    })),
  ];
  return {
    image: part.image,
    ...(part.profiles === undefined ? {} : { profiles: part.profiles }),
    ...(part.entrypoint === undefined ? {} : { entrypoint: part.entrypoint.map(dollars) }),
    ...(part.command === undefined ? {} : { command: part.command.map(dollars) }),
    user: part.user ?? '${SOULFRA_UID}:${SOULFRA_GID}',
    ...(part.environment === undefined ? {} : { environment: part.environment }),
    ...(volumes.length === 0 ? {} : { volumes }),
    ...(part.ports === undefined || part.ports.length === 0
      ? {}
      : {
          ports: part.ports.map(({ port, containerPort = port, address }) => ({
            target: containerPort,
            published: String(port),
            host_ip: address,
            protocol: 'tcp',
            mode: 'host',
          })),
        }),
    ...(part.hostNetwork
      ? { network_mode: 'host' }
      : {
          networks: {
            [network]: {
              ...(part.aliases === undefined ? {} : { aliases: part.aliases }),
              ...(part.address === undefined ? {} : { ipv4_address: part.address }),
            },
          },
        }),
    ...(part.extraHosts === undefined ? {} : { extra_hosts: part.extraHosts }),
    ...(part.after === undefined
      ? {}
      : {
          depends_on: Object.fromEntries(Object.entries(part.after).map(([name, condition]) => [name, { condition }])),
        }),
    ...(part.health === undefined
      ? {}
      : {
          healthcheck: {
            test: part.health.test.map(dollars),
            interval: part.health.interval ?? '10s',
            timeout: '10s',
            retries: 6,
            start_period: part.health.startPeriod ?? '30s',
          },
        }),
    restart: part.once ? 'on-failure:10' : 'unless-stopped',
    init: true,
    read_only: true,
    tmpfs: ['/tmp:mode=1777', ...(part.tmpfs ?? [])],
    cap_drop: ['ALL'],
    ...(part.capabilities === undefined ? {} : { cap_add: part.capabilities }),
    security_opt: ['no-new-privileges:true'],
    stop_grace_period: part.grace ?? '30s',
    logging: { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '5' } },
    deploy: {
      resources: {
        limits: {
          cpus: part.cpus === 'host' ? '${SOULFRA_CPUS:-2}' : String(part.cpus),
          memory: part.memory,
          pids: 1024,
        },
        ...(part.gpus
          ? {
              reservations: {
                devices: [{ driver: 'nvidia', count: 'all', capabilities: ['gpu', 'utility', 'compute'] }],
              },
            }
          : {}),
      },
    },
  };
}

/** An image's own content, and whose that is, would become the volume's: it is to be the parts' alone. */
function named(volume: string): string | object {
  const [, source, target, mode] = /^([a-z]+):([^:]+)(:ro)?$/.exec(volume) ?? [];
  if (source === undefined) return volume;
  const readOnly = mode === undefined ? {} : { read_only: true };
  return { type: 'volume', source, target, ...readOnly, volume: { nocopy: true } };
}

/** A shell's dollars; Compose would put its caller's variables in. */
function dollars(text: string): string {
  return text.replaceAll('$', '$$$$');
}
