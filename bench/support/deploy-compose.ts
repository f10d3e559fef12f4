import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { appVersion } from '../../config/app-version.ts';
import { exportFleet, loadFleetFile } from '../../config/fleet-file.ts';
import { composeCommand } from '../../deploy/compose/containers.ts';
import { backupImageOf, images } from '../../deploy/compose/images.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { output } from '../../deploy/embedded/resolve.ts';
import { type DockerMachine, lackingForMachines, withMachines } from './compose-machines.ts';

/**
 * The compose files, started: `soulfra deploy init` from nothing, `apply` on two machines with a Docker each, a second `apply`, who is
 * refused, a cycle of reflections, what watches, and the standby promoted. Which images of the kit this host has not is said by name.
 */

const ids = ['pc2', 'mainpc'] as const;
const addresses = ['10.98.0.1', '10.98.0.2'] as const;
type Figures = Record<string, unknown> & { why?: Record<string, string> };

/** Of a machine, seen from the process in the network of the first. */
export interface SeenMachine extends Pick<DockerMachine, 'id' | 'network' | 'env'> {
  folder: string;
  address: string;
}

export interface ComposeRun {
  work: string;
  machines: readonly [SeenMachine, SeenMachine];
  /** Parts of `observability` that have an image here. */
  watching: Record<string, string[]>;
  /** Up, a second `apply`, and who is refused. */
  isShort: boolean;
}
interface Options {
  agents: number;
  isShort: boolean;
  say: (text: string) => void;
}

/** One line of JSON. @returns the exit status: 1 where something is not as it must be, or was not measured */
export async function benchCompose(options: Options): Promise<number> {
  const work = mkdtempSync(join(tmpdir(), 'soulfra-compose-bench-'));
  // What runs in containers is another user's, who has to pass through.
  chmodSync(work, 0o755);
  try {
    const figures = await measureCompose(work, options);
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    const asked = { ...wanted, ...(options.isShort ? {} : wantedOfAll) };
    const beyond = Object.entries(asked).flatMap(([name, should]) => (figures[name] === should ? [] : [name]));
    if (beyond.length > 0) options.say(`out of bounds: ${beyond.join(', ')}`);
    return beyond.length > 0 ? 1 : 0;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const wanted: Record<string, unknown> = {
  healthy: true,
  second_apply_changes: 0,
  second_up_recreates: 0,
  refused_untrusted: true,
  ui_behind_sign_in: true,
};
const wantedOfAll: Record<string, unknown> = {
  both_reflect: true,
  lost: 0,
  apply_after_promotion_changes: 0,
  old_one_stays_out: true,
};

const own = `soulfra:${appVersion()}`;
const needed = [
  own,
  backupImageOf(own),
  images.postgres,
  images.redis,
  images.temporal,
  images.temporalTools,
  images.temporalUi,
  images.proxy,
];
export const imagesMend = 'node bench/support/stand-ins-process.ts, then node deploy/images/build.ts';

/** What this host lacks for it: programs, images by their names. */
export async function lackingForCompose(): Promise<string[]> {
  const lacks = lackingForMachines(needed);
  const compose = await composeCommand(process.env).catch((err: Error) => err);
  return compose instanceof Error ? [...lacks, compose.message] : lacks;
}

async function measureCompose(work: string, { agents, isShort, say }: Options): Promise<Figures> {
  const lacks = await lackingForCompose();
  if (lacks.length > 0)
    return { why: { compose: `not measured, this host lacks: ${lacks.join(', ')} (images: ${imagesMend})` } };
  const command = await composeCommand(process.env);
  const version = await output(command[0]!, [...command.slice(1), 'version', '--short'], {
    env: process.env,
    timeoutMs: 20_000,
  });
  const optional = Object.values(images).filter((name) => !needed.includes(name));
  const here = optional.filter((name) => spawnSync('docker', ['image', 'inspect', name]).status === 0);
  const figures: Figures = {
    compose: version.trim(),
    images_mb: Object.fromEntries([own, backupImageOf(own), images.postgres].map((name) => [name, megabytes(name)])),
    without: optional.filter((name) => !here.includes(name)),
  };
  const folder = join(work, 'kit');
  writeFileSync(join(work, 'fleet.yaml'), fleetText(agents));
  const docker = join(work, 'docker');
  mkdirSync(docker);
  await withMachines({ ids, addresses, folder: docker, images: [...needed, ...here], say }, async (machines) => {
    const run: ComposeRun = {
      work,
      machines: machines.map(({ id, network, env }, i) => ({
        id,
        network,
        env: { DOCKER_HOST: env['DOCKER_HOST'] },
        folder: i === 0 ? folder : `${folder}-${id}`,
        address: addresses[i]!,
      })) as unknown as ComposeRun['machines'],
      watching: {},
      isShort,
    };
    initFolders(run, here);
    Object.assign(figures, await inFirstNetwork(run));
  });
  return figures;
}

const megabytes = (image: string) => {
  const { stdout } = spawnSync('docker', ['image', 'inspect', '--format', '{{.Size}}', image], { encoding: 'utf8' });
  return Math.round(Number(stdout) / 1e6);
};

/** The reference pair, as many agents as asked, the second machine the standby. */
function fleetText(agents: number): string {
  const fleet = structuredClone(loadFleetFile(join(repositoryRoot, 'fleet.yaml')));
  const all = fleet.archetypes.reduce((sum, { count }) => sum + count, 0);
  fleet.agents = {};
  for (const archetype of fleet.archetypes) archetype.count = Math.max(1, Math.round((archetype.count * agents) / all));
  fleet.deploy.addresses = Object.fromEntries(ids.map((id, i) => [id, addresses[i]!]));
  fleet.deploy.standby = 'mainpc';
  return exportFleet(fleet);
}

/** What `init` makes on the first machine, and what it says that the other one needs, brought there. */
function initFolders({ work, machines, watching }: ComposeRun, here: readonly string[]): void {
  const [first, second] = machines;
  const words = ['init', '--file', join(work, 'fleet.yaml'), '--out', first.folder];
  const made = spawnSync(process.execPath, [join(repositoryRoot, 'deploy/compose/main.ts'), ...words], {
    encoding: 'utf8',
  });
  if (made.status !== 0) throw new Error(`init: ${made.stdout}${made.stderr}`);
  const { services } = parse(readFileSync(join(first.folder, 'coordination.yaml'), 'utf8')) as {
    services: Record<string, { image: string; profiles?: string[] }>;
  };
  watching[first.id] = Object.entries(services)
    .filter(
      ([, { image, profiles }]) =>
        profiles?.includes('observability') && here.some((name) => image.endsWith(`}${name}`)),
    )
    .map(([name]) => name);
  watching[second.id] = watching[first.id]!.filter((name) => name === 'node-exporter');
  // What has no image here cannot be among what `apply` brings up.
  const environment = join(first.folder, '.env');
  writeFileSync(environment, readFileSync(environment, 'utf8').replace(/^COMPOSE_PROFILES=.*$/m, 'COMPOSE_PROFILES='));
  mkdirSync(second.folder);
  const bring = ['-C', first.folder, '-cf', '-', '-T', join(first.folder, `machines/${second.id}.files`)];
  const archive = spawnSync('tar', bring, { maxBuffer: 1 << 26 });
  if (archive.status !== 0) throw new Error(`tar: ${archive.stderr.toString()}`);
  spawnSync('tar', ['-C', second.folder, '-xpf', '-'], { input: archive.stdout });
}

async function inFirstNetwork(run: ComposeRun): Promise<Figures> {
  const script = join(repositoryRoot, 'bench/support/deploy-compose-process.ts');
  const child = spawn(
    'nsenter',
    [`--net=/run/netns/${run.machines[0].network}`, process.execPath, script, JSON.stringify(run)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_EXTRA_CA_CERTS: join(run.machines[0].folder, 'tls/ca.crt') },
    },
  );
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  const last = said.trim().split('\n').at(-1) ?? '';
  if (!last.startsWith('{')) throw new Error(`the run ended by ${code}`);
  return JSON.parse(last) as Figures;
}
