import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Owner } from '../../deploy/compose/made-once.ts';
import type { StandbyHost } from '../../deploy/compose/promote.ts';
import { promotedFolder } from '../../deploy/compose/standby.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import type { Box } from './deploy-box.ts';

/** The standby as its box has it: asked by the kit's own script, in its own network. */

const run = promisify(execFile);

export function benchStandby(options: {
  network: string;
  folder: string;
  owner: Owner;
  /** What it runs as a copy, and what it runs as the first one. */
  copy: Box;
  first: Box;
}): StandbyHost {
  const { network, folder, owner, copy, first } = options;
  const inNetwork = (words: readonly string[]) => run('nsenter', [`--net=/run/netns/${network}`, ...words]);
  return {
    ask: async (...words) => {
      const as = ['setpriv', `--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups', '--'];
      const script = join(folder, promotedFolder, 'standby-sql.sh');
      return (await inNetwork([...as, '/bin/bash', script, ...words])).stdout.trim();
    },
    answers: async (address, port) =>
      inNetwork(['timeout', '5', 'bash', '-c', `exec 3<>/dev/tcp/${address}/${port}`]).then(
        () => true,
        () => false,
      ),
    // systemd stops the units whose text changes in order; this is harder on them.
    takeOver: async () => {
      await copy.powerOff();
      await first.up();
    },
  };
}

/** Has a port of the other network's address lead to its API, as its proxy would. */
export async function forwardApi(network: string, address: string, port: number): Promise<ChildProcess> {
  const script = join(repositoryRoot, 'bench/support/port-forward-process.ts');
  const child = spawn(
    'nsenter',
    [`--net=/run/netns/${network}`, process.execPath, script, address, String(port), '17000'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(child.stdout, 'data');
  return child;
}
