import { posix } from 'node:path';
import { fieldError } from '../../domain/field-errors.ts';
import { nearest } from '../../domain/nearest.ts';
import { composeFiles } from './compose-files.ts';
import { dockerfiles } from './dockerfiles.ts';
import { createVariables } from './environment-files.ts';
import { kubernetesManifests } from './kubernetes-manifests.ts';
import { type Located, readYaml } from './located-yaml.ts';
import { migrationScripts } from './migration-scripts.ts';
import type { ImportFile, Reader, Reading, ReadingContext } from './reader.ts';
import { requirementFiles } from './requirement-files.ts';
import { startupFiles } from './startup-files.ts';
import { systemdUnits } from './systemd-units.ts';
import { pathFrom, type Skipped, type Tree } from './tree.ts';
import { unitInstances } from './unit-instances.ts';

/** A machine of fleet.yaml, or one that an option names. */
export interface KnownMachine {
  id: string;
  host?: string | undefined;
}

export interface MachineFile {
  machine: string;
  file: string;
}

export interface ReadFleet {
  readings: Array<Reading & { file: string; machine: string | undefined }>;
  /** Those that readers were asked about. */
  files: ImportFile[];
  /** How many files a reader took. */
  filesRead: number;
  /** Keys of YAML mappings that nothing was made of, most frequent first. */
  keysSeen: string[];
  notes: string[];
  skipped: Skipped[];
}

/** In this order: the first that takes a file has it. Startup files take any YAML, so they come last. */
const readers: readonly Reader[] = [
  requirementFiles,
  composeFiles,
  kubernetesManifests,
  systemdUnits,
  dockerfiles,
  migrationScripts,
  startupFiles,
];
const mostFilesTaken = 5_000;
/** Before those that are one service are put together. */
const mostServices = 20_000;
const names =
  /\.(ya?ml|service|txt|in|toml|py|sh|bash|js|mjs|ts|rb|ps1|dockerfile)$|(^|\/)(Dockerfile|Containerfile)([.-][\w.-]+)?$/i;
/** Code is only looked at where its name says that it migrates something; requirement lists only by their name. */
const code = /\.(py|sh|bash|js|mjs|ts|rb|ps1)$/i;
const migrating = /(migrat|(^|\/)wp[-_]?\d|work[-_]packages)[^/]*(\/[^/]*)?$/i;
const lists = /\.(txt|in|toml)$/i;
const listing = /(^|\/)(requirements[^/]*|pyproject\.toml|requirements\/[^/]+)$/i;

/**
 * @param of files of a machine, as the options say
 * @throws DomainError INVALID_INPUT where there are more services than can be held
 */
export function readFleet(tree: Tree, machines: readonly KnownMachine[], of: readonly MachineFile[]): ReadFleet {
  const notes: string[] = [];
  const files = filesOf(tree, notes);
  const byName = new Map(files.map((file) => [file.name, file]));
  const fileNamed = (name: string) => byName.get(name);
  const instances = unitInstances(tree, (said) => notes.push(said));
  let services = 0;
  let machinesOf: ReadonlyMap<string, readonly string[]> = new Map();
  const variables = createVariables(tree);
  const machineNamed = (text: string) => {
    const plain = text.toLowerCase();
    return machines.find(({ id, host }) => id.toLowerCase() === plain || host?.toLowerCase() === plain)?.id;
  };
  const read = (file: ImportFile, reader: Reader, machine: string | undefined): Reading => {
    const context: ReadingContext = {
      machine,
      machineNamed,
      variables: (place) => variables(file.name, place),
      has: tree.has,
      read: tree.read,
      fileNamed,
      unitInstances: (template) =>
        instances(template).map((each) => ({
          ...each,
          machine: machinesOf.get(each.namedBy)?.[0] ?? machineOfName(each.namedBy, machineNamed),
        })),
    };
    const reading = reader.read(file, context);
    services += reading.services?.length ?? 0;
    if (services > mostServices)
      throw fieldError('PATH', `must describe at most ${mostServices} services in all files`, 'Import parts of it.');
    return reading;
  };
  const taken = files.flatMap((file) => {
    const reader = readers.find((each) => each.takes(file));
    return reader === undefined ? [] : [{ file, reader }];
  });
  const includes = new Map(
    taken.map(
      ({ file, reader }) =>
        [file.name, (read(file, reader, undefined).includes ?? []).filter((name) => tree.has(name))] as const,
    ),
  );
  tellCircles(includes, notes);
  machinesOf = spread(of, includes);
  // Each file is read once more, for each of its machines.
  services = 0;
  const readings = taken.flatMap(({ file, reader }) => {
    const own = machinesOf.get(file.name) ?? [machineOfName(file.name, machineNamed)];
    return own.map((machine) => ({ ...read(file, reader, machine), file: file.name, machine }));
  });
  return { readings, files, filesRead: taken.length, keysSeen: keysOf(files), notes, skipped: [...tree.skipped] };
}

function filesOf(tree: Tree, notes: string[]): ImportFile[] {
  const wanted = tree.files.filter(
    (name) =>
      names.test(name) && (!code.test(name) || migrating.test(name)) && (!lists.test(name) || listing.test(name)),
  );
  if (wanted.length > mostFilesTaken) notes.push(`only the first ${mostFilesTaken} of ${wanted.length} files are read`);
  return wanted.slice(0, mostFilesTaken).flatMap((name): ImportFile[] => {
    const text = tree.read(name);
    if (text === undefined) return [];
    if (!/\.ya?ml$/i.test(name)) return [{ name, text }];
    // A chart's template is YAML only once it is filled in.
    if (text.split('\n').some(isFilledIn) && /\{\{-?\s*(\.|if|range|include|with|end|define)/.test(text)) {
      tree.skip(name, 'is a template; import what it renders to');
      return [];
    }
    const read = readYaml(text);
    if ('documents' in read) return [{ name, text, documents: read.documents }];
    tree.skip(name, read.reason);
    return [];
  });
}

/** `{{ }}` before any comment. By hand: a pattern tries a line of brackets from each of them. */
function isFilledIn(line: string): boolean {
  const open = line.indexOf('{{');
  const comment = line.indexOf('#');
  return open !== -1 && (comment === -1 || open < comment) && line.includes('}}', open + 2);
}

/** Files that a machine's file includes are of that machine, too; a file may be of several. */
function spread(of: readonly MachineFile[], includes: ReadonlyMap<string, readonly string[]>): Map<string, string[]> {
  const machines = new Map<string, string[]>();
  const named = Map.groupBy(of, ({ file }) => file);
  for (const { file, machine } of of) {
    const open = [file];
    const seen = new Set(open);
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      // What an option names for another machine stays there.
      if (named.get(name)?.every((each) => each.machine !== machine) === true) continue;
      machines.set(name, [...new Set([...(machines.get(name) ?? []), machine])]);
      for (const next of includes.get(name) ?? []) {
        if (!seen.has(next)) open.push(next);
        seen.add(next);
      }
    }
  }
  return machines;
}

function tellCircles(includes: ReadonlyMap<string, readonly string[]>, notes: string[]): void {
  const done = new Set<string>();
  for (const start of includes.keys()) {
    // Not by recursion: a chain may be as long as there are files.
    const path: string[] = [];
    const stack: Array<{ name: string; leave: boolean }> = [{ name: start, leave: false }];
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      if (top.leave) {
        path.pop();
        done.add(top.name);
        continue;
      }
      if (path.includes(top.name)) {
        notes.push(
          `files include each other in a circle: ${[...path.slice(path.indexOf(top.name)), top.name].slice(0, 20).join(' → ')}`,
        );
        continue;
      }
      if (done.has(top.name)) continue;
      path.push(top.name);
      stack.push({ name: top.name, leave: true });
      for (const next of includes.get(top.name) ?? []) stack.push({ name: next, leave: false });
    }
  }
}

/** `startup.mainpc.yaml`, `hosts/pc2/compose.yaml`. */
function machineOfName(name: string, machineNamed: (text: string) => string | undefined): string | undefined {
  const folders = posix.dirname(name).split('/').toReversed();
  const base = posix.basename(name).split(/[._]/);
  const words = [
    ...base,
    ...base.flatMap((word) => [word.replace(/^[a-z0-9]+-/i, ''), word.replace(/-[a-z0-9]+$/i, '')]),
    ...folders,
  ];
  for (const word of words) {
    const machine = word === '' ? undefined : machineNamed(word);
    if (machine !== undefined) return machine;
  }
  return undefined;
}

const mostKeys = 20;

function keysOf(files: readonly ImportFile[]): string[] {
  const counts = new Map<string, number>();
  const count = (value: Located): void => {
    if (value.kind === 'list') value.items.forEach(count);
    if (value.kind !== 'map') return;
    for (const [key, { value: inner }] of value.entries) {
      if (key.length <= 60 && !/[\p{Cc}\p{Cf}]/u.test(key)) counts.set(key, (counts.get(key) ?? 0) + 1);
      count(inner);
    }
  };
  for (const { documents } of files) documents?.forEach(count);
  return [...counts]
    .toSorted(([a, many], [b, few]) => few - many || (a < b ? -1 : 1))
    .slice(0, mostKeys)
    .map(([key]) => key);
}

/** The file that an option names: a name of the tree, or a place below it. */
export function fileOfOption(named: string, tree: Tree): { files: string[] } | { mend: string } {
  const plain = pathFrom('x', named);
  const below = tree.files.filter((name) => name === plain || name.startsWith(`${plain}/`));
  if (plain !== undefined && below.length > 0) return { files: below };
  const meant = nearest(named, tree.files);
  return {
    mend: meant === undefined ? 'Name a file below the paths, as it is called there.' : `Did you mean ${meant}?`,
  };
}
