import { posix } from 'node:path';
import { entry, type Located, type LocatedMap, scalarText, textAt } from './located-yaml.ts';
import type { ImportFile } from './reader.ts';
import { pathFrom } from './tree.ts';

/** Services that extend one another, in a row. */
const mostDeep = 32;
/** Values that services of one file get from others, in all. */
const mostValues = 100_000;

/** A file of the tree that was read, by its name there. */
export type FileNamed = (name: string) => ImportFile | undefined;

/** Whole service, as what it extends makes it. */
type Extend = (name: string, given: Located, tell: (said: string) => void) => Located;

interface From {
  file: ImportFile;
  /** Those that led here, this one last. */
  path: readonly string[];
}

/**
 * What `extends` means in one compose file: of the file itself, or of another one of the tree. Nothing but files that the tree has read
 * is looked at; what is not there, leads in a circle, too deep or too far is told, and the service stands as it is written.
 */
export function extendsOf(file: ImportFile, fileNamed: FileNamed): Extend {
  let left = mostValues;

  function extend(given: Located, { file: own, path }: From, tell: (said: string) => void): Located {
    const wanted = entry(given, 'extends');
    if (wanted === undefined || given.kind !== 'map') return given;
    const name = wanted.value.kind === 'scalar' ? scalarText(wanted.value) : textAt(wanted.value, 'service');
    const found = name === undefined ? undefined : baseOf(name, textAt(wanted.value, 'file'), own, tell);
    if (name === undefined) tell('it extends something without a name');
    if (found === undefined || name === undefined) return given;
    const step = labelOf(name, found.file, file);
    if (path.includes(step)) {
      tell(`services extend each other in a circle: ${[...path, step].map(shown).join(' → ')}`);
      return given;
    }
    if (path.length > mostDeep) {
      tell(`it extends more than ${mostDeep} services in a row; the rest is left out`);
      return given;
    }
    const base = extend(found.value, { file: found.file, path: [...path, step] }, tell);
    if (base.kind !== 'map') return given;
    if (!takes(base)) {
      tell(`services of ${file.name} get more than ${mostValues} values from others; the rest is left out`);
      return given;
    }
    return merged(found.file === own ? base : moved(base, { from: found.file, to: own, line: wanted.line }), given);
  }

  function baseOf(name: string, named: string | undefined, own: ImportFile, tell: (said: string) => void) {
    let at: ImportFile | undefined = own;
    if (named !== undefined) {
      const path = pathFrom(own.name, named);
      // Told by whoever lists the files that it names.
      if (path === undefined && own === file) return undefined;
      at = path === undefined ? undefined : fileNamed(path);
      if (at?.documents === undefined) {
        tell(`it extends ${shown(name)} of ${shown(named)}, which is no YAML file of the tree that was read`);
        return undefined;
      }
    }
    const value = servicesOf(at).get(name);
    if (value !== undefined) return { file: at, value };
    tell(`it extends ${shown(name)}, which ${at.name} does not have`);
    return undefined;
  }

  /** Once it is too much, nothing more is counted. */
  function takes(base: LocatedMap): boolean {
    const open: Located[] = [base];
    for (let value = open.pop(); value !== undefined && left > 0; value = open.pop()) {
      left -= 1;
      if (value.kind === 'list') open.push(...value.items);
      if (value.kind === 'map') for (const { value: inner } of value.entries.values()) open.push(inner);
    }
    return left > 0;
  }

  return (name, given, tell) => withoutResets(extend(given, { file, path: [labelOf(name, file, file)] }, tell));
}

const servicesByFile = new WeakMap<ImportFile, ReadonlyMap<string, Located>>();

/** By name; of several documents the first that has a name counts. Kept, since thousands may extend the same file. */
function servicesOf(file: ImportFile): ReadonlyMap<string, Located> {
  const before = servicesByFile.get(file);
  if (before !== undefined) return before;
  const services = new Map<string, Located>();
  for (const document of file.documents ?? []) {
    const found = entry(document, 'services')?.value;
    if (found?.kind !== 'map') continue;
    for (const [name, { value }] of found.entries) if (!services.has(name)) services.set(name, value);
  }
  servicesByFile.set(file, services);
  return services;
}

function isReset(value: Located | undefined): boolean {
  return value?.tag === '!reset';
}

/** `!reset` says that a field is as if nobody had written it. */
function withoutResets(value: Located): Located {
  if (value.kind !== 'map') return value;
  const entries = [...value.entries].flatMap(([key, { line, value: inner }]) =>
    isReset(inner) ? [] : [[key, { line, value: withoutResets(inner) }] as const],
  );
  return { ...value, entries: new Map(entries) };
}

function labelOf(name: string, at: ImportFile, file: ImportFile): string {
  return at === file ? name : `${at.name} ${name}`;
}

function shown(text: string): string {
  return text.slice(0, 200);
}

/** What replaces instead of adding to what was there. */
const replaced = new Set(['command', 'entrypoint', 'test', 'extends']);
/** Lists that may be written as one word. */
const lists = new Set(['env_file', 'dns', 'dns_search', 'tmpfs']);

/** As Compose puts two together: mappings key by key, lists one after the other, and of anything else the service's own. */
function merged(base: LocatedMap, own: LocatedMap): LocatedMap {
  const entries = new Map(base.entries);
  for (const [key, { line, value }] of own.entries) {
    const before = entries.get(key)?.value;
    const alone = before === undefined || isReset(before) || replaced.has(key);
    entries.set(key, { line, value: alone ? value : together(key, before, value) });
  }
  return { ...own, entries };
}

function together(key: string, before: Located, own: Located): Located {
  // `!override` says that it stands alone; `!reset` is left out at the end.
  if (own.tag !== undefined) return own;
  const [a, b] = [before, own].map((value) => asWritten(key, value)) as [Located, Located];
  if (a.kind === 'list' && b.kind === 'list') return { ...b, items: joined(key, a.items, b.items) };
  if (a.kind === 'scalar' || b.kind === 'scalar') return own;
  return merged(asMap(a), asMap(b));
}

function asWritten(key: string, value: Located): Located {
  if (value.kind !== 'scalar' || value.value === null) return value;
  if (lists.has(key)) return { kind: 'list', line: value.line, items: [value] };
  if (key === 'build')
    return { kind: 'map', line: value.line, entries: new Map([['context', { line: value.line, value }]]) };
  return value;
}

/** Of two volumes at one place in the container the service's own is taken; what is written twice is one. */
function joined(key: string, before: readonly Located[], own: readonly Located[]): Located[] {
  const keyOf = (item: Located) =>
    key === 'volumes'
      ? (textAt(item, 'target') ??
        (item.kind === 'scalar' ? scalarText(item).split(':')[1] : undefined) ??
        textOf(item))
      : textOf(item);
  const known = new Set(own.map(keyOf).filter((each) => each !== undefined));
  return [...before.filter((item) => !known.has(keyOf(item) ?? '')), ...own];
}

function textOf(item: Located): string | undefined {
  return item.kind === 'scalar' ? scalarText(item) : undefined;
}

/** `[A=1, B]` as `{ A: 1, B: }`. */
function asMap(value: Exclude<Located, { kind: 'scalar' }>): LocatedMap {
  if (value.kind === 'map') return value;
  const entries = value.items.flatMap((item) => {
    if (item.kind !== 'scalar') return [];
    const text = scalarText(item);
    const at = text.indexOf('=');
    const said = at === -1 ? { value: null, text: '' } : { value: text.slice(at + 1), text: text.slice(at + 1) };
    const inner: Located = { kind: 'scalar', line: item.line, ...said };
    return [[at === -1 ? text : text.slice(0, at), { line: item.line, value: inner }] as const];
  });
  return { kind: 'map', line: value.line, entries: new Map(entries) };
}

/** A service of another file as it would be written in this one: with the paths that it means, in the line that extends it. */
function moved(base: LocatedMap, at: { from: ImportFile; to: ImportFile; line: number }): LocatedMap {
  const way = posix.relative(posix.dirname(at.to.name), posix.dirname(at.from.name));
  const path = (value: Located, isOne: (text: string) => boolean): Located => {
    if (value.kind !== 'scalar' || way === '') return value;
    const text = scalarText(value);
    if (!isOne(text) || text.startsWith('/') || text.includes('$')) return value;
    const joined = posix.join(way, text);
    const whole = joined.startsWith('../') || joined === '..' ? joined : `./${joined}`;
    return { ...value, value: whole, text: whole };
  };
  const isFolder = (text: string) => !/:\/\/|^git@/.test(text);
  const field = (value: Located, name: string, isOne: (text: string) => boolean): Located => {
    const inner = entry(value, name);
    if (value.kind !== 'map' || inner === undefined) return value;
    return { ...value, entries: new Map(value.entries).set(name, { ...inner, value: path(inner.value, isOne) }) };
  };
  const each = (value: Located, one: (item: Located) => Located): Located =>
    value.kind === 'list' ? { ...value, items: value.items.map(one) } : one(value);
  const entries = new Map(base.entries);
  const change = (name: string, how: (value: Located) => Located) => {
    const known = entries.get(name);
    if (known !== undefined) entries.set(name, { ...known, value: how(known.value) });
  };
  change('build', (value) => field(path(value, isFolder), 'context', isFolder));
  change('env_file', (value) =>
    each(value, (item) =>
      field(
        path(item, () => true),
        'path',
        () => true,
      ),
    ),
  );
  const isBind = (text: string) => /^\.{1,2}(\/|:|$)/.test(text);
  change('volumes', (value) => each(value, (item) => field(path(item, isBind), 'source', isBind)));
  return inLine({ ...base, entries }, at.line);
}

function inLine<Value extends Located>(value: Value, line: number): Value {
  if (value.kind === 'list') return { ...value, line, items: value.items.map((item) => inLine(item, line)) };
  if (value.kind === 'scalar') return { ...value, line };
  const entries = [...value.entries].map(
    ([key, { value: inner }]) => [key, { line, value: inLine(inner, line) }] as const,
  );
  return { ...value, line, entries: new Map(entries) };
}
