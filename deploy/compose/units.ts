import { createHash } from 'node:crypto';
import { commandLine, unitWord } from '../../domain/service-units.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import { DomainError } from '../../domain/errors.ts';
import { onPath } from '../embedded/resolve.ts';
import { type HostLayout, type HostPart, hostParts, type Program, programMends, type Programs } from './host-parts.ts';
import type { KitFiles } from './kit.ts';
import { generatedHead } from './server-files.ts';

/** The parts of a host without Docker as units of systemd, which starts them in their order, with the host, and after a fall. */

export const unitOf = (part: string) => `soulfra-kit-${part}.service`;
export const partOfUnit = (unit: string) => unit.replace(/^soulfra-kit-(.*)\.service$/, '$1');
const startWithin = '15min';

/** @throws UNAVAILABLE with every program that is not there and what brings it */
export function findPrograms(env: Readonly<Record<string, string | undefined>>): Programs {
  const found = Object.keys(programMends).map((name) => [name as Program, onPath(name, env)] as const);
  const lacking = found.filter(([, path]) => path === undefined);
  if (lacking.length > 0)
    throw new DomainError(
      'UNAVAILABLE',
      `not on PATH of this host:\n${lacking.map(([name]) => `  - ${name}: ${programMends[name]}`).join('\n')}`,
    );
  return Object.fromEntries(found) as Programs;
}

/** Units of every machine, in a folder of its own each, and which files that machine needs besides. */
export function unitFiles(site: DeploySite, layout: HostLayout, config: KitFiles, user: string | undefined): KitFiles {
  const files = new Map<string, string>();
  for (const machine of site.fleet.machines) {
    const parts = hostParts(site, machine, layout);
    for (const part of parts)
      files.set(`units/${machine.id}/${unitOf(part.name)}`, unitText(part, layout, config, user));
    if (machine.id === site.coordination.id) continue;
    const needed = [
      ...parts.map(({ name }) => `units/${machine.id}/${unitOf(name)}`),
      'tls/ca.crt',
      `tls/${machine.id}.crt`,
      `tls/${machine.id}.key`,
      ...['database_url_by_address', 'redis_url_by_address', 'webhook_key', 'payload_keys'].map(
        (name) => `secrets/${name}`,
      ),
    ];
    files.set(`machines/${machine.id}.files`, `${needed.toSorted().join('\n')}\n`);
  }
  return files;
}

function unitText(
  part: HostPart,
  { folder, root, app }: HostLayout,
  config: KitFiles,
  user: string | undefined,
): string {
  const words = [part.command, ...(part.prepare ?? [])].flat();
  const hash = createHash('sha256').update(JSON.stringify(part));
  for (const [path, text] of config)
    if (words.some((word) => word.endsWith(`/${path}`))) hash.update(`\n${path}\n`).update(text);
  // Another version of ours is another program, under the same path.
  if (words.some((word) => word.startsWith(`${root}/`))) hash.update(`\n${app}\n`);
  const after = part.after.map(unitOf);
  const lines = [
    `# ${generatedHead}`,
    '[Unit]',
    `Description=${part.description}`,
    `After=${['network-online.target', ...after].join(' ')}`,
    'Wants=network-online.target',
    ...(after.length === 0 ? [] : [`Requires=${after.join(' ')}`]),
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    ...(part.once ? ['Type=oneshot', 'RemainAfterExit=yes'] : ['Type=exec']),
    ...(user === undefined ? [] : [`User=${user}`, `Group=${user}`]),
    ...Object.entries(part.environment).map(([name, value]) => `Environment=${unitWord(`${name}=${value}`)}`),
    ...(part.prepare ?? []).map((words) => `ExecStartPre=:${commandLine(words)}`),
    `ExecStart=:${commandLine(part.command)}`,
    // Up is who answers: whoever comes after it waits for that.
    ...(part.ready === undefined
      ? []
      : [`ExecStartPost=:${commandLine(['/bin/sh', '-c', 'until "$@"; do sleep 1; done', 'sh', ...part.ready])}`]),
    `TimeoutStartSec=${startWithin}`,
    'Restart=on-failure',
    'RestartSec=3',
    'KillMode=mixed',
    `TimeoutStopSec=${part.graceSeconds}`,
    `MemoryMax=${part.memory}`,
    'TasksMax=1024',
    `WorkingDirectory=${folder}`,
    'NoNewPrivileges=yes',
    'LockPersonality=yes',
    'RestrictSUIDSGID=yes',
    // A unit of a user may not ask for these.
    ...(user === undefined
      ? []
      : [
          'CapabilityBoundingSet=',
          'ProtectSystem=strict',
          `ReadWritePaths=${part.data.length === 0 ? '/tmp' : part.data.map((name) => `${folder}/data/${name}`).join(' ')}`,
          'PrivateTmp=yes',
          'ProtectClock=yes',
          'ProtectHostname=yes',
          'ProtectKernelTunables=yes',
          'ProtectKernelModules=yes',
          'ProtectKernelLogs=yes',
          'ProtectControlGroups=yes',
          'RestrictRealtime=yes',
        ]),
    '',
    '[Install]',
    `WantedBy=${user === undefined ? 'default.target' : 'multi-user.target'}`,
    '',
    '[X-Soulfra]',
    `Hash=${hash.digest('hex').slice(0, 16)}`,
  ];
  return `${lines.join('\n')}\n`;
}
