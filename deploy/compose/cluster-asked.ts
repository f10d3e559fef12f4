import { join } from 'node:path';
import { type DeploySite } from '../../domain/deploy-site.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';
import { runningUnits, unitsIn, unitsOf } from './apply-units.ts';
import { type ActOnCluster, actOnHost, clusterActs } from './cluster-acts.ts';
import { type HostPart, hostParts, promotedHostParts } from './host-parts.ts';
import { type KitFiles } from './kit.ts';
import { type Owner } from './made-once.ts';
import { promotedFolder } from './standby.ts';
import { progress } from './progress.ts';
import { hostLayoutOf, hostUser, unitHost } from './kit-of-host.ts';

/** What is asked of the cluster beside its data: backups, and the way back. */

export const isAct = (word: string | undefined) => clusterActs.some((each) => each === word);

export function askedOf(
  word: string | undefined,
  folder: string,
  told: { to?: string; second?: boolean },
): ActOnCluster {
  const act = clusterActs.find((each) => each === word);
  if (act === undefined) throw new TypeError(`unknown: ${word ?? 'nothing to do'}`);
  const args = [...(told.to === undefined ? [] : ['--to', told.to]), ...(told.second === true ? ['--second'] : [])];
  return { act, args, file: 'coordination.yaml', folder, env: process.env, say: progress };
}

/** Beside the data of this host, as whose it is. */
export async function actOnUnits(
  asked: ActOnCluster,
  { site, files, owner }: { site: DeploySite; files: KitFiles; owner: Owner },
): Promise<unknown> {
  const layout = hostLayoutOf(asked.folder, false);
  return actBeside(asked, owner, hostParts(site, site.coordination, layout), unitsOf(files, site.coordination.id));
}

/** The same where the standby has taken over. */
export async function actOnPromotedUnits(
  asked: ActOnCluster,
  site: DeploySite,
  machine: FleetMachine,
): Promise<unknown> {
  const parts = promotedHostParts(site, machine, hostLayoutOf(asked.folder, false));
  return actBeside(asked, hostUser().owner, parts, unitsIn(join(asked.folder, promotedFolder), machine.id));
}

async function actBeside(
  asked: ActOnCluster,
  owner: Owner,
  parts: readonly HostPart[],
  units: ReadonlyMap<string, string>,
): Promise<unknown> {
  const running = asked.act === 'restore' ? await runningUnits(unitHost(), [...units.keys()]) : [];
  const { environment } = parts.find(({ name }) => name === 'backup')!;
  return actOnHost(asked, { owner, environment, root: repositoryRoot, node: process.execPath, running });
}
