import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { appVersion } from '../../config/app-version.ts';
import { buildUi } from '../embedded/ui.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';

/** `node deploy/images/build.ts [--base IMAGE] [--tag NAME] [--network host]`: our image of this checkout, under the name that the kit expects. */

const { values } = parseArgs({
  options: { base: { type: 'string' }, tag: { type: 'string' }, network: { type: 'string' } },
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
// Built here, where its builder is: the image has no development dependencies.
await buildUi(repositoryRoot);
const base = values.base === undefined ? [] : ['--build-arg', `BASE=${values.base}`];
const network = values.network === undefined ? [] : ['--network', values.network];
const file = join(repositoryRoot, 'deploy/images/Dockerfile');
docker(['build', '-f', file, ...base, ...network, '-t', tag, repositoryRoot], 'inherit');
const bytes = Number(docker(['image', 'inspect', '--format', '{{.Size}}', tag], 'pipe'));
process.stdout.write(`${JSON.stringify({ image: tag, megabytes: Math.round(bytes / 1e6) })}\n`);
