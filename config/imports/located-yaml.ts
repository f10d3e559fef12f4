import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments } from 'yaml';
import type { Document, Node } from 'yaml';

/** A value of a YAML file and its line, from 1. */
export type Located = LocatedMap | LocatedList | LocatedScalar;
export interface LocatedMap {
  kind: 'map';
  line: number;
  entries: ReadonlyMap<string, { line: number; value: Located }>;
  tag?: string;
}
export interface LocatedList {
  kind: 'list';
  line: number;
  items: readonly Located[];
  tag?: string;
}
export interface LocatedScalar {
  kind: 'scalar';
  line: number;
  value: string | number | boolean | null;
  /** As text, such as `7200`; `!include` and other tags stay outside. */
  text: string;
  /** `!include`, `!override`: none of YAML's own. */
  tag?: string;
}

/** Values of one file with its aliases unfolded, and how deep they may nest. */
const mostValues = 100_000;
const mostDepth = 64;
/** A line of brackets costs the parser seconds. */
const mostOpen = 1_000;

/** Every document of a file, or why it is not read. A key that stands twice has its last value, as Python's reader takes it. */
export function readYaml(source: string): { documents: Located[] } | { reason: string } {
  if (opensMany(source)) return { reason: `nests more than ${mostDepth} deep` };
  const lines = new LineCounter();
  try {
    const documents = parseAllDocuments(source, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
    const budget = { left: mostValues };
    const located: Located[] = [];
    // An empty stream is typed as a list with a mark on it.
    for (const document of documents as Document[]) {
      const [error] = document.errors;
      if (error)
        return { reason: `is not YAML in line ${lines.linePos(error.pos[0]).line}: ${firstLine(error.message)}` };
      if (document.contents === null) continue;
      located.push(locate(document.contents, { document, lines, budget, open: new Set() }, 0));
    }
    return { documents: located };
  } catch (err) {
    if (err instanceof YamlRefused) return { reason: err.message };
    // The parser calls itself for every level.
    if (err instanceof RangeError) return { reason: `nests more than ${mostDepth} deep` };
    throw err;
  }
}

class YamlRefused extends Error {
  override readonly name = 'YamlRefused';
}

interface Locating {
  document: Document;
  lines: LineCounter;
  budget: { left: number };
  /** Anchors that are being unfolded; one inside itself has no end. */
  open: Set<Node>;
}

function locate(node: unknown, within: Locating, depth: number, at?: number): Located {
  within.budget.left -= 1;
  if (within.budget.left < 0) throw new YamlRefused(`unfolds to more than ${mostValues} values`);
  if (depth > mostDepth) throw new YamlRefused(`nests more than ${mostDepth} deep`);
  if (isAlias(node)) {
    const target = node.resolve(within.document);
    if (target === undefined) throw new YamlRefused(`has no anchor for *${node.source}`);
    if (within.open.has(target)) throw new YamlRefused(`has an anchor inside itself: *${node.source}`);
    // Where it is used, which is the place that a person looks for.
    return locate(target, within, depth, lineOf(node, within.lines));
  }
  const line = at ?? lineOf(node, within.lines);
  if (isMap(node) || isSeq(node)) {
    within.open.add(node);
    const located = isMap(node)
      ? { ...locateMap(node.items, within, depth, line), ...tagOf(node) }
      : ({
          kind: 'list',
          line,
          items: node.items.map((item) => locate(item, within, depth + 1)),
          ...tagOf(node),
        } as const);
    within.open.delete(node);
    return located;
  }
  if (!isScalar(node)) return { kind: 'scalar', line, value: null, text: '' };
  const { value } = node;
  const plain = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
  const text = node.source ?? (plain === null ? '' : String(plain));
  return { kind: 'scalar', line, value: plain, text, ...tagOf(node) };
}

/** `!` alone means what there would be without it. */
function tagOf({ tag }: { tag?: string }): { tag?: string } {
  return tag !== undefined && /^![^!]/.test(tag) ? { tag } : {};
}

function locateMap(
  pairs: ReadonlyArray<{ key: unknown; value: unknown }>,
  within: Locating,
  depth: number,
  line: number,
): LocatedMap {
  const merged = new Map<string, { line: number; value: Located }>();
  const own = new Map<string, { line: number; value: Located }>();
  for (const { key, value } of pairs) {
    const name = isScalar(key) ? String(key.value) : undefined;
    // A key that is itself a block names nothing that is looked for.
    if (name === undefined) continue;
    const located = locate(value, within, depth + 1);
    if (name !== '<<') {
      own.set(name, { line: lineOf(key, within.lines), value: located });
      continue;
    }
    for (const source of located.kind === 'list' ? located.items : [located]) {
      if (source.kind !== 'map') continue;
      for (const [inherited, entry] of source.entries) if (!merged.has(inherited)) merged.set(inherited, entry);
    }
  }
  return { kind: 'map', line, entries: new Map([...merged, ...own]) };
}

function lineOf(node: unknown, lines: LineCounter): number {
  const range = (node as Partial<Node> | null)?.range;
  return range ? lines.linePos(range[0]).line : 1;
}

function opensMany(source: string): boolean {
  let open = 0;
  for (let i = 0; i < source.length; i++) {
    const code = source.charCodeAt(i);
    if (code === 0x5b || code === 0x7b) open += 1;
    else if ((code === 0x5d || code === 0x7d) && open > 0) open -= 1;
    if (open > mostOpen) return true;
  }
  return false;
}

function firstLine(text: string): string {
  return text.split('\n')[0]!.replace(/\.$/, '').slice(0, 200);
}

export function entry(map: Located | undefined, ...names: string[]): { line: number; value: Located } | undefined {
  if (map?.kind !== 'map') return undefined;
  for (const name of names) {
    const found = map.entries.get(name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Text of a scalar entry; numbers as they are written. */
export function textAt(map: Located | undefined, ...names: string[]): string | undefined {
  const found = entry(map, ...names)?.value;
  return found?.kind === 'scalar' && found.value !== null ? scalarText(found) : undefined;
}

/** Quotes are no part of it, and a number is as it was written. */
export function scalarText(scalar: LocatedScalar): string {
  return typeof scalar.value === 'string' ? scalar.value : scalar.text;
}

/** Texts of a list of scalars, or of one scalar. */
export function textsOf(value: Located | undefined): string[] {
  if (value?.kind === 'scalar') return value.value === null ? [] : [scalarText(value)];
  if (value?.kind !== 'list') return [];
  return value.items.flatMap((item) => (item.kind === 'scalar' && item.value !== null ? [scalarText(item)] : []));
}

/** `true`, and what other readers of YAML take for it. */
export function flagOf(value: Located | undefined): boolean | undefined {
  if (value?.kind !== 'scalar') return undefined;
  if (/^(true|yes|on|1)$/i.test(value.text)) return true;
  return /^(false|no|off|0)$/i.test(value.text) ? false : undefined;
}

/** The same for keys that each writer spells otherwise: `health_check`, `healthCheck` and `health-check` are one. */
export function likeEntry(map: Located | undefined, ...names: string[]): { line: number; value: Located } | undefined {
  if (map?.kind !== 'map') return undefined;
  for (const name of names) {
    for (const [key, found] of map.entries) if (plainKey(key) === name) return found;
  }
  return undefined;
}

export function likeText(map: Located | undefined, ...names: string[]): string | undefined {
  const found = likeEntry(map, ...names)?.value;
  return found?.kind === 'scalar' && found.value !== null ? scalarText(found) : undefined;
}

export function plainKey(key: string): string {
  return key.toLowerCase().replaceAll(/[-_ ]/g, '');
}
