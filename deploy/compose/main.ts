import { parseArgs } from 'node:util';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { appVersion } from '../../config/app-version.ts';
import { serviceEnvironment } from '../../config/environment.ts';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { type DeploySite, deploySite } from '../../domain/deploy-site.ts';
import { DomainError, errorTable, isDomainError } from '../../domain/errors.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { openSeal } from '../backup/seal.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';
import { refuseMoved } from '../embedded/moved.ts';
import { secretsOfHome } from '../move/secrets.ts';
import { takeHome, type Taken, type TakeOptions } from '../move/take.ts';
import { applyContainers, filesOf, standing } from './apply.ts';
import {
  applyUnits,
  refuseHostFaults,
  runningUnits,
  unitChanges,
  type UnitHost,
  unitsIn,
  unitsOf,
} from './apply-units.ts';
import { actInContainers, type ActOnCluster, actOnHost, clusterActs } from './cluster-acts.ts';
import { fileChanges, writeFolder } from './folder.ts';
import {
  answersAt,
  dropOldPromotion,
  lossOf,
  markPromotion,
  promoteStandby,
  promotionIn,
  refuseNewSecrets,
} from './promote.ts';
import { diskFaults, machineHere, portClashes, refuseFaults } from './host-checks.ts';
import { movedArchive, movedKey } from './coordination.ts';
import { dataFoldersOf, type HostLayout, type HostPart, hostParts, promotedHostParts } from './host-parts.ts';
import { isSpread, type RingPrints, ringPrints, rotateKeys } from './key-rotation.ts';
import { composeKit, hostKit, type KitFiles, portRows, promotedFile, readShipped } from './kit.ts';
import { type Owner, ownerOfParts } from './made-once.ts';
import { refuseBesidePromoted } from './other-first-one.ts';
import { promotedFolder } from './standby.ts';
import { composeStandby, kitIn, promotedFilesOf, unitStandby } from './standby-host.ts';
import { findPrograms, unitFiles } from './units.ts';

/**
 * `node deploy/compose/main.ts init|plan|apply|rotate|promote|backup|backups|verify|drill|restore`: what `soulfra deploy` starts. Lines of JSON on stdout: `{progress}`, then `{result}`
 * or `{failed}`.
 */

const say = (line: object) => void process.stdout.write(`${JSON.stringify(line)}\n`);
const progress = (text: string) => say({ progress: text, share: null });

interface Kit {
  /** As whom parts run on a host without Docker; undefined: they run in containers. */
  owner?: Owner;
  site: DeploySite;
  files: KitFiles;
  own: KitFiles;
  image: string;
}

/** As whom the parts run without Docker: root's as a user made for it, else as who asks. */
function hostUser(): { name: string | undefined; owner: Owner } {
  if (process.getuid?.() !== 0) return { name: undefined, owner: ownerOfParts() };
  const row = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((line) => line.startsWith('soulfra:'));
  if (row === undefined)
    throw new DomainError(
      'UNAVAILABLE',
      'there is no user soulfra, as whom the parts run: useradd --system --user-group --no-create-home --shell /usr/sbin/nologin soulfra',
    );
  const [, , uid, gid] = row.split(':');
  return { name: 'soulfra', owner: { uid: Number(uid), gid: Number(gid) } };
}

/** Units in place of compose files. */
function hostKitOf(file: string, folder: string, moved: boolean, rings: RingPrints): Kit {
  const { site, own } = kitOf(file, moved, rings);
  // It stands in scripts and in settings of servers, each with rules of its own for other characters.
  if (!/^[\w./-]+$/.test(folder))
    throw new DomainError(
      'INVALID_INPUT',
      `--out ${folder} has characters other than letters, digits, . _ - and /: choose another folder`,
    );
  const layout = { ...hostLayoutOf(folder, moved), rings };
  const { name, owner } = hostUser();
  const config = hostKit(site, readShipped(join(repositoryRoot, 'deploy')), folder, layout.programs, { moved });
  const files = new Map([...config, ...unitFiles(site, layout, config, name)]);
  return { site, own, files, image: 'none', owner };
}

function hostLayoutOf(folder: string, moved: boolean): HostLayout {
  const programs = findPrograms(process.env);
  const path = process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin';
  return { folder, root: repositoryRoot, node: process.execPath, app: appVersion(), moved, programs, path };
}

function kitOf(file: string, moved: boolean, rings: RingPrints): Kit {
  const site = deploySite(loadFleetFile(file));
  refuseFaults(portClashes(portRows(site)));
  const shipped = readShipped(join(repositoryRoot, 'deploy'));
  return {
    site,
    files: composeKit(site, shipped, { moved, rings }),
    own: new Map([['own/alertmanager.yaml', shipped.alertmanager]]),
    image: `soulfra:${appVersion()}`,
  };
}

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
    return promote(folder, isOfUnits, values.machine, { fence: values.fence, oldIsOff: values['old-is-off'] });
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

const isAct = (word: string | undefined) => clusterActs.some((each) => each === word);

/** Since the last `init`: what it runs is that of a promoted one, whatever lies beside. */
function tookOver(folder: string): boolean {
  const file = join(folder, 'config/fleet.yaml');
  return existsSync(file) && promotionIn(folder, deploySite(loadFleetFile(file))) !== undefined;
}

function askedOf(word: string | undefined, folder: string, told: { to?: string; second?: boolean }): ActOnCluster {
  const act = clusterActs.find((each) => each === word);
  if (act === undefined) throw new TypeError(`unknown: ${word ?? 'nothing to do'}`);
  const args = [...(told.to === undefined ? [] : ['--to', told.to]), ...(told.second === true ? ['--second'] : [])];
  return { act, args, file: 'coordination.yaml', folder, env: process.env, say: progress };
}

/** Beside the data of this host, as whose it is. */
async function actOnUnits(
  asked: ActOnCluster,
  { site, files, owner }: { site: DeploySite; files: KitFiles; owner: Owner },
): Promise<unknown> {
  const layout = hostLayoutOf(asked.folder, false);
  return actBeside(asked, owner, hostParts(site, site.coordination, layout), unitsOf(files, site.coordination.id));
}

/** The same where the standby has taken over. */
async function actOnPromotedUnits(asked: ActOnCluster, site: DeploySite, machine: FleetMachine): Promise<unknown> {
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

/** The archive and its key, for whoever brings the fleet in. */
async function moveInto(
  folder: string,
  from: string,
  owner: Owner,
  schedules: Pick<TakeOptions, 'resumeSchedules' | 'pausedByFile'>,
): Promise<Taken> {
  const archive = join(folder, movedArchive);
  const keyFile = join(folder, 'secrets', movedKey);
  const isRoot = process.getuid?.() === 0;
  // From here on an apply knows that the folder waits for a fleet.
  mkdirSync(dirname(archive), { recursive: true });
  chmodSync(dirname(archive), 0o711);
  const seal = await openSeal({ keyFile, passphrase: undefined }, { make: true });
  if (isRoot) chownSync(keyFile, owner.uid, owner.gid);
  return takeHome({
    from,
    archive,
    to: folder,
    ...(isRoot && { owner }),
    seal,
    env: process.env,
    ...schedules,
    progress,
  });
}

function unitHost(): UnitHost {
  const { scope, unitFolder } = serviceEnvironment();
  return { scope, unitFolder, env: process.env };
}
const hostOf = (folder: string, wanted: ReadonlyMap<string, string>) => ({ folder, wanted, host: unitHost() });

/** On another machine than the coordinating one, which has its part of the folder and nothing that makes it. */
async function broughtHere(
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

/** On the standby: it becomes the first one. On any other machine: that follows the standby from then on. */
async function promote(
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

/** What the units may write to. */
function makeDataFolders(folder: string, names: readonly string[], { uid, gid }: Owner): void {
  for (const name of ['', ...names]) {
    const data = join(folder, 'data', name);
    mkdirSync(data, { recursive: true, mode: 0o700 });
    if (process.getuid?.() === 0) chownSync(data, uid, gid);
  }
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
