import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type ImageName, images, postgresBase } from '../../deploy/compose/images.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { onPath } from '../../deploy/embedded/resolve.ts';

/**
 * `node bench/support/stand-ins-process.ts [--base IMAGE] [--programs FOLDER]`: where no registry of images is reached, makes what the kit's
 * compose files name under the very same names, of Debian's packages and Go modules, and a base for deploy/images/build.ts. It wants
 * debootstrap (or a base), go, and a Docker that reaches the network of the host. One line of JSON: what was made, and what cannot be.
 */

const { values } = parseArgs({
  options: {
    base: { type: 'string' },
    programs: { type: 'string', default: join(homedir(), '.cache/soulfra/stand-ins') },
  },
});

/** What is built where PATH has none. */
const modules = {
  'temporal-server': { module: 'go.temporal.io/server/cmd/server', version: 'v1.31.2' },
  'temporal-sql-tool': { module: 'go.temporal.io/server/cmd/tools/sql', version: 'v1.31.2' },
  'ui-server': { module: 'github.com/temporalio/ui-server/v2/cmd/server', version: `v${tagOf('temporalUi')}` },
  caddy: { module: 'github.com/caddyserver/caddy/v2/cmd/caddy', version: `v${tagOf('proxy')}` },
} as const;
type Program = keyof typeof modules;

const targets: Partial<Record<ImageName | 'postgresBase', string>> = {
  postgresBase: 'postgres',
  redis: 'redis',
  temporal: 'temporal',
  temporalTools: 'temporal-tools',
  temporalUi: 'temporal-ui',
  proxy: 'proxy',
  prometheus: 'prometheus',
  alertmanager: 'alertmanager',
  nodeExporter: 'node-exporter',
  postgresExporter: 'postgres-exporter',
  redisExporter: 'redis-exporter',
};
const cannotBe: Partial<Record<ImageName, string>> = {
  grafana: 'its pages are no part of a Go module',
  loki: 'hours of building on a small box',
  collector: 'hours of building on a small box, and its pages are no part of a Go module',
  gpuExporter: 'there is no card',
  modelServer: 'there is no card',
};

const say = (text: string) => void process.stderr.write(`${text}\n`);
const run = (command: string, args: readonly string[], options: { input?: Buffer; env?: NodeJS.ProcessEnv } = {}) =>
  execFileSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'inherit'],
    ...options,
  }).trim();

function tagOf(name: ImageName): string {
  return images[name].split(':')[1]!;
}

/** Debian with Node 24 and npm, as our own image wants it. */
function makeBase(): string {
  const name = 'soulfra-base:local';
  if (spawnSync('docker', ['image', 'inspect', name]).status === 0) return name;
  if (onPath('debootstrap', process.env) === undefined)
    throw new Error('there is no debootstrap: apt-get install debootstrap, or name an image of Debian by --base');
  say(`${name}: by debootstrap`);
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-base-'));
  try {
    const root = join(folder, 'root');
    run('debootstrap', ['--variant=minbase', '--include=ca-certificates', 'bookworm', root]);
    const bin = join(root, 'usr/local/bin');
    copyFileSync(realpathSync(process.execPath), join(bin, 'node'));
    chmodSync(join(bin, 'node'), 0o755);
    const npm = join(run('npm', ['root', '-g']), 'npm');
    mkdirSync(join(root, 'usr/local/lib/node_modules'), { recursive: true });
    cpSync(npm, join(root, 'usr/local/lib/node_modules/npm'), { recursive: true });
    run('ln', ['-s', '../lib/node_modules/npm/bin/npm-cli.js', join(bin, 'npm')]);
    // Whoever this host trusts besides: what is fetched while an image is built may come by them.
    const extra = process.env['NODE_EXTRA_CA_CERTS'];
    const inside = '/usr/local/share/extra-ca.pem';
    if (extra !== undefined) copyFileSync(extra, join(root, inside));
    const change = extra === undefined ? [] : ['--change', `ENV NODE_EXTRA_CA_CERTS=${inside}`];
    const archive = join(folder, 'root.tar');
    run('tar', ['-C', root, '-cf', archive, '.']);
    run('docker', ['import', ...change, archive, name]);
    return name;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function program(name: Program): string {
  const made = join(values.programs, name);
  const there = existsSync(made) ? made : onPath(name, process.env);
  if (there !== undefined) return there;
  const { module, version } = modules[name];
  say(`${name}: go install ${module}@${version}`);
  mkdirSync(values.programs, { recursive: true });
  // Static, so that it runs in any image.
  const env = { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'auto', GOBIN: values.programs, GOFLAGS: '-trimpath' };
  run('go', ['install', '-ldflags', '-s -w', `${module}@${version}`], { env });
  const last = join(values.programs, module.split('/').at(-1)!);
  if (last !== made) run('mv', [last, made]);
  return made;
}

const base = values.base ?? makeBase();
const own = join(repositoryRoot, 'bench/support/stand-ins');
const context = mkdtempSync(join(tmpdir(), 'soulfra-stand-ins-'));
const made: Record<string, number> = {};
try {
  cpSync(own, context, { recursive: true });
  for (const name of Object.keys(modules) as Program[]) copyFileSync(program(name), join(context, name));
  const ui = JSON.parse(
    run('go', ['mod', 'download', '-json', `github.com/temporalio/ui-server/v2@${modules['ui-server'].version}`]),
  ) as { Dir: string };
  copyFileSync(join(ui.Dir, 'docker/start-ui-server.sh'), join(context, 'start-ui-server.sh'));
  copyFileSync(join(ui.Dir, 'config/docker.yaml'), join(context, 'docker.yaml'));
  for (const file of [...Object.keys(modules), 'start-ui-server.sh', 'postgres-entrypoint.sh'])
    chmodSync(join(context, file), 0o755);
  chmodSync(join(context, 'docker.yaml'), 0o644);
  for (const [image, target] of Object.entries(targets)) {
    const name = image === 'postgresBase' ? postgresBase : images[image as ImageName];
    say(name);
    run('docker', ['build', '--network=host', '--build-arg', `BASE=${base}`, '--target', target, '-t', name, context]);
    made[name] = Math.round(Number(run('docker', ['image', 'inspect', '--format', '{{.Size}}', name])) / 1e6);
  }
} finally {
  rmSync(context, { recursive: true, force: true });
}
const lacking = Object.fromEntries(Object.entries(cannotBe).map(([name, why]) => [images[name as ImageName], why]));
process.stdout.write(`${JSON.stringify({ base, megabytes: made, lacking })}\n`);
