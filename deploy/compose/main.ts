import { parseArgs } from 'node:util';
import { chownSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { appVersion } from '../../config/app-version.ts';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { type DeploySite, deploySite } from '../../domain/deploy-site.ts';
import { DomainError, errorTable, isDomainError } from '../../domain/errors.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';
import { applyContainers, filesOf, standing } from './apply.ts';
import { fileChanges, writeFolder } from './folder.ts';
import { diskFaults, machineHere, portClashes, refuseFaults } from './host-checks.ts';
import { dataFoldersOf } from './host-parts.ts';
import { composeKit, hostKit, type KitFiles, portRows, readShipped } from './kit.ts';
import { type Owner, ownerOfParts } from './made-once.ts';
import { findPrograms, unitFiles } from './units.ts';

/**
 * `node deploy/compose/main.ts init|plan|apply`: what `soulfra deploy` starts. Lines of JSON on stdout: `{progress}`, then `{result}`
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
function hostKitOf(file: string, folder: string): Kit {
  const { site, own } = kitOf(file);
  // It stands in scripts and in settings of servers, each with rules of its own for other characters.
  if (!/^[\w./-]+$/.test(folder))
    throw new DomainError(
      'INVALID_INPUT',
      `--out ${folder} has characters other than letters, digits, . _ - and /: choose another folder`,
    );
  const programs = findPrograms(process.env);
  const { name, owner } = hostUser();
  const config = hostKit(site, readShipped(join(repositoryRoot, 'deploy')), folder, programs);
  const path = process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin';
  const layout = { folder, root: repositoryRoot, node: process.execPath, programs, path };
  const files = new Map([...config, ...unitFiles(site, layout, config, name)]);
  return { site, own, files, image: 'none', owner };
}

function kitOf(file: string): Kit {
  const site = deploySite(loadFleetFile(file));
  refuseFaults(portClashes(portRows(site)));
  const shipped = readShipped(join(repositoryRoot, 'deploy'));
  return {
    site,
    files: composeKit(site, shipped),
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
    },
  });
  const folder = resolve(values.out);
  const kit = values.systemd ? hostKitOf(resolve(values.file), folder) : kitOf(resolve(values.file));
  const { site, files, own, image } = kit;
  const write = async () => {
    // Not of the disk's parts to come: that is looked at where they start.
    refuseFaults(diskFaults(folder, 20e6));
    return writeFolder(folder, site, files, own, image, kit.owner);
  };
  switch (positionals[0]) {
    case 'init': {
      const { changes, made } = await write();
      if (kit.owner !== undefined) makeDataFolders(folder, site, kit.owner);
      return {
        folder,
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
      const { changes: containers } = await standing(folder, files, filesOf(site, machine), process.env);
      return { folder, machine: machine.id, files: changes, containers };
    }
    case 'apply': {
      const machine = machineHere(site, values.machine);
      const { changes, made } = await write();
      for (const { path, action } of changes) progress(`${path}: ${action}`);
      const containers = await applyContainers({ folder, kit: files, site, machine, env: process.env, say: progress });
      return { folder, machine: machine.id, files: changes, made, containers };
    }
    default:
      throw new TypeError(`unknown: ${positionals[0] ?? 'nothing to do'}`);
  }
}

/** What the units may write to. */
function makeDataFolders(folder: string, site: DeploySite, { uid, gid }: Owner): void {
  for (const name of ['', ...dataFoldersOf(site)]) {
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
