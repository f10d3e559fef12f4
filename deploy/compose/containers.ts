import { join } from 'node:path';
import { parse } from 'yaml';
import { DomainError } from '../../domain/errors.ts';
import { onPath, output } from '../embedded/resolve.ts';
import { compareVersions } from '../embedded/version.ts';
import { hashLabel, projectOf } from './kit.ts';

/** What runs, by Docker's own word, against what the folder says should. */

type Env = Readonly<Record<string, string | undefined>>;

/** Long syntax of mounts with `create_host_path`, `deploy.resources` and conditions as this kit writes them. */
const leastCompose = '2.20.0';

export interface Wanted {
  file: string;
  service: string;
  hash: string;
  /** Ends by itself: to be done, not to run. */
  once: boolean;
  /** Whether it says by itself that it is ready. */
  checked: boolean;
}

export interface Found {
  file: string;
  service: string;
  hash: string | undefined;
  state: string;
  health: string | undefined;
  exitCode: number;
  ports: number[];
}

export interface ContainerChange {
  file: string;
  service: string;
  action: 'create' | 'recreate' | 'start' | 'remove';
}

interface ComposeFile {
  services: Record<
    string,
    { labels: Record<string, string>; restart: string; profiles?: string[]; healthcheck?: object }
  >;
}

/** What a compose file asks for under these profiles. */
export function wantedOf(file: string, text: string, profiles: readonly string[]): Wanted[] {
  const { services } = parse(text) as ComposeFile;
  return Object.entries(services).flatMap(([service, made]): Wanted[] => {
    if (made.profiles !== undefined && !made.profiles.some((profile) => profiles.includes(profile))) return [];
    return [
      {
        file,
        service,
        hash: made.labels[hashLabel]!,
        once: made.restart.startsWith('on-failure'),
        checked: made.healthcheck !== undefined,
      },
    ];
  });
}

export function containerChanges(wanted: readonly Wanted[], found: readonly Found[]): ContainerChange[] {
  const same = (a: { file: string; service: string }, b: { file: string; service: string }) =>
    a.file === b.file && a.service === b.service;
  const changes = wanted.flatMap((want): ContainerChange[] => {
    const { file, service } = want;
    const there = found.find((each) => same(each, want));
    if (there === undefined) return [{ file, service, action: 'create' }];
    if (there.hash !== want.hash) return [{ file, service, action: 'recreate' }];
    const isDone = want.once && there.state === 'exited' && there.exitCode === 0;
    return there.state === 'running' || isDone ? [] : [{ file, service, action: 'start' }];
  });
  const left = found.filter((each) => !wanted.some((want) => same(each, want)));
  return [...changes, ...left.map(({ file, service }): ContainerChange => ({ file, service, action: 'remove' }))];
}

/** Whether a part is as it should be: done, ready by its own word, or running where it has none. */
export function isUp(want: Wanted, found: readonly Found[]): boolean {
  const there = found.find(({ file, service }) => file === want.file && service === want.service);
  if (there === undefined) return false;
  if (want.once) return there.state === 'exited' && there.exitCode === 0;
  return there.state === 'running' && (want.checked ? there.health === 'healthy' : true);
}

export async function containersOf(file: string, env: Env): Promise<Found[]> {
  const ask = (args: string[]) => output('docker', args, { env, timeoutMs: 60_000 });
  const ids = (
    await ask(['ps', '-aq', '--no-trunc', '--filter', `label=com.docker.compose.project=${projectOf(file)}`])
  )
    .split('\n')
    .filter((id) => id !== '');
  if (ids.length === 0) return [];
  const seen = JSON.parse(await ask(['inspect', ...ids])) as {
    Config: { Labels: Record<string, string> };
    State: { Status: string; ExitCode: number; Health?: { Status: string } };
    HostConfig: { PortBindings: Record<string, { HostPort: string }[] | null> | null };
  }[];
  return seen.map(({ Config, State, HostConfig }) => ({
    file,
    service: Config.Labels['com.docker.compose.service'] ?? '',
    hash: Config.Labels[hashLabel],
    state: State.Status,
    health: State.Health?.Status,
    exitCode: State.ExitCode,
    ports: Object.values(HostConfig.PortBindings ?? {}).flatMap((bound) =>
      (bound ?? []).map(({ HostPort }) => Number(HostPort)),
    ),
  }));
}

/** How Compose is called here. */
export async function composeCommand(env: Env): Promise<string[]> {
  const mend =
    'install docker-compose-plugin (https://docs.docker.com/compose/install), or run without Docker: soulfra deploy init --systemd';
  if (onPath('docker', env) === undefined)
    throw new DomainError(
      'UNAVAILABLE',
      `there is no Docker on this host: install it, or run without it: soulfra deploy init --systemd`,
    );
  const tried: string[] = [];
  for (const command of [['docker', 'compose'], ['docker-compose']]) {
    const version = await output(command[0]!, [...command.slice(1), 'version', '--short'], {
      env,
      timeoutMs: 20_000,
    }).catch(() => undefined);
    const number = version === undefined ? undefined : /\d+\.\d+\.\d+/.exec(version)?.[0];
    if (number === undefined) continue;
    if (compareVersions(number, leastCompose) >= 0) return command;
    tried.push(`\`${command.join(' ')}\` is ${number}`);
  }
  const why = tried.length === 0 ? 'Docker has no Compose here' : tried.join(', ');
  throw new DomainError('UNAVAILABLE', `${why}; ${leastCompose} or newer is needed: ${mend}`);
}

export function composeArguments(
  command: readonly string[],
  folder: string,
  file: string,
  rest: readonly string[],
): string[] {
  return [
    ...command.slice(1),
    '--project-directory',
    folder,
    '--env-file',
    join(folder, '.env'),
    '-f',
    join(folder, file),
    ...rest,
  ];
}
