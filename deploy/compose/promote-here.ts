import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { deploySite } from '../../domain/deploy-site.ts';
import { DomainError } from '../../domain/errors.ts';
import { answersAt, lossOf, markPromotion, promoteStandby } from './promote.ts';
import { machineHere } from './host-checks.ts';
import { dataFoldersOf } from './host-parts.ts';
import { composeStandby, unitStandby } from './standby-host.ts';
import { progress } from './progress.ts';
import { hostUser, makeDataFolders, unitHost } from './kit-of-host.ts';

/** On the standby: it becomes the first one. On any other machine: that follows the standby from then on. */
export async function promoteHere(
  folder: string,
  isOfUnits: boolean,
  wantedMachine: string | undefined,
  told: { fence: boolean; oldIsOff: boolean },
): Promise<object> {
  const file = join(folder, 'config/fleet.yaml');
  if (!existsSync(file))
    throw new DomainError(
      'NOT_FOUND',
      `${file} is not there: what \`soulfra deploy init\` made for this machine has to lie here (--out) before it is needed`,
    );
  const site = deploySite(loadFleetFile(file));
  const { standby, coordination } = site;
  if (standby === undefined)
    throw new DomainError(
      'INVALID_INPUT',
      `${file} names no deploy.standby, so nobody has a copy: the way back is a backup (deploy/runbooks/08-restore.md)`,
    );
  const machine = machineHere(site, wantedMachine);
  if (machine.id === coordination.id)
    throw new DomainError(
      'INVALID_INPUT',
      `${machine.id} is the one that is to be replaced: run it on ${standby.id}, and once ${machine.id} has no power`,
    );
  const host = isOfUnits
    ? unitStandby({ folder, machine, host: unitHost(), say: progress })
    : composeStandby({ folder, site, machine, env: process.env, say: progress });
  if (isOfUnits) makeDataFolders(folder, dataFoldersOf(site, machine), hostUser().owner);
  const about = { folder, machine: machine.id, from: coordination.id, to: standby.id };
  if (machine.id === standby.id) {
    const promotion = await promoteStandby({ folder, site, standby, host, ...told, say: progress });
    const url = `https://${site.fleet.deploy.host ?? site.addresses[standby.id]}:${site.ports.https}`;
    return { ...about, ...promotion, loss: lossOf(promotion), url };
  }
  const address = site.addresses[standby.id]!;
  if (!(await answersAt(address, site.ports.temporal)))
    throw new DomainError(
      'CONFLICT',
      `${standby.id} does not answer at ${address}:${site.ports.temporal}: promote it there first`,
    );
  markPromotion(folder, { from: coordination.id, to: standby.id, begunAt: new Date().toISOString() });
  await host.takeOver();
  return about;
}
