import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { appVersion } from '../../config/app-version.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';

/**
 * `node deploy/images/build.ts [--base IMAGE] [--tag NAME] [--network host] [--npm-registry URL]`: our image of this checkout, under
 * the name that the kit expects. Tried before its size is printed: it runs as nobody, on a read-only root, without a network.
 */

const { values } = parseArgs({
  options: {
    base: { type: 'string' },
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
const bytes = Number(docker(['image', 'inspect', '--format', '{{.Size}}', tag], 'pipe'));
const told = { image: tag, megabytes: Math.round(bytes / 1e6), ...(JSON.parse(tried) as object) };
process.stdout.write(`${JSON.stringify(told)}\n`);
