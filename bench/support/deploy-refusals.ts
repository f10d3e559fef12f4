import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';

/** What each try of deploy-refusals-process.ts came to, made from another network than the servers'. */
export function refusals(options: {
  network: string;
  folder: string;
  /** Of the servers. */
  address: string;
  scratch: string;
}): Record<string, string> {
  const { network, ...from } = options;
  const asked = { ...from, ports: { postgres: 5432, redis: 6379, temporal: 7233 }, machine: 'mainpc' };
  const script = join(repositoryRoot, 'bench/support/deploy-refusals-process.ts');
  const { stdout, stderr, status } = spawnSync(
    'nsenter',
    [`--net=/run/netns/${network}`, process.execPath, script, JSON.stringify(asked)],
    { encoding: 'utf8', timeout: 180_000 },
  );
  if (status !== 0) throw new Error(`the tries ended by ${status}: ${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, string>;
}
