import { createHash } from 'node:crypto';
import { commandLine, hardening, kernelHardening, unitWord } from '../../domain/service-units.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import { DomainError } from '../../domain/errors.ts';
import { onPath } from '../embedded/resolve.ts';
import {
  type HostLayout,
  type HostPart,
  hostParts,
  type Program,
  programMends,
  type Programs,
  promotedHostParts,
} from './host-parts.ts';
import type { KitFiles } from './kit.ts';
import { secretFiles } from './made-once.ts';
import { generatedHead } from './server-files.ts';
import { promotedFolder } from './standby.ts';

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
    const own = new Map(parts.map((part) => [`units/${machine.id}/${unitOf(part.name)}`, part]));
    if (site.standby !== undefined && machine.id !== site.coordination.id)
      for (const part of promotedHostParts(site, machine, layout))
        own.set(`${promotedFolder}/units/${machine.id}/${unitOf(part.name)}`, part);
    for (const [path, part] of own) files.set(path, unitText(part, layout, config, user));
    if (machine.id === site.coordination.id) continue;
    // All of its settings go to a standby, since it will need them; of the others' only what they read.
    const settings =
      machine.id === site.standby?.id
        ? [...config].filter(
            ([path]) =>
              path.startsWith(`${promotedFolder}/`) &&
              // A collector has the key of its own machine.
              (!path.includes('/collector-') || path.endsWith(`/collector-${machine.id}.alloy`)),
          )
        : [];
    const needed = [
      ...own.keys(),
      ...settings.map(([path]) => path),
      ...(machine.id === site.standby?.id ? secretFiles : []),
      ...(site.standby === undefined ? [] : ['config/fleet.yaml']),
      ...madeFilesIn([JSON.stringify([...own.values()]), ...settings.map(([, text]) => text)], layout.folder),
    ];
    files.set(`machines/${machine.id}.files`, `${[...new Set(needed)].toSorted().join('\n')}\n`);
  }
  return files;
}

/** Secrets and certificates that these texts name. */
function madeFilesIn(texts: readonly string[], folder: string): string[] {
  const named = texts.flatMap((text) => text.split(`${folder}/`).slice(1));
  return named.flatMap((rest) => /^(?:tls|secrets)\/[\w.-]*\w/.exec(rest) ?? []);
}

function unitText(
  part: HostPart,
  { folder, root, app, rings = new Map() }: HostLayout,
  config: KitFiles,
  user: string | undefined,
): string {
  const words = part.command;
  const hash = createHash('sha256').update(JSON.stringify(part));
  for (const [path, text] of config)
    if (words.some((word) => word.endsWith(`/${path}`))) hash.update(`\n${path}\n`).update(text);
  // Another version of ours is another program, under the same path.
  if (words.some((word) => word.startsWith(`${root}/`))) hash.update(`\n${app}\n`);
  for (const [name, print] of rings)
    if (Object.values(part.environment).includes(`${folder}/secrets/${name}`)) hash.update(`\n${name} ${print}\n`);
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
    `ExecStart=:${commandLine(part.command)}`,
    // Up is who answers: whoever comes after it waits for that.
    ...(part.ready === undefined
      ? []
      : [`ExecStartPost=:${commandLine(['/bin/sh', '-c', 'until "$@"; do sleep 1; done', 'sh', ...part.ready])}`]),
    `TimeoutStartSec=${startWithin}`,
    'Restart=on-failure',
    'RestartSec=3',
    'KillMode=mixed',
    ...(part.stopSignal === undefined ? [] : [`KillSignal=${part.stopSignal}`]),
    `TimeoutStopSec=${part.graceSeconds}`,
    `MemoryMax=${part.memory}`,
    'TasksMax=1024',
    `WorkingDirectory=${folder}`,
    ...hardening,
    // A unit of a user may not ask for these.
    ...(user === undefined
      ? []
      : [
          'CapabilityBoundingSet=',
          'ProtectSystem=strict',
          `ReadWritePaths=${writable(part, folder).join(' ')}`,
          'PrivateTmp=yes',
          ...kernelHardening,
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

/** One that is not mounted yet keeps no part from its start. */
function writable({ data, writes = [] }: HostPart, folder: string): string[] {
  const paths = [...data.map((name) => `${folder}/data/${name}`), ...writes.map((path) => unitWord(`-${path}`))];
  return paths.length === 0 ? ['/tmp'] : paths;
}
