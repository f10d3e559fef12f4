import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Fleet, modelVariants } from '../domain/fleet.ts';
import {
  breachesOfServices,
  mostServices,
  type ParsedServices,
  type ServiceFile,
  servicesFileSchema,
} from '../domain/services.ts';
import { byCodeUnit } from '../domain/three-way.ts';
import { type Breach, parseYamlFile, type YamlFileError } from './yaml-file.ts';

export const mostServiceFiles = 200;
/** Of one file, and of all of them together. */
export const mostServiceBytes = 8 * 1024 * 1024;

export const serviceRules = {
  schema: servicesFileSchema,
  tooLong: 'Divide it into several files of fleet.d/.',
  breaches: (): Breach[] => [],
};

/** The folder of the owner's services, beside fleet.yaml. */
export function serviceFolderOf(fleetFile: string): string {
  return join(dirname(fleetFile), 'fleet.d');
}

/**
 * Every `*.yaml` of the folder beside fleet.yaml, in the order of their names; hidden ones are not read.
 */
export function readServiceSources(fleetFile: string): {
  files: ServiceFile[];
  /** Whether there is such a folder. */
  folder: boolean;
  errors: YamlFileError[];
} {
  const folder = serviceFolderOf(fleetFile);
  const errors: YamlFileError[] = [];
  const tell = (file: string, rule: string, mend: string) =>
    errors.push({ file, line: 1, column: 1, path: '', rule, mend });
  const names = namesIn(folder, (rule) => tell(folder, rule, 'Make it a folder that can be read, or remove it.'));
  if ((names ?? []).length > mostServiceFiles)
    tell(folder, `must hold at most ${mostServiceFiles} files`, 'Join some.');
  const files = (names ?? []).slice(0, mostServiceFiles).flatMap((name) => {
    const path = join(folder, name);
    const read = readRegularFile(path, mostServiceBytes);
    if (typeof read === 'string') return [{ name, source: read }];
    tell(path, read.rule, 'Put a file in its place, or remove it.');
    return [];
  });
  const bytes = files.reduce((sum, { source }) => sum + Buffer.byteLength(source), 0);
  if (bytes > mostServiceBytes) tell(folder, `must hold at most ${mostServiceBytes} bytes`, 'Shorten the files.');
  return { files, folder: names !== undefined, errors };
}

/** What services may name of fleet.yaml. */
export interface FleetNames {
  machines: readonly string[];
  models: readonly string[];
}

export function fleetNames(fleet: Pick<Fleet, 'machines' | 'models'>): FleetNames {
  return { machines: fleet.machines.map(({ id }) => id), models: modelVariants(fleet).map(({ id }) => id) };
}

/**
 * The files as they say, or every error of all of them at once.
 * @param fleet ids of the machines and models of fleet.yaml; undefined where there is none to compare with
 * @param pathOf what an error calls a file
 */
export function parseServiceFiles(
  sources: readonly ServiceFile[],
  fleet: FleetNames | undefined,
  pathOf: (name: string) => string = (name) => `fleet.d/${name}`,
): { files: ParsedServices[] } | { errors: YamlFileError[] } {
  const parsed = sources.map(({ name, source }) => {
    const path = pathOf(name);
    return { path, source, read: parseYamlFile(source, path, serviceRules) };
  });
  const known = new Map<string, number>();
  for (const { read } of parsed) {
    if (!('value' in read)) continue;
    for (const { id } of read.value.services) known.set(id, (known.get(id) ?? 0) + 1);
  }
  const whole = parsed.every(({ read }) => 'value' in read);
  const files = parsed.map(({ path, source, read }) => {
    // Where a file cannot be read, its services are not known, and what depends on them would be complained of in vain.
    if (!('value' in read) || !whole) return read;
    const lastly = (value: ParsedServices) =>
      breachesOfServices(value, { known, machines: fleet?.machines, models: fleet?.models });
    return parseYamlFile(source, path, { ...serviceRules, lastly });
  });
  const errors = files.flatMap((read) => ('errors' in read ? read.errors : []));
  if (known.size > mostServices) {
    const rule = `must hold at most ${mostServices} services`;
    errors.push({ file: 'fleet.d', line: 1, column: 1, path: '', rule, mend: 'Describe several of a kind as one.' });
  }
  return errors.length > 0 ? { errors } : { files: files.flatMap((read) => ('value' in read ? [read.value] : [])) };
}

/** Both at once, for a check of the files where they lie. */
export function readServiceFiles(
  fleetFile: string,
  fleet: FleetNames | undefined,
): { files: ParsedServices[] } | { errors: YamlFileError[] } {
  const { files, errors } = readServiceSources(fleetFile);
  const parsed = parseServiceFiles(files, fleet, (name) => join(serviceFolderOf(fleetFile), name));
  const all = [...errors, ...('errors' in parsed ? parsed.errors : [])];
  return all.length > 0 ? { errors: all } : parsed;
}

/** undefined: there is no such folder. */
function namesIn(folder: string, tell: (rule: string) => void): string[] | undefined {
  try {
    return readdirSync(folder)
      .filter((name) => /^[^.].*\.ya?ml$/.test(name))
      .toSorted(byCodeUnit);
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    tell(`cannot be read (${code})`);
    return [];
  }
}

/** A pipe or a device would be waited for without end, and a link may lead anywhere: only a plain file is read. */
export function readRegularFile(path: string, most: number): string | { rule: string; missing?: true } {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { rule: 'is not there', missing: true };
    return { rule: code === 'ELOOP' ? 'must not be a symbolic link' : `cannot be read (${code})` };
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) return { rule: 'must be a plain file' };
    if (stat.size > most) return { rule: `must be at most ${most} bytes long` };
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}
