import { randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Document, isMap, isSeq, parseDocument, visit, isPair, isScalar } from 'yaml';
import type { YAMLMap, YAMLSeq } from 'yaml';
import { DomainError } from '../../domain/errors.ts';
import type { ServicesFile, WholeServicesFile } from '../../domain/services.ts';
import { byCodeUnit, type Change, type Thing, threeWay } from '../../domain/three-way.ts';
import { readRegularFile, serviceFolderOf, serviceRules } from '../service-files.ts';
import { parseYamlFile, yamlErrorLines } from '../yaml-file.ts';

/** The lists of the file and what their things are known by. */
const lists = [
  ['portRules', 'name'],
  ['services', 'id'],
  ['workPackages', 'id'],
] as const;
type ListName = (typeof lists)[number][0];

const mostBytes = 8 * 1024 * 1024;
const heading = ` Written by \`soulfra import\`, which keeps what is changed here by hand. docs/importing.md has the fields.`;
const baseHeading = ` What the last \`soulfra import\` found, to tell your changes in imported.yaml from those of the repository. Leave it as it is.`;

export interface MergeNote {
  list: ListName;
  key: string;
  field?: string;
  kept: unknown;
  offered: unknown;
}

export interface Merged {
  added: string[];
  changed: string[];
  removed: string[];
  conflicts: MergeNote[];
  /** What nobody has answered yet of services as they will stand in the file: `unresolved` that a person took out is answered. */
  open: string[];
  /** Of what the import before found, this many services are not found any more. */
  gone: number;
  known: number;
  /** What will stand in the two files. */
  text: string;
  base: string;
  /** As they were when the merge was made; undefined where there was none. */
  before: { text: string | undefined; base: string | undefined };
}

export interface ImportFiles {
  folder: string;
  imported: string;
  base: string;
}

export function importFilesOf(fleetFile: string): ImportFiles {
  const folder = serviceFolderOf(fleetFile);
  return { folder, imported: join(folder, 'imported.yaml'), base: join(folder, '.imported.base.yaml') };
}

/**
 * What was found, brought into what stands in fleet.d/. Nothing is written yet.
 * @throws DomainError CONFIG_INVALID where one of the two files cannot be read
 */
export function mergeImport(files: ImportFiles, found: WholeServicesFile): Merged {
  const before = { text: textOf(files.imported), base: textOf(files.base) };
  const base = exportServices(found, baseHeading);
  if (before.text === undefined) {
    const added = lists.flatMap(([list, key]) =>
      found[list].map((thing) => nameOf(list, String((thing as Thing)[key]))),
    );
    return {
      added,
      changed: [],
      removed: [],
      conflicts: [],
      open: openOf(found.services),
      gone: 0,
      known: 0,
      text: exportServices(found, heading),
      base,
      before,
    };
  }
  const mine = parsedOf(before.text, files.imported);
  const last = before.base === undefined ? undefined : parsedOf(before.base, files.base);
  const doc = parseDocument(before.text, { version: '1.2', stringKeys: true });
  const merged: Merged = {
    added: [],
    changed: [],
    removed: [],
    conflicts: [],
    open: [],
    gone: 0,
    known: last?.services?.length ?? 0,
    text: before.text,
    base,
    before,
  };
  let touched = false;
  for (const [list, keyField] of lists) {
    const { changes, conflicts } = threeWay(things(last, list), things(mine, list), things(found, list), keyField);
    for (const conflict of conflicts) merged.conflicts.push({ list, ...conflict });
    for (const change of changes) {
      touched = true;
      apply(doc, list, keyField, change);
      const told = { add: merged.added, remove: merged.removed, set: merged.changed, unset: merged.changed }[
        change.kind
      ];
      const name = nameOf(list, change.key);
      if (!told.includes(name)) told.push(name);
    }
  }
  merged.gone = (last?.services ?? []).filter(({ id }) => !found.services.some((other) => other.id === id)).length;
  // A text that nothing was changed in keeps every byte, also where a person lays it out otherwise.
  if (touched) merged.text = doc.toString({ lineWidth: 0, flowCollectionPadding: true });
  merged.open = openOf((touched ? parsedOf(merged.text, files.imported) : mine).services ?? []);
  return merged;
}

function openOf(services: NonNullable<ServicesFile['services']>): string[] {
  return services.flatMap(({ id, unresolved = [] }) => unresolved.map((said) => `${id}: ${said}`));
}

function nameOf(list: ListName, key: string): string {
  return list === 'services' ? key : `${list === 'portRules' ? 'port rule' : 'work package'} ${key}`;
}

function things(file: ServicesFile | undefined, list: ListName): readonly Thing[] {
  return (file?.[list] ?? []) as readonly Thing[];
}

function textOf(path: string): string | undefined {
  const read = readRegularFile(path, mostBytes);
  if (typeof read === 'string') return read;
  if (read.missing === true) return undefined;
  throw new DomainError('CONFIG_INVALID', `${path} ${read.rule}`);
}

/** As it is written, without defaults: a field that a hand left out is no change. */
function parsedOf(source: string, path: string): ServicesFile {
  const parsed = parseYamlFile(source, path, serviceRules);
  if ('errors' in parsed)
    throw new DomainError('CONFIG_INVALID', yamlErrorLines(parsed.errors).join('\n'), { fields: parsed.errors });
  return parseDocument(source, { version: '1.2', stringKeys: true }).toJS({ maxAliasCount: 200 }) as ServicesFile;
}

function apply(doc: Document, list: ListName, keyField: string, change: Change): void {
  if (!isSeq(doc.get(list))) doc.set(list, doc.createNode([]));
  const seq = doc.get(list) as YAMLSeq;
  // An empty list is written `[]`, which its things would then have to stand in.
  if (seq.items.length === 0) seq.flow = false;
  const keyOf = (item: unknown) => (isMap(item) ? String(item.get(keyField)) : '');
  const at = seq.items.findIndex((item) => keyOf(item) === change.key);
  if (change.kind === 'add') {
    const node = styled(doc.createNode(change.thing, { aliasDuplicateObjects: false }));
    const after = seq.items.findIndex((item) => byCodeUnit(keyOf(item), change.key) > 0);
    seq.items.splice(after === -1 ? seq.items.length : after, 0, node);
    return;
  }
  const item = seq.items[at] as YAMLMap;
  if (at === -1)
    throw new DomainError(
      'CONFIG_INVALID',
      `${list} ${change.key} is written with an alias; write it out, then import again`,
    );
  if (change.kind === 'remove') seq.items.splice(at, 1);
  else if (change.kind === 'unset') item.delete(change.field);
  else item.set(change.field, styled(doc.createNode(change.value, { aliasDuplicateObjects: false })));
}

/** The file as it is written the first time. */
function exportServices(file: WholeServicesFile, comment: string): string {
  const doc = new Document(file, { aliasDuplicateObjects: false });
  doc.commentBefore = comment;
  styled(doc.contents);
  return doc.toString({ lineWidth: 0, flowCollectionPadding: true });
}

/** Small blocks below a thing stand on one line each. */
function styled<T>(node: T): T {
  visit(node as never, {
    Collection(key, inner) {
      if (inner.items.length === 0) inner.flow = true;
      const values = inner.items.map((item) => (isPair(item) ? item.value : item));
      const small = values.every((value) => isScalar(value));
      const isThing = isMap(inner) && (inner.has('source') || inner.has('id'));
      if (key !== null && small && !isThing && inner.toString().length <= 110) inner.flow = true;
    },
  });
  return node;
}

/**
 * Writes both files, each whole or not at all. imported.yaml goes first: were the run to end between the two, the next import
 * finds there what it would write, and takes none of it for a change by hand.
 * @returns whether a byte changed
 */
export function writeImport(files: ImportFiles, merged: Merged): boolean {
  const changed = [
    [files.imported, merged.text, merged.before.text],
    [files.base, merged.base, merged.before.base],
  ] as const;
  if (changed.every(([, text, before]) => text === before)) return false;
  mkdirSync(files.folder, { recursive: true });
  if (!lstatSync(files.folder).isDirectory())
    throw new DomainError('CONFIG_INVALID', `${files.folder} must be a folder, and no link`);
  for (const [path, text, before] of changed) if (text !== before) replaceFile(path, text, before);
  return true;
}

/** The file keeps the mode that it has; a new one is for everybody to read, as fleet.yaml is. */
function replaceFile(path: string, text: string, before: string | undefined): void {
  const kept = lstatSync(path, { throwIfNoEntry: false });
  const part = `${path}.${randomUUID()}.part`;
  const bytes = Buffer.from(text);
  const file = openSync(
    part,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
    kept === undefined ? 0o644 : 0o600,
  );
  try {
    try {
      // Not by the mode it is opened with, of which the umask takes away.
      if (kept !== undefined) fchmodSync(file, kept.mode & 0o777);
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    // Somebody may be writing in it just now.
    if (textOf(path) !== before)
      throw new DomainError('CONFLICT', `${path} was changed while the import was made; import again`);
    renameSync(part, path);
  } finally {
    rmSync(part, { force: true });
  }
}
