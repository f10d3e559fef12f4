import { chownSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { appVersion } from '../../config/app-version.ts';
import { serviceEnvironment } from '../../config/environment.ts';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { type DeploySite, deploySite } from '../../domain/deploy-site.ts';
import { DomainError } from '../../domain/errors.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';
import type { UnitHost } from './apply-units.ts';
import { portClashes, refuseFaults } from './host-checks.ts';
import type { HostLayout } from './host-parts.ts';
import type { RingPrints } from './key-rotation.ts';
import { composeKit, hostKit, type KitFiles, portRows, readShipped } from './kit.ts';
import { type Owner, ownerOfParts } from './made-once.ts';
import { findPrograms, unitFiles } from './units.ts';

/** The kit that the fleet's file makes here, in containers or units, and what of this host it goes by. */

export interface Kit {
  /** As whom parts run on a host without Docker; undefined: they run in containers. */
  owner?: Owner;
  site: DeploySite;
  files: KitFiles;
  own: KitFiles;
  image: string;
}

/** As whom the parts run without Docker: root's as a user made for it, else as who asks. */
export function hostUser(): { name: string | undefined; owner: Owner } {
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
export function hostKitOf(file: string, folder: string, moved: boolean, rings: RingPrints): Kit {
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

export function hostLayoutOf(folder: string, moved: boolean): HostLayout {
  const programs = findPrograms(process.env);
  const path = process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin';
  return { folder, root: repositoryRoot, node: process.execPath, app: appVersion(), moved, programs, path };
}

export function kitOf(file: string, moved: boolean, rings: RingPrints): Kit {
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

export function unitHost(): UnitHost {
  const { scope, unitFolder } = serviceEnvironment();
  return { scope, unitFolder, env: process.env };
}
export const hostOf = (folder: string, wanted: ReadonlyMap<string, string>) => ({ folder, wanted, host: unitHost() });

/** What the units may write to. */
export function makeDataFolders(folder: string, names: readonly string[], { uid, gid }: Owner): void {
  for (const name of ['', ...names]) {
    const data = join(folder, 'data', name);
    mkdirSync(data, { recursive: true, mode: 0o700 });
    if (process.getuid?.() === 0) chownSync(data, uid, gid);
  }
}
