import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { parseFleet } from '../../config/fleet-file.ts';
import { fleetNames, readServiceFiles, readServiceSources } from '../../config/service-files.ts';
import { yamlErrorLines } from '../../config/yaml-file.ts';
import { isDomainError } from '../../domain/errors.ts';
import { type FleetChange } from '../../domain/fleet-changes.ts';
import { fleetChangeLines } from '../../domain/fleet-change-lines.ts';
import { fleetAgents } from '../../domain/fleet.ts';
import { placeableService } from '../../domain/service-placement.ts';
import type { ServiceFile } from '../../domain/services.ts';
import { checkCadence } from '../../domain/placement-cadence.ts';
import { badInput, CommandFailure, exitCodes } from '../failures.ts';
import { confirm, good, line, printJson } from '../output.ts';
import { type PlanSummary, planLines } from '../plans.ts';
import { outputOf, sessionOf } from '../program.ts';

const defaultFile = 'fleet.yaml';

interface Applied {
  changes: FleetChange[];
  version: number | null;
  planVersion: number | null;
  servicesKept?: number;
  plan?: { before: PlanSummary | null; after: PlanSummary };
}

interface FleetFile {
  path: string;
  source: string;
}

export function configCommands(program: Command): void {
  program
    .command('config')
    .description('fleet.yaml by itself')
    .command('check')
    .argument('[file]', 'the file', defaultFile)
    .description('every error of the file, and of fleet.d beside it, with its line; needs nothing running')
    .action((file: string, _options: object, command: Command) => {
      const { json } = outputOf(command);
      const parsed = parseFleet(readSource(file), file);
      const beside = readServiceFiles(file, 'fleet' in parsed ? fleetNames(parsed.fleet) : undefined);
      const errors = [parsed, beside].flatMap((read) => ('errors' in read ? read.errors : []));
      if ('errors' in parsed || 'errors' in beside) {
        if (json) printJson({ errors });
        else for (const text of yamlErrorLines(errors)) line(text);
        const where = 'errors' in parsed ? file : 'fleet.d';
        throw new CommandFailure(`${where} has ${errors.length} error${errors.length === 1 ? '' : 's'}`, {
          exitCode: exitCodes.badInput,
          code: 'CONFIG_INVALID',
        });
      }
      const specs = beside.files.flatMap((each) => each.services);
      checkSpeed(() => checkCadence(parsed.fleet, [], [], specs.map(placeableService)));
      const agents = fleetAgents(parsed.fleet).length;
      const services = specs.length;
      const more = beside.files.length === 0 ? {} : { services };
      if (json) printJson({ errors: [], machines: parsed.fleet.machines.length, agents, ...more });
      else {
        const told = beside.files.length === 0 ? '' : `, ${services} services in fleet.d`;
        line(`${good('✔')} ${file}: ${parsed.fleet.machines.length} machines, ${agents} agents${told}`);
      }
    });

  program
    .command('apply')
    .argument('[file]', 'the file', defaultFile)
    .option('--dry-run', 'say what would change and how the plan would look; change nothing')
    .description(
      'make the fleet what the file says, and fleet.d beside it; nothing is deleted, who is no longer named is retired',
    )
    .action(async (file: string, { dryRun = false }: { dryRun?: boolean }, command: Command) => {
      await applyFile(sessionOf(command), file, dryRun);
    });

  program
    .command('export')
    .option('--to <folder>', 'write fleet.yaml and fleet.d there instead; what lies there already is not written over')
    .description('the living fleet as fleet.yaml, on standard output')
    .action(async ({ to }: { to?: string }, command: Command) => {
      const { client, json } = sessionOf(command);
      if (to === undefined) {
        process.stdout.write(await client.text('/fleet/export'));
        return;
      }
      const { files } = await client.get<{ files: FleetFile[] }>('/fleet/files');
      writeFiles(to, files);
      if (json) printJson({ files: files.map(({ path }) => join(to, path)) });
      else for (const { path } of files) line(`${good('✔')} ${join(to, path)}`);
    });

  program
    .command('undo')
    .option('--dry-run', 'say what would change; change nothing')
    .description('apply the version before the living one again, as a new version')
    .action(async ({ dryRun = false }: { dryRun?: boolean }, command: Command) => {
      const session = sessionOf(command);
      const planned = await session.client.post<Applied>('/fleet/undo', {}, { dryRun: true });
      if (session.json && dryRun) return printJson(planned);
      if (!session.json) showPlanned(planned);
      if (dryRun || !(await confirm('Undo?', session))) return;
      const applied = await session.client.post<Applied>('/fleet/undo');
      if (session.json) printJson(applied);
      else line(`${good('✔')} version ${applied.version}`);
    });
}

/** Shows what would change, asks, and applies it. @returns false where the answer was no, or nothing was to be done */
export async function applyFile(session: ReturnType<typeof sessionOf>, file: string, dryRun = false): Promise<boolean> {
  const files = { source: readSource(file), ...readServices(file) };
  const planned = await session.client.post<Applied>('/fleet/apply', files, { dryRun: true });
  if (!session.json && planned.servicesKept !== undefined)
    line(`fleet.d is not there: ${planned.servicesKept} services stay as they are; an empty folder retires them.`);
  if (dryRun) {
    if (session.json) printJson(planned);
    else showPlanned(planned);
    return false;
  }
  if (planned.changes.length === 0) {
    if (session.json) printJson(planned);
    else line('Nothing changes.');
    return false;
  }
  if (!session.json) for (const text of fleetChangeLines(planned.changes)) line(text);
  if (!(await confirm('Apply?', session))) return false;
  const applied = await session.client.post<Applied>('/fleet/apply', files);
  if (session.json) printJson(applied);
  else line(`${good('✔')} version ${applied.version}; plan ${applied.planVersion} is being made (soulfra fleet show)`);
  return true;
}

/** All or none is checked before anything is written. */
function writeFiles(folder: string, files: readonly FleetFile[]): void {
  const taken = files.map(({ path }) => join(folder, path)).filter((path) => existsSync(path));
  if (taken.length > 0) throw badInput(`${taken.join(', ')} is there already`, 'Name another folder.');
  for (const { path, source } of files) {
    const at = join(folder, path);
    mkdirSync(dirname(at), { recursive: true });
    writeFileSync(at, source, { flag: 'wx' });
  }
}

/** What is beside fleet.yaml; a fleet without the folder says nothing of services. */
function readServices(file: string): { serviceFiles?: ServiceFile[] } {
  const read = readServiceSources(file);
  if (read.errors.length > 0) throw badInput(yamlErrorLines(read.errors).join('\n'));
  return read.folder ? { serviceFiles: read.files } : {};
}

function readSource(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (err) {
    throw badInput(
      `${file} cannot be read: ${(err as Error).message}`,
      'Name the file, or make one with `soulfra export`.',
    );
  }
}

function checkSpeed(check: () => void): void {
  try {
    check();
  } catch (err) {
    if (!isDomainError(err)) throw err;
    throw new CommandFailure(err.message, {
      exitCode: exitCodes.badInput,
      code: err.code,
      fields: err.fields,
      cause: err,
    });
  }
}

function showPlanned({ changes, plan }: Applied): void {
  if (changes.length === 0) line('Nothing changes.');
  for (const text of fleetChangeLines(changes)) line(text);
  if (!plan) return;
  line();
  if (plan.before) line(`before\n${planLines(plan.before).join('\n')}\n`);
  line(`after\n${planLines(plan.after).join('\n')}`);
}
