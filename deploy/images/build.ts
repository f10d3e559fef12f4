import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { appVersion } from '../../config/app-version.ts';
import { backupImageOf, images, postgresBase } from '../compose/images.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';

/**
 * `node deploy/images/build.ts [--base IMAGE] [--postgres-base IMAGE] [--tag NAME] [--network host] [--npm-registry URL]`: our images of
 * this checkout, under the names that the kit expects: ours, Postgres with pgBackRest, and both in one for backups. Tried before its size is printed: it runs as nobody, on a read-only root, without a network.
 */

const { values } = parseArgs({
  options: {
    base: { type: 'string' },
    'postgres-base': { type: 'string' },
    tag: { type: 'string' },
    network: { type: 'string' },
    'npm-registry': { type: 'string' },
  },
});
const tag = values.tag ?? `soulfra:${appVersion()}`;
const docker = (args: string[], stdio: 'inherit' | 'pipe') => {
  const { status, stdout, error } = spawnSync('docker', args, {
    encoding: 'utf8',
    stdio: ['ignore', stdio, 'inherit'],
  });
  if (error !== undefined || status !== 0) {
    process.stderr.write(`docker ${args[0]} did not end well${error === undefined ? '' : `: ${error.message}`}\n`);
    process.exit(1);
  }
  return stdout ?? '';
};
const argument = (name: string, value: string | undefined) =>
  value === undefined ? [] : ['--build-arg', `${name}=${value}`];
const network = values.network === undefined ? [] : ['--network', values.network];
const file = join(repositoryRoot, 'deploy/images/Dockerfile');
docker(
  [
    'build',
    '-f',
    file,
    ...argument('BASE', values.base),
    ...argument('NPM_CONFIG_REGISTRY', values['npm-registry']),
    ...network,
    '-t',
    tag,
    repositoryRoot,
  ],
  'inherit',
);
const tried = docker(
  ['run', '--rm', '--read-only', '--network', 'none', '--cap-drop', 'ALL', tag, 'node', 'deploy/images/try.ts'],
  'pipe',
);
const megabytes = (image: string) =>
  Math.round(Number(docker(['image', 'inspect', '--format', '{{.Size}}', image], 'pipe')) / 1e6);
const dataImages = { postgres: images.postgres, backup: backupImageOf(tag) };
for (const [target, name] of Object.entries(dataImages)) {
  const data = join(repositoryRoot, 'deploy/images/data.Dockerfile');
  const base = ['--build-arg', `BASE=${values['postgres-base'] ?? postgresBase}`, '--build-arg', `APP=${tag}`];
  docker(['build', '-f', data, '--target', target, ...base, ...network, '-t', name, repositoryRoot], 'inherit');
}
const alone = ['run', '--rm', '--read-only', '--network', 'none', '--cap-drop', 'ALL', '--entrypoint'];
const pgbackrest = docker([...alone, 'pgbackrest', dataImages.backup, 'version'], 'pipe').trim();
const told = {
  image: tag,
  megabytes: megabytes(tag),
  ...(JSON.parse(tried) as object),
  pgbackrest,
  data: Object.fromEntries(Object.values(dataImages).map((name) => [name, megabytes(name)])),
};
process.stdout.write(`${JSON.stringify(told)}\n`);
