import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  definitionOf,
  environmentFileOf,
  environmentFileText,
  ownerOfUnit,
  type SystemdScope,
  unitNameOf,
  type UnitOwner,
  unitText,
} from '../../domain/service-units.ts';
import { type CommandResult, runProgram, saidBy } from './commands.ts';
import { readIfThere, removeIfThere, writeWhole } from './files.ts';
import { NotStarted, type SupervisedState, type Supervisor } from './supervisor.ts';

export interface SystemdOptions {
  machineId: string;
  scope: SystemdScope;
  /** Where its units are read from. */
  unitFolder: string;
  /** Where variables of services are kept. */
  dataFolder: string;
}

/** Longer than TimeoutStopSec of a unit. */
const stopMs = 60_000;

/** Codes by which systemd itself says that it could not run a program. */
const notRun = new Map([
  [200, 'its working directory is not there'],
  [203, 'its program cannot be run'],
  [217, 'its user is not there'],
]);

/** Whether the systemd of this scope runs and answers. */
export async function systemdAnswers(scope: SystemdScope): Promise<boolean> {
  return (await systemctl(scope, ['show', '--property=Version'], 10_000)).code === 0;
}

/** Services as units of systemd: it starts them again, bounds them and keeps their logs. */
export function createSystemd({ machineId, scope, unitFolder, dataFolder }: SystemdOptions): Supervisor {
  const unitFile = (serviceId: string) => join(unitFolder, unitNameOf(serviceId));
  const environmentFile = (serviceId: string) => environmentFileOf(dataFolder, serviceId);
  const asked = (args: readonly string[], timeoutMs?: number) => systemctl(scope, args, timeoutMs);

  function isOwn(owner: UnitOwner | undefined): owner is UnitOwner {
    return owner?.machineId === machineId && owner.dataFolder === dataFolder;
  }

  async function must(args: readonly string[], timeoutMs?: number): Promise<CommandResult> {
    const result = await asked(args, timeoutMs);
    if (result.code !== 0) throw new Error(`systemctl ${args.join(' ')}: ${saidBy(result)}`);
    return result;
  }

  async function lookAll(serviceIds: readonly string[]): Promise<SupervisedState[]> {
    if (serviceIds.length === 0) return [];
    const names = ['ActiveState', 'SubState', 'Result', 'ExecMainStatus'];
    const units = serviceIds.map(unitNameOf);
    const { stdout } = await must(['show', ...names.map((name) => `--property=${name}`), ...units]);
    // One block a unit, in the order in which they were named.
    return stdout.trim().split('\n\n').map(stateOf);
  }

  async function look(serviceId: string): Promise<SupervisedState> {
    const [state] = await lookAll([serviceId]);
    return state!;
  }

  return {
    async start(service) {
      const { id } = service;
      const unit = unitText(service, scope, dataFolder);
      const variables = environmentFileText(service.environment);
      const before = await readIfThere(unitFile(id));
      const other = before === undefined ? undefined : ownerOfUnit(before);
      if (before !== undefined && other?.dataFolder !== dataFolder) {
        const whose = other === undefined ? 'Soulfra has not written' : `belongs to the Soulfra of ${other.dataFolder}`;
        throw new NotStarted(
          `there is a unit ${unitNameOf(id)} that ${whose}; remove it, or give the service another id`,
        );
      }
      const variablesBefore = (await readIfThere(environmentFile(id))) ?? '';
      const same = before !== undefined && definitionOf(before) === definitionOf(unit) && variablesBefore === variables;
      const { state } = await look(id);
      if (same && before === unit && state === 'running') return;
      // Before the file is written: whoever ends in between leaves a stopped unit, and not an old one behind a new file.
      if (!same && state !== 'stopped') await must(['stop', unitNameOf(id)], stopMs);
      if (variables === '') await removeIfThere(environmentFile(id));
      else await writeWhole(environmentFile(id), variables);
      await writeWhole(unitFile(id), unit);
      await must(['daemon-reload']);
      if (same && state === 'running') return;
      // Its earlier failures count no more; a unit that has none is no error of ours.
      await asked(['reset-failed', unitNameOf(id)]);
      const started = await asked(['start', unitNameOf(id)], stopMs);
      if (started.code === 0) return;
      const { reason } = await look(id);
      throw new NotStarted(`systemd does not start it: ${reason === '' ? saidBy(started) : reason}`);
    },

    async stop(serviceId) {
      const unit = await readIfThere(unitFile(serviceId));
      if (unit !== undefined && !isOwn(ownerOfUnit(unit))) return;
      if ((await look(serviceId)).state !== 'stopped') await must(['stop', unitNameOf(serviceId)], stopMs);
      await asked(['reset-failed', unitNameOf(serviceId)]);
      if (unit === undefined) return;
      // Last, so that whoever ends before it finds the unit again.
      await removeIfThere(environmentFile(serviceId));
      await removeIfThere(unitFile(serviceId));
      await must(['daemon-reload']);
    },

    look,
    lookAll,

    async own() {
      const found: string[] = [];
      for (const name of await namesIn(unitFolder)) {
        if (!name.startsWith('soulfra-') || !name.endsWith('.service')) continue;
        const owner = ownerOfUnit((await readIfThere(join(unitFolder, name))) ?? '');
        if (isOwn(owner) && unitNameOf(owner.serviceId) === name) found.push(owner.serviceId);
      }
      return found;
    },
  };
}

function stateOf(block: string): SupervisedState {
  const of = new Map(block.split('\n').map((line) => line.split('=', 2) as [string, string]));
  const code = Number(of.get('ExecMainStatus'));
  const ended = notRun.get(code) ?? `it ended with code ${code} (${of.get('Result')})`;
  if (of.get('ActiveState') === 'active') return { state: 'running', reason: '' };
  if (of.get('ActiveState') === 'failed') return { state: 'failed', reason: ended };
  if (of.get('SubState') === 'auto-restart') return { state: 'starting', reason: `${ended} and is started again` };
  if (of.get('ActiveState') === 'inactive') return { state: 'stopped', reason: ended };
  return { state: 'starting', reason: 'it does not stand yet' };
}

function systemctl(scope: SystemdScope, args: readonly string[], timeoutMs?: number): Promise<CommandResult> {
  const all = [`--${scope}`, '--no-pager', '--no-ask-password', ...args];
  return runProgram('systemctl', all, timeoutMs === undefined ? {} : { timeoutMs });
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw err;
  }
}
