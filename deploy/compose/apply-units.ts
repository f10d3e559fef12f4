import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DeploySite } from '../../domain/deploy-site.ts';
import { DomainError } from '../../domain/errors.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import type { SystemdScope } from '../../domain/service-units.ts';
import { writeText } from '../embedded/home.ts';
import { output } from '../embedded/resolve.ts';
import { readIfThere } from './folder.ts';
import { diskFaults, gpuFaults, portsTaken, refuseFaults } from './host-checks.ts';
import { type KitFiles, portRows } from './kit.ts';
import { mendsFor } from './start-faults.ts';
import { partOfUnit, unitOf } from './units.ts';

/** Units of this machine, brought to what the folder says: the text of a unit that systemd has is always that of what runs. */

type Say = (text: string) => void;

/** A start ends when the part answers, and units give up after 15 minutes by themselves. */
const startMs = 16 * 60_000;
const stopMs = 3 * 60_000;

type Env = Readonly<Record<string, string | undefined>>;

export interface UnitHost {
  scope: SystemdScope;
  /** Where systemd reads units of this scope from. */
  unitFolder: string;
  env: Env;
}

export interface UnitChange {
  unit: string;
  action: 'create' | 'change' | 'start' | 'enable' | 'remove';
}

interface UnitState {
  active: string;
  enabled: boolean;
}

/** Texts of a machine's units by their names. */
export type Units = ReadonlyMap<string, string>;

export function unitsOf(files: KitFiles, machineId: string): Units {
  const at = `units/${machineId}/`;
  return new Map([...files].flatMap(([path, text]) => (path.startsWith(at) ? [[path.slice(at.length), text]] : [])));
}

/** As they lie in a folder that was brought here without what makes it. */
export function unitsIn(folder: string, machineId: string): Units {
  const at = join(folder, 'units', machineId);
  const names = namesIn(at).filter((name) => name.endsWith('.service'));
  if (names.length === 0)
    throw new DomainError(
      'NOT_FOUND',
      `${at} has no units: copy what machines/${machineId}.files names from the coordinating machine to the same folder here`,
    );
  return new Map(names.map((name) => [name, readIfThere(join(at, name))!]));
}

export async function unitChanges(host: UnitHost, folder: string, wanted: Units): Promise<UnitChange[]> {
  await mustAnswer(host);
  const installed = installedOf(host, folder);
  const states = await statesOf(host, [...wanted.keys()]);
  const changes = [...wanted].flatMap(([unit, text]): UnitChange[] => {
    const there = installed.get(unit);
    if (there === undefined) return [{ unit, action: 'create' }];
    if (there !== text) return [{ unit, action: 'change' }];
    const { active, enabled } = states.get(unit)!;
    if (active !== 'active') return [{ unit, action: 'start' }];
    return enabled ? [] : [{ unit, action: 'enable' }];
  });
  const gone = [...installed.keys()].filter((unit) => !wanted.has(unit));
  return [...changes, ...gone.map((unit): UnitChange => ({ unit, action: 'remove' }))];
}

export async function applyUnits(options: {
  folder: string;
  wanted: Units;
  host: UnitHost;
  say: Say;
}): Promise<UnitChange[]> {
  const { folder, wanted, host, say } = options;
  const changes = await unitChanges(host, folder, wanted);
  if (changes.length === 0) return changes;
  for (const { unit, action } of changes) say(`${unit}: ${action}`);
  const order = inOrder(wanted);
  // Stopped before it is written anew: cut off in between, there is a stopped unit, and not an old process behind a new text. What
  // needs it stops with it.
  const stale = changes.filter(({ action }) => action === 'change' || action === 'remove').map(({ unit }) => unit);
  if (stale.length > 0) await must(host, ['stop', ...stale], stopMs);
  mkdirSync(host.unitFolder, { recursive: true });
  for (const { unit, action } of changes) {
    const file = join(host.unitFolder, unit);
    if (action === 'remove') {
      await must(host, ['disable', unit]);
      rmSync(file, { force: true });
    } else if (action === 'create' || action === 'change') writeText(file, wanted.get(unit)!, 0o644);
  }
  await must(host, ['daemon-reload']);
  await must(host, ['enable', ...order]);
  let up = 0;
  for (const unit of order) {
    const { active } = (await statesOf(host, [unit])).get(unit)!;
    if (active !== 'active') {
      // Earlier failures count no more.
      if (active === 'failed') await must(host, ['reset-failed', unit]);
      await systemctl(host, ['start', unit], startMs).catch(async (err: Error) => {
        throw await startFailed(host, folder, unit, err);
      });
    }
    up += 1;
    say(`${unit}: ${isOnce(wanted.get(unit)!) ? 'done' : 'ready'} (${up} of ${order.length})`);
  }
  return changes;
}

/** Those that systemd does not have at rest. A job that is done counts as at rest: it does nothing more. */
export async function runningUnits(host: UnitHost, units: readonly string[]): Promise<string[]> {
  await mustAnswer(host);
  const once = new Set(units.filter((unit) => isOnce(readIfThere(join(host.unitFolder, unit)) ?? '')));
  const resting = (unit: string, active: string) =>
    ['inactive', 'failed'].includes(active) || (once.has(unit) && active === 'active');
  return [...(await statesOf(host, units))].flatMap(([unit, { active }]) => (resting(unit, active) ? [] : [unit]));
}

/** What is wrong with the host, before anything is changed. */
export async function refuseHostFaults(
  site: DeploySite,
  machine: FleetMachine,
  options: { folder: string; wanted: Units; host: UnitHost },
): Promise<void> {
  const { folder, wanted, host } = options;
  await mustAnswer(host);
  const states = await statesOf(host, [...wanted.keys()]);
  const idle = new Set(
    [...states].flatMap(([unit, { active }]) => (['active', 'activating'].includes(active) ? [] : [partOfUnit(unit)])),
  );
  const rows = portRows(site).filter(({ machineId, service }) => machineId === machine.id && idle.has(service));
  refuseFaults([
    ...(await portsTaken(rows, new Set())),
    ...diskFaults(folder),
    ...(await gpuFaults(machine, host.env, false)),
  ]);
}

/** Units of this kit that systemd has. @throws CONFLICT where another folder's have their names */
function installedOf({ unitFolder }: UnitHost, folder: string): Map<string, string> {
  const installed = new Map<string, string>();
  const prefix = unitOf('').replace(/\.service$/, '');
  for (const name of namesIn(unitFolder).filter((each) => each.startsWith(prefix) && each.endsWith('.service'))) {
    const text = readIfThere(join(unitFolder, name)) ?? '';
    const owner = /^WorkingDirectory=(.*)$/m.exec(text)?.[1];
    if (owner !== folder)
      throw new DomainError(
        'CONFLICT',
        `${join(unitFolder, name)} is of ${owner === undefined ? 'nobody that says so' : `the deployment in ${owner}`}: one host has one. Remove it (systemctl disable --now ${name}, then the file), or use that folder by --out`,
      );
    installed.set(name, text);
  }
  return installed;
}

/** Each after what it requires. */
function inOrder(wanted: Units): string[] {
  const order: string[] = [];
  const visit = (unit: string) => {
    const text = wanted.get(unit);
    if (text === undefined || order.includes(unit)) return;
    for (const needed of /^Requires=(.*)$/m.exec(text)?.[1]?.split(' ') ?? []) visit(needed);
    order.push(unit);
  };
  for (const unit of wanted.keys()) visit(unit);
  return order;
}

const isOnce = (text: string) => /^Type=oneshot$/m.test(text);

async function statesOf(host: UnitHost, units: readonly string[]): Promise<Map<string, UnitState>> {
  if (units.length === 0) return new Map();
  const shown = await must(host, ['show', '--property=ActiveState', '--property=UnitFileState', ...units]);
  // One block a unit, in the order in which they were named.
  const blocks = shown.trim().split('\n\n');
  return new Map(
    units.map((unit, i) => {
      const property = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(blocks[i] ?? '')?.[1] ?? '';
      return [unit, { active: property('ActiveState'), enabled: property('UnitFileState') === 'enabled' }];
    }),
  );
}

/** With its last lines, so that a wrong secret or a full disk stands in the message. */
async function startFailed(host: UnitHost, folder: string, unit: string, err: Error): Promise<DomainError> {
  // It ends with a code of its own where a unit does not run.
  const words = ['-c', 'systemctl "$@" || true', 'sh', ...argumentsFor(host), 'status', '--lines=8', '--full', unit];
  const said = await output('sh', words, { env: host.env, timeoutMs: 30_000 });
  const lines = said.split('\n').filter((line) => line.trim() !== '');
  const mends = mendsFor(said, folder).map((mend) => `${mend}\n`);
  return new DomainError(
    'UNAVAILABLE',
    `${unit} does not come up: ${err.message}\n${lines.slice(-9).join('\n')}\n${mends.join('')}Mend it and apply again: what is up stays as it is.`,
    { cause: err },
  );
}

async function mustAnswer(host: UnitHost): Promise<void> {
  await systemctl(host, ['show', '--property=Version'], 10_000).catch((err: Error) => {
    throw new DomainError(
      'UNAVAILABLE',
      `systemd does not answer here (${err.message}): units need a host that it runs, ${host.scope === 'user' ? 'and a session of their user (loginctl enable-linger)' : 'and root'}`,
      { cause: err },
    );
  });
}

async function must(host: UnitHost, args: readonly string[], timeoutMs?: number): Promise<string> {
  return systemctl(host, args, timeoutMs).catch((err: Error) => {
    throw new DomainError('UNAVAILABLE', `systemctl ${args.join(' ')}: ${err.message}`, { cause: err });
  });
}

const argumentsFor = ({ scope }: UnitHost) => [`--${scope}`, '--no-pager', '--no-ask-password'];

function systemctl(host: UnitHost, args: readonly string[], timeoutMs = 60_000): Promise<string> {
  return output('systemctl', [...argumentsFor(host), ...args], { env: host.env, timeoutMs });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw err;
  }
}
