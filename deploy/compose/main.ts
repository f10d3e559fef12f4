import { parseArgs } from 'node:util';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DomainError, errorTable, isDomainError } from '../../domain/errors.ts';
import { refuseMoved } from '../embedded/moved.ts';
import { secretsOfHome } from '../move/secrets.ts';
import { applyContainers, filesOf, standing } from './apply.ts';
import { applyUnits, refuseHostFaults, unitChanges, unitsOf } from './apply-units.ts';
import { actInContainers } from './cluster-acts.ts';
import { fileChanges, writeFolder } from './folder.ts';
import { dropOldPromotion, refuseNewSecrets } from './promote.ts';
import { diskFaults, machineHere, refuseFaults } from './host-checks.ts';
import { movedArchive } from './coordination.ts';
import { dataFoldersOf } from './host-parts.ts';
import { isSpread, ringPrints, rotateKeys } from './key-rotation.ts';
import { ownerOfParts } from './made-once.ts';
import { refuseBesidePromoted } from './other-first-one.ts';
import { progress } from './progress.ts';
import { hostKitOf, hostOf, type Kit, kitOf, makeDataFolders, unitHost } from './kit-of-host.ts';
import { actOnUnits, askedOf, isAct } from './cluster-asked.ts';
import { broughtHere, tookOver } from './brought-here.ts';
import { promoteHere } from './promote-here.ts';
import { moveInto } from './move-into.ts';

/**
 * `node deploy/compose/main.ts init|plan|apply|rotate|promote|backup|backups|verify|drill|restore`: what `soulfra deploy` starts. Lines of JSON on stdout: `{progress}`, then `{result}`
 * or `{failed}`.
 */

async function run(): Promise<object> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      file: { type: 'string', default: 'fleet.yaml' },
      out: { type: 'string', default: 'soulfra-deploy' },
      machine: { type: 'string' },
      systemd: { type: 'boolean', default: false },
      from: { type: 'string' },
      'resume-schedules': { type: 'boolean', default: false },
      fence: { type: 'boolean', default: false },
      'old-is-off': { type: 'boolean', default: false },
      to: { type: 'string' },
      second: { type: 'boolean', default: false },
    },
  });
  const folder = resolve(values.out);
  const file = resolve(values.file);
  // A folder stays of the kind that it was made.
  const isOfUnits = values.systemd || existsSync(join(folder, 'units'));
  if (positionals[0] === 'promote')
    return promoteHere(folder, isOfUnits, values.machine, { fence: values.fence, oldIsOff: values['old-is-off'] });
  const isBrought =
    (isOfUnits || existsSync(join(folder, '.env'))) &&
    (!existsSync(join(folder, 'authority')) || (isAct(positionals[0]) && tookOver(folder)));
  if (positionals[0] !== 'init' && isBrought) return broughtHere(positionals[0], file, folder, isOfUnits, values);
  const from = values.from === undefined ? undefined : resolve(values.from);
  if (from !== undefined) refuseMoved(from, { endedIn: folder });
  const hasArchive = existsSync(join(folder, movedArchive));
  const moveFolder = dirname(join(folder, movedArchive));
  if (positionals[0] !== 'init' && !hasArchive && existsSync(moveFolder))
    throw new DomainError(
      'CONFLICT',
      `no fleet was taken along into ${folder}: \`soulfra deploy init --from\` was refused or cut off. Do it again; or rm -r ${moveFolder} for a deployment that begins empty`,
    );
  const moved = from !== undefined || hasArchive;
  const given = from === undefined ? {} : secretsOfHome(from, process.env);
  const makeKit = () => {
    const rings = ringPrints(folder, given);
    return isOfUnits ? hostKitOf(file, folder, moved, rings) : kitOf(file, moved, rings);
  };
  const kit = makeKit();
  const { site, files } = kit;
  const write = async (made = kit) => {
    // Not of the disk's parts to come: that is looked at where they start.
    refuseFaults(diskFaults(folder, 20e6));
    refuseNewSecrets(folder);
    const written = await writeFolder(folder, site, made.files, made.own, made.image, kit.owner, given);
    if (kit.owner !== undefined) makeDataFolders(folder, dataFoldersOf(site, site.coordination), kit.owner);
    dropOldPromotion(folder, site);
    return written;
  };
  switch (positionals[0]) {
    case 'init': {
      const { changes, made } = await write();
      // Last: what the folder lacks is told before the fleet is taken along.
      const taken =
        from === undefined
          ? null
          : await moveInto(folder, from, kit.owner ?? ownerOfParts(), {
              resumeSchedules: values['resume-schedules'],
              pausedByFile: site.fleet.schedules.paused,
            });
      return {
        folder,
        units: isOfUnits,
        moved: taken,
        changes,
        made,
        coordination: site.coordination.id,
        standby: site.standby?.id ?? null,
        machines: site.fleet.machines.map(({ id }) => id),
        url: `https://${site.host}:${site.ports.https}`,
      };
    }
    case 'plan': {
      const machine = machineHere(site, values.machine);
      const changes = fileChanges(folder, files);
      if (isOfUnits) {
        const units = await unitChanges(unitHost(), folder, unitsOf(files, machine.id));
        return { folder, machine: machine.id, files: changes, containers: [], units };
      }
      const { changes: containers } = await standing(folder, files, filesOf(site, machine), process.env);
      return { folder, machine: machine.id, files: changes, containers, units: [] };
    }
    case 'apply': {
      const machine = machineHere(site, values.machine);
      // Before a file is written: what the units run from is the folder.
      if (isOfUnits) await refuseHostFaults(site, machine, hostOf(folder, unitsOf(files, machine.id)));
      const { changes, made } = await write();
      for (const { path, action } of changes) progress(`${path}: ${action}`);
      if (isOfUnits) {
        const units = await applyUnits({ ...hostOf(folder, unitsOf(files, machine.id)), say: progress });
        return { folder, machine: machine.id, files: changes, made, containers: [], units };
      }
      const containers = await applyContainers({ folder, kit: files, site, machine, env: process.env, say: progress });
      return { folder, machine: machine.id, files: changes, made, containers, units: [] };
    }
    case 'rotate': {
      if (isSpread(folder)) await refuseUnapplied(kit, folder, isOfUnits);
      const step = rotateKeys(folder, kit.owner ?? ownerOfParts());
      // Each part tells by its hash whose keys it reads, so it starts anew at the next apply, here and elsewhere.
      const { changes } = await write(makeKit());
      const machines = site.fleet.machines.map(({ id }) => id);
      const { coordination, standby } = site;
      const about = { folder, units: isOfUnits, machines, coordination: coordination.id, standby: standby?.id ?? null };
      return { ...about, step, changes };
    }
    default: {
      const asked = askedOf(positionals[0], folder, values);
      const { owner } = kit;
      if (asked.act === 'restore') await refuseBesidePromoted(folder, site, progress);
      const done = await (isOfUnits ? actOnUnits(asked, { site, files, owner: owner! }) : actInContainers(asked));
      return { folder, units: isOfUnits, done };
    }
  }
}

/** @throws CONFLICT where this machine does not run by the folder yet: it could not open what the new keys seal */
async function refuseUnapplied({ site, files }: Kit, folder: string, isOfUnits: boolean): Promise<void> {
  const { id } = site.coordination;
  const changes = isOfUnits
    ? await unitChanges(unitHost(), folder, unitsOf(files, id))
    : (await standing(folder, files, filesOf(site, site.coordination), process.env)).changes;
  if (changes.length > 0)
    throw new DomainError(
      'CONFLICT',
      `new keys are spread, and ${id} does not run with them yet: soulfra deploy apply there, and on every other machine, first`,
    );
}

let last: object;
try {
  last = { result: await run() };
} catch (err) {
  process.exitCode = 1;
  if (isDomainError(err)) {
    const mend = err instanceof DomainError && err.fields.length === 0 ? null : errorTable[err.code].mend;
    last = { failed: { code: err.code, message: err.message, mend } };
  } else {
    process.stderr.write(`${err instanceof Error ? (err.stack ?? err.message) : String(err)}\n`);
    last = { failed: { code: 'INTERNAL', message: err instanceof Error ? err.message : String(err), mend: null } };
  }
}
process.stdout.write(`${JSON.stringify(last)}\n`);
