import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { onPath } from '../../deploy/embedded/resolve.ts';

/** Two machines on one host: a network each with a cable between them, and in each a Docker of its own, with its own images. */

export interface DockerMachine {
  id: string;
  network: string;
  /** What reaches its Docker; run in its network, since the kit looks at addresses and ports of the host. */
  env: NodeJS.ProcessEnv;
  docker(...args: string[]): string;
}

const ip = (...args: string[]) => {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
};
const dockerWithinMs = 60_000;

/** What this host lacks for it, each with what brings it. */
export function lackingForMachines(wanted: readonly string[]): string[] {
  const programs = ['ip', 'nsenter', 'unshare', 'iptables', 'docker', 'dockerd'].filter(
    (name) => onPath(name, process.env) === undefined,
  );
  if (programs.length > 0) return programs;
  if (process.getuid?.() !== 0) return ['root'];
  if (spawnSync('docker', ['info']).status !== 0) return ['a Docker that answers and has the images'];
  const images = wanted.filter((name) => spawnSync('docker', ['image', 'inspect', name]).status !== 0);
  return images.map((name) => `image ${name}`);
}

export async function withMachines<Result>(
  options: {
    ids: readonly [string, string];
    addresses: readonly [string, string];
    /** On a disk of its own size: images lie here twice. */
    folder: string;
    images: readonly string[];
    say: (text: string) => void;
  },
  use: (machines: readonly [DockerMachine, DockerMachine]) => Promise<Result>,
): Promise<Result> {
  const { ids, addresses, folder, say } = options;
  const networks = ids.map((_, i) => `sfrc${process.pid}${i}`);
  const daemons: { child: ChildProcess; machine: DockerMachine }[] = [];
  const end = async () => {
    for (const { child, machine } of daemons.splice(0)) await endDocker(child, machine);
    for (const network of networks) spawnSync('ip', ['netns', 'del', network]);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void end().then(() => process.exit(1)));
  try {
    for (const network of networks) ip('netns', 'add', network);
    ip('link', 'add', 'cable', 'netns', networks[0]!, 'type', 'veth', 'peer', 'name', 'cable', 'netns', networks[1]!);
    for (const [i, network] of networks.entries()) {
      ip('-n', network, 'addr', 'add', `${addresses[i]}/30`, 'dev', 'cable');
      for (const device of ['lo', 'cable']) ip('-n', network, 'link', 'set', device, 'up');
      daemons.push(await startDocker(ids[i]!, network, join(folder, ids[i]!)));
    }
    const machines = daemons.map(({ machine }) => machine) as [DockerMachine, DockerMachine];
    const archive = join(folder, 'images.tar');
    execFileSync('docker', ['save', '-o', archive, ...options.images]);
    for (const machine of machines) {
      say(`${machine.id}: loads ${options.images.length} images`);
      machine.docker('load', '-q', '-i', archive);
    }
    return await use(machines);
  } finally {
    await end();
  }
}

async function startDocker(id: string, network: string, folder: string) {
  mkdirSync(folder, { recursive: true });
  const socket = `unix://${join(folder, 'docker.sock')}`;
  const log = openSync(join(folder, 'dockerd.log'), 'a');
  const folders = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'run')];
  const dockerd = ['dockerd', '--host', socket, ...folders, '--pidfile', join(folder, 'docker.pid')];
  const child = spawn(
    'unshare',
    // A host under systemd shares its mounts, which the exporter of its figures leans on.
    ['--mount', '--propagation', 'shared', 'nsenter', `--net=/run/netns/${network}`, ...dockerd],
    { stdio: ['ignore', log, log], detached: true },
  );
  closeSync(log);
  const env = { ...process.env, DOCKER_HOST: socket };
  const docker = (...args: string[]) =>
    execFileSync('docker', args, {
      env,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();
  const until = Date.now() + dockerWithinMs;
  while (spawnSync('docker', ['info'], { env }).status !== 0) {
    if (child.exitCode !== null || Date.now() > until)
      throw new Error(
        `Docker of ${id} does not come up:\n${readFileSync(join(folder, 'dockerd.log'), 'utf8').slice(-2000)}`,
      );
    await pause(300);
  }
  return { child, machine: { id, network, env, docker } };
}

async function endDocker(child: ChildProcess, machine: DockerMachine): Promise<void> {
  const all = machine
    .docker('ps', '-aq')
    .split('\n')
    .filter((id) => id !== '');
  // Their volumes go with the folder.
  if (all.length > 0) machine.docker('rm', '-f', ...all);
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}
