import type { TrustedService } from './service-trust.ts';
import type { ServicePort } from './services.ts';

/** What a supervisor of the machine is told to run. */
export interface RunnableService {
  id: string;
  machineId: string;
  /** Absolute. */
  folder: string;
  /** Its first word is absolute; empty: what the image says. */
  command: readonly string[];
  image?: string | undefined;
  ports: readonly ServicePort[];
  gpu: boolean;
  environment: Readonly<Record<string, string>>;
  limits: NonNullable<TrustedService['limits']>;
  user?: string | undefined;
}

export type SystemdScope = 'system' | 'user';

/** Tasks of one service at most, where nothing else is said: what forks without end stops there. */
const mostTasks = 4096;

/** Ids have no dots, so two of them never share a unit; an @ would make it a template's. */
export function unitNameOf(serviceId: string): string {
  return `soulfra-${serviceId.replace('@', '.')}.service`;
}

/** Compose takes no dots. */
export function projectNameOf(serviceId: string): string {
  return `soulfra-${serviceId.replace('@', '_')}`;
}

/** What every unit of ours gives up. */
export const hardening = ['NoNewPrivileges=yes', 'RestrictSUIDSGID=yes', 'LockPersonality=yes'];
/** What it gives up besides where the system's systemd runs it: a user's may not ask for these. */
export const kernelHardening = [
  'ProtectClock=yes',
  'ProtectHostname=yes',
  'ProtectKernelTunables=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'RestrictRealtime=yes',
];

/**
 * The systemd unit of a service. It is not enabled: after a restart of the host the worker starts it, once it knows that the
 * service is still this machine's.
 */
export function unitText(service: RunnableService, scope: SystemdScope, dataFolder: string): string {
  const { id, machineId, folder, command, limits, user } = service;
  const environmentFile = environmentFileOf(dataFolder, id);
  const lines = [
    '# Written by Soulfra, and over by its next start: change fleet.d or the trust file instead.',
    '[Unit]',
    `Description=Soulfra service ${id}`,
    'StartLimitIntervalSec=60',
    'StartLimitBurst=5',
    ...(scope === 'system' ? ['Wants=network-online.target', 'After=network-online.target'] : []),
    '',
    '[Service]',
    'Type=exec',
    `WorkingDirectory=${percents(folder)}`,
    // The colon: no variable is put into a word, so that the words are those that were trusted.
    `ExecStart=:${commandLine(command)}`,
    ...(Object.keys(service.environment).length === 0 ? [] : [`EnvironmentFile=${percents(environmentFile)}`]),
    'Restart=on-failure',
    'RestartSec=2',
    'KillMode=mixed',
    'TimeoutStopSec=30',
    `TasksMax=${limits.tasks ?? mostTasks}`,
    ...(limits.memoryMiB === undefined ? [] : [`MemoryMax=${limits.memoryMiB}M`]),
    ...(limits.cpus === undefined ? [] : [`CPUQuota=${Math.round(limits.cpus * 100)}%`]),
    ...hardening,
    ...(scope === 'system' ? rootHardening(user) : []),
    '',
    // systemd passes over sections of this name; the worker reads here whose unit it is.
    '[X-Soulfra]',
    `Service=${id}`,
    `Machine=${machineId}`,
    `Folder=${dataFolder}`,
  ];
  return `${lines.join('\n')}\n`;
}

/** What only the system's systemd may do. Devices stay open: cards are among them. */
function rootHardening(user: string | undefined): string[] {
  return [...(user === undefined ? [] : [`User=${user}`]), 'PrivateTmp=yes', 'ProtectSystem=full', ...kernelHardening];
}

export interface UnitOwner {
  serviceId: string;
  machineId: string;
  /** The data folder of the Soulfra that has written it: two of them on one host keep apart. */
  dataFolder: string;
}

/** Whose unit a text is; undefined where Soulfra has not written it. */
export function ownerOfUnit(text: string): UnitOwner | undefined {
  const found = /^\[X-Soulfra\]\nService=(.+)\nMachine=(.+)\nFolder=(.+)$/m.exec(text);
  return found ? { serviceId: found[1]!, machineId: found[2]!, dataFolder: found[3]! } : undefined;
}

/** Where the variables of a service are kept. */
export function environmentFileOf(dataFolder: string, serviceId: string): string {
  return `${dataFolder}/${unitNameOf(serviceId)}.env`;
}

/** The unit without whose it is: a service that changes hands on one host runs on. */
export function definitionOf(unit: string): string {
  return unit.replace(/^Machine=\S+$/m, '');
}

/** A file that systemd reads variables from. */
export function environmentFileText(environment: Readonly<Record<string, string>>): string {
  return Object.entries(environment)
    .map(([name, value]) => `${name}="${value.replaceAll(/[\\"$`]/g, String.raw`\$&`)}"\n`)
    .join('');
}

/** After `Exec…=:`; each word as it is. */
export function commandLine(words: readonly string[]): string {
  return words.map(unitWord).join(' ');
}

export function unitWord(word: string): string {
  const escaped = percents(word).replaceAll(/[\\"\p{Cc}]/gu, (character) => {
    if (character === '\\' || character === '"') return `\\${character}`;
    const code = character.codePointAt(0)!.toString(16);
    return code.length <= 2 && character.codePointAt(0)! < 0x80 ? String.raw`\x${code.padStart(2, '0')}` : character;
  });
  return `"${escaped}"`;
}

function percents(text: string): string {
  return text.replaceAll('%', '%%');
}

/** A compose project of one service, as JSON, which is YAML. Like a unit it does not start with its host. */
export function composeText(service: RunnableService): string {
  const { id, machineId, command, image, ports, gpu, environment, limits } = service;
  const project = {
    'x-soulfra': { service: id, machine: machineId },
    services: {
      main: {
        image,
        ...(command.length === 0 ? {} : { command }),
        restart: 'on-failure',
        security_opt: ['no-new-privileges:true'],
        pids_limit: limits.tasks ?? mostTasks,
        stop_grace_period: '30s',
        ...(limits.memoryMiB === undefined ? {} : { mem_limit: `${limits.memoryMiB}m` }),
        ...(limits.cpus === undefined ? {} : { cpus: limits.cpus }),
        ...(Object.keys(environment).length === 0 ? {} : { environment }),
        ...(ports.length === 0 ? {} : { ports: ports.map(published) }),
        ...(gpu
          ? { deploy: { resources: { reservations: { devices: [{ capabilities: ['gpu'], count: 'all' }] } } } }
          : {}),
      },
    },
  };
  // Compose puts its caller's variables in wherever it finds a dollar.
  const text = JSON.stringify(project, null, 2).replaceAll('$', '$$$$');
  return `${text}\n`;
}

/** One address in the short form, since compose before version 2 does not know `host_ip`; what is no number is left to Docker to refuse. */
function published({ port, containerPort = port, protocol = 'tcp', address }: ServicePort) {
  const host = /^[\d.]+$/.test(address ?? '')
    ? address
    : /^[\da-f:]+$/i.test(address ?? '')
      ? `[${address}]`
      : undefined;
  if (host !== undefined) return `${host}:${port}:${containerPort}/${protocol}`;
  return {
    target: containerPort,
    published: port,
    protocol,
    ...(address === undefined ? {} : { host_ip: address }),
  };
}

/** Whose project a text is; undefined where Soulfra has not written it. */
export function ownerOfProject(text: string): { serviceId: string; machineId: string } | undefined {
  const found = /^ {2}"x-soulfra": \{\n {4}"service": "([^"]+)",\n {4}"machine": "([^"]+)"$/m.exec(text);
  return found ? { serviceId: found[1]!, machineId: found[2]! } : undefined;
}
