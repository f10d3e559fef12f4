import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { deploySite } from '../../domain/deploy-site.ts';
import { DomainError } from '../../domain/errors.ts';
import { applyContainers, filesOf, standing } from './apply.ts';
import { applyUnits, refuseHostFaults, unitChanges, unitsIn } from './apply-units.ts';
import { actInContainers } from './cluster-acts.ts';
import { dropOldPromotion, promotionIn } from './promote.ts';
import { machineHere } from './host-checks.ts';
import { dataFoldersOf } from './host-parts.ts';
import { promotedFile } from './kit.ts';
import { promotedFolder } from './standby.ts';
import { kitIn, promotedFilesOf } from './standby-host.ts';
import { progress } from './progress.ts';
import { hostOf, hostUser, makeDataFolders } from './kit-of-host.ts';
import { actOnPromotedUnits, askedOf } from './cluster-asked.ts';

/** Since the last `init`: what it runs is that of a promoted one, whatever lies beside. */
export function tookOver(folder: string): boolean {
  const file = join(folder, 'config/fleet.yaml');
  return existsSync(file) && promotionIn(folder, deploySite(loadFleetFile(file))) !== undefined;
}

/** On another machine than the coordinating one, which has its part of the folder and nothing that makes it. */
export async function broughtHere(
  act: string | undefined,
  file: string,
  folder: string,
  isOfUnits: boolean,
  told: { machine?: string; to?: string; second?: boolean },
): Promise<object> {
  if (act === 'rotate')
    throw new DomainError(
      'CONFLICT',
      `${folder} was brought here: keys are rotated where \`soulfra deploy init\` made it`,
    );
  const brought = join(folder, 'config/fleet.yaml');
  const site = deploySite(loadFleetFile(existsSync(brought) ? brought : file));
  const machine = machineHere(site, told.machine);
  if (act === 'apply') dropOldPromotion(folder, site);
  const isPromoted = promotionIn(folder, site) !== undefined;
  if (act !== 'plan' && act !== 'apply') {
    const asked = askedOf(act, folder, told);
    if (!isPromoted || machine.id !== site.standby?.id)
      throw new DomainError(
        'INVALID_INPUT',
        `${machine.id} does not have the servers: \`soulfra deploy ${act}\` is for ${site.coordination.id}, or for a standby that was promoted`,
      );
    const done = await (isOfUnits
      ? actOnPromotedUnits(asked, site, machine)
      : actInContainers({ ...asked, file: promotedFile }));
    return { folder, units: isOfUnits, done };
  }
  const about = { folder, machine: machine.id, files: [], made: [], containers: [], units: [] };
  if (!isOfUnits) {
    const files = isPromoted ? promotedFilesOf(site, machine) : filesOf(site, machine);
    const kit = kitIn(folder, files);
    const lacking = files.filter((name) => !kit.has(name));
    if (lacking.length > 0)
      throw new DomainError(
        'NOT_FOUND',
        `${folder} has no ${lacking.join(', ')}: copy what machines/${machine.id}.files names from the coordinating machine to here`,
      );
    if (act === 'plan') return { ...about, containers: (await standing(folder, kit, files, process.env)).changes };
    const containers = await applyContainers({ folder, kit, site, machine, files, env: process.env, say: progress });
    return { ...about, containers };
  }
  const here = hostOf(folder, unitsIn(isPromoted ? join(folder, promotedFolder) : folder, machine.id));
  if (act === 'plan') return { ...about, units: await unitChanges(here.host, folder, here.wanted) };
  await refuseHostFaults(site, machine, here);
  makeDataFolders(folder, dataFoldersOf(site, machine), hostUser().owner);
  return { ...about, units: await applyUnits({ ...here, say: progress }) };
}
