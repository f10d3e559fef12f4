import { parseArgs } from 'node:util';
import { join, resolve } from 'node:path';
import { appVersion } from '../../config/app-version.ts';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { type DeploySite, deploySite } from '../../domain/deploy-site.ts';
import { DomainError, errorTable, isDomainError } from '../../domain/errors.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';
import { applyContainers, filesOf, standing } from './apply.ts';
import { fileChanges, writeFolder } from './folder.ts';
import { diskFaults, machineHere, portClashes, refuseFaults } from './host-checks.ts';
import { composeKit, type KitFiles, portRows, readShipped } from './kit.ts';

/**
 * `node deploy/compose/main.ts init|plan|apply`: what `soulfra deploy` starts. Lines of JSON on stdout: `{progress}`, then `{result}`
 * or `{failed}`.
 */

const say = (line: object) => void process.stdout.write(`${JSON.stringify(line)}\n`);
const progress = (text: string) => say({ progress: text, share: null });

interface Kit {
  site: DeploySite;
  files: KitFiles;
  own: KitFiles;
  image: string;
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
    },
  });
  const folder = resolve(values.out);
  const { site, files, own, image } = kitOf(resolve(values.file));
  const write = async () => {
    // Not of the disk's parts to come: that is looked at where they start.
    refuseFaults(diskFaults(folder, 20e6));
    return writeFolder(folder, site, files, own, image);
  };
  switch (positionals[0]) {
    case 'init': {
      const { changes, made } = await write();
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
