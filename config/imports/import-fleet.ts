import { DomainError } from '../../domain/errors.ts';
import { fieldError } from '../../domain/field-errors.ts';
import { nearest } from '../../domain/nearest.ts';
import type { PortRule } from '../../domain/services.ts';
import { type Assembled, assemble } from './assemble.ts';
import { fileOfOption, type KnownMachine, type MachineFile, type ReadFleet, readFleet } from './read-fleet.ts';
import { openTree, type Skipped, type Tree, treeLimits, TreeRefused } from './tree.ts';

const mostHiddenTold = 10;

export interface ImportRequest {
  paths: readonly string[];
  /** `--machine ID=FILE`, FILE as it is called below the paths. */
  machineFiles: readonly MachineFile[];
  portRules: readonly PortRule[];
  /** Of fleet.yaml; undefined where there is none: then the options name all there are. */
  machines: readonly KnownMachine[] | undefined;
}

export interface Found extends Assembled {
  filesRead: number;
  skipped: readonly Skipped[];
}

/** A repository as its files say, before anything is made of it. */
export interface ReadRepository {
  tree: Tree;
  known: readonly KnownMachine[];
  read: ReadFleet;
  assembled: Assembled;
  notes: string[];
}

/**
 * @param entered folders that are looked into besides; no service is read there
 * @param first files that are read before all others, so that no limit keeps them from being looked at
 * @throws DomainError INVALID_INPUT for a path or machine that is not there
 */
export function readRepository(
  { paths, machineFiles, portRules, machines }: ImportRequest,
  entered: readonly string[] = [],
  first?: RegExp,
): ReadRepository {
  const known = machines ?? [...new Set(machineFiles.map(({ machine }) => machine))].map((id) => ({ id }));
  for (const { machine } of machineFiles) {
    if (known.some(({ id }) => id === machine)) continue;
    const meant = nearest(
      machine,
      known.map(({ id }) => id),
    );
    const mend = meant === undefined ? 'Add it to fleet.yaml first.' : `Did you mean ${meant}?`;
    throw fieldError('--machine', `must name a machine of fleet.yaml, not ${machine}`, mend);
  }
  const tree = treeOf(paths, entered);
  for (const name of tree.files) if (first?.test(name)) tree.read(name);
  const services: Tree =
    entered.length === 0
      ? tree
      : { ...tree, files: tree.files.filter((name) => !name.split('/').some((part) => entered.includes(part))) };
  const of = machineFiles.flatMap(({ machine, file }) => {
    const found = fileOfOption(file, tree);
    if ('mend' in found) throw fieldError('--machine', `must name a file below the paths, not ${file}`, found.mend);
    return found.files.map((name) => ({ machine, file: name }));
  });
  const read = readFleet(services, known, of);
  const assembled = assemble(read, { tree, machines: known, portRules });
  const { file } = assembled;
  if (file.services.length > 5_000 || file.workPackages.length > 1_000)
    throw fieldError('PATH', 'must hold at most 5000 services and 1000 work packages', 'Import parts of it.');
  return {
    tree,
    known,
    read,
    assembled,
    notes: [...new Set([...read.notes, ...assembled.notes, ...hiddenNotes(tree)])],
  };
}

/** What a person should know of, once: a folder that is hidden may be in use. */
function hiddenNotes({ hidden }: Tree): string[] {
  if (hidden.length === 0) return [];
  const more = hidden.length > mostHiddenTold ? ` and ${hidden.length - mostHiddenTold} more` : '';
  return [
    `hidden folders are passed over: ${hidden.slice(0, mostHiddenTold).join(', ')}${more}; name one to have it read`,
  ];
}

/**
 * What an existing fleet's files say, read and never run.
 * @throws DomainError INVALID_INPUT for a path or machine that is not there, and where no service is found
 */
export function findFleet(request: ImportRequest): Found {
  const { tree, read, assembled, notes } = readRepository(request);
  if (assembled.file.services.length === 0) throw nothingFound(request.paths, read, notes);
  const skipped = tree.skipped.map(({ path, reason }) => ({ path, reason }));
  return { file: assembled.file, notes, filesRead: read.filesRead, skipped };
}

function treeOf(paths: readonly string[], entered: readonly string[]): Tree {
  try {
    return openTree(paths, treeLimits, entered);
  } catch (err) {
    if (!(err instanceof TreeRefused)) throw err;
    throw new DomainError('INVALID_INPUT', err.message, {
      cause: err,
      fields: [{ path: 'PATH', rule: err.message, mend: 'Name folders or files that can be read.' }],
    });
  }
}

function nothingFound(
  paths: readonly string[],
  { filesRead, keysSeen }: { filesRead: number; keysSeen: readonly string[] },
  notes: readonly string[],
): DomainError {
  const seen = keysSeen.length === 0 ? 'no YAML mapping was read' : `keys seen: ${keysSeen.join(', ')}`;
  const rule = `holds no service in ${filesRead} file${filesRead === 1 ? '' : 's'} that could be read; ${seen}`;
  const mend =
    'A service is a mapping with script, path or module, an entry of a compose file, a manifest, a unit or a Dockerfile.';
  const said = notes
    .slice(0, 3)
    .map((note) => ` ${note}.`)
    .join('');
  return new DomainError('INVALID_INPUT', `${paths.join(', ')} ${rule}`, {
    fields: [{ path: paths.join(', '), rule, mend: `${mend}${said}` }],
  });
}
