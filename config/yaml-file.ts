import { isAlias, isCollection, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import type { Alias, Document, Node, Pair } from 'yaml';
import type { z } from 'zod';
import type { FieldError } from '../domain/errors.ts';
import { explainIssues } from '../domain/field-errors.ts';

/** One error of a file of the owner's; line and column count from 1. */
export interface YamlFileError extends FieldError {
  file: string;
  line: number;
  column: number;
}

/** More than any hand writes; beyond it a few lines could unfold to gigabytes. */
const maxAliases = 200;
const maxCharacters = 8 * 1024 * 1024;

/** A broken rule between places. */
export type Breach = Omit<FieldError, 'path'> & { at: readonly (string | number)[] };

export interface YamlFileRules<T> {
  schema: z.ZodType<T>;
  /** What to do about a file that is too long. */
  tooLong: string;
  /** Broken rules of whatever can be read of it, also where the schema refuses a part. */
  breaches: (plain: unknown) => readonly Breach[];
  /** Looked at once all else is well. */
  lastly?: (value: T) => readonly Breach[];
}

/** Reads a YAML file by its schema: the value, or every error at once in the order of the file. */
export function parseYamlFile<T>(
  source: string,
  path: string,
  { schema, tooLong, breaches, lastly = () => [] }: YamlFileRules<T>,
): { value: T } | { errors: YamlFileError[] } {
  if (source.length > maxCharacters) {
    const rule = `must be under ${maxCharacters} characters`;
    return { errors: [{ file: path, line: 1, column: 1, path: '', rule, mend: tooLong }] };
  }
  const lines = new LineCounter();
  const doc = parseDocument(source, { lineCounter: lines, prettyErrors: false, version: '1.2', stringKeys: true });
  const errors: YamlFileError[] = [];
  const add = (offset: number, error: FieldError) => {
    const { line, col } = lines.linePos(offset);
    errors.push({ file: path, line: Math.max(1, line), column: Math.max(1, col), ...error });
  };
  const addBreach = ({ at, ...error }: Breach) => add(offsetOf(doc, at, 'value'), { path: at.join('.'), ...error });
  for (const { pos, code, message } of [...doc.errors, ...doc.warnings]) {
    add(code === 'MISSING_CHAR' ? openingOf(doc, pos[0]) : pos[0], syntaxError(code, message));
  }
  // What does not parse as YAML would only be complained of twice; a double key leaves a tree that can be judged.
  const broken = [...doc.errors, ...doc.warnings].some((error) => error.code !== 'DUPLICATE_KEY');
  if (!broken) {
    const plain = plainValue(doc);
    if ('error' in plain) add(plain.offset, plain.error);
    else {
      const parsed = schema.safeParse(plain.value);
      const issues = parsed.success ? [] : parsed.error.issues;
      for (const { at, about, ...error } of explainIssues(issues, plain.value, { schema })) {
        add(offsetOf(doc, at, about), error);
      }
      breaches(plain.value).forEach(addBreach);
      if (parsed.success && errors.length === 0) {
        lastly(parsed.data).forEach(addBreach);
        if (errors.length === 0) return { value: parsed.data };
      }
    }
  }
  return { errors: errors.toSorted((a, b) => a.line - b.line || a.column - b.column) };
}

/** `fleet.yaml:12:5 machines.0.id must …. Rename it.`, one line an error. */
export function yamlErrorLines(errors: readonly YamlFileError[]): string[] {
  return errors.map(
    ({ file, line, column, path, rule, mend }) =>
      `${file}:${line}:${column} ${path === '' ? 'file' : path} ${rule}. ${mend}`,
  );
}

function plainValue(doc: Document): { value: unknown } | { error: FieldError; offset: number } {
  try {
    // An empty file lacks its keys; it is not a value of the wrong kind.
    return { value: doc.toJS({ maxAliasCount: maxAliases }) ?? {} };
  } catch (cause) {
    if (!(cause instanceof ReferenceError)) throw cause;
    let unresolved: Alias | undefined;
    visit(doc, {
      Alias(_, alias) {
        if (alias.resolve(doc) === undefined) unresolved ??= alias;
      },
    });
    const error =
      unresolved === undefined
        ? { path: '', rule: 'has aliases that repeat too much', mend: 'Write the values out.' }
        : { path: '', rule: `has no anchor for *${unresolved.source}`, mend: 'Quote it if it is text.' };
    return { error, offset: unresolved?.range?.[0] ?? 0 };
  }
}

function syntaxError(code: string, message: string): FieldError {
  if (code === 'DUPLICATE_KEY')
    return { path: '', rule: 'repeats a key of the same block', mend: 'Keep one of the two.' };
  if (code === 'MULTIPLE_DOCS') return { path: '', rule: 'holds a second document', mend: 'Remove the `---` line.' };
  const [first = message] = message.split('\n');
  return {
    path: '',
    rule: `is not YAML: ${first.replace(/\.$/, '')}`,
    mend: 'Check indentation, quotes and colons there.',
  };
}

/** What lacks its end is found at the end of the file; the mend is where it begins. */
function openingOf(doc: Document, offset: number): number {
  let opening = offset;
  visit(doc, {
    Scalar(_, { range }) {
      if (range && range[0] <= offset && offset <= range[1]) opening = range[0];
    },
  });
  return opening;
}

/** Where an error is shown: at the key if the key is wrong, at the block that lacks it if it is missing, else at the value. */
function offsetOf(doc: Document, at: readonly PropertyKey[], about: 'key' | 'value' | 'missing'): number {
  let node: unknown = doc.contents;
  let offset = startOf(node) ?? 0;
  for (const [depth, step] of at.entries()) {
    if (isAlias(node)) node = node.resolve(doc);
    if (!isCollection(node)) return offset;
    const found = entryOf(node, step);
    if (found === undefined) return offset;
    const last = depth === at.length - 1;
    const keyStart = isPair(found) ? startOf(found.key) : undefined;
    node = isPair(found) ? found.value : found;
    const valueStart = isScalar(node) && node.source === '' ? undefined : startOf(node);
    // A missing key is looked for in a block, so point at the block's own key, not at its first line.
    const preferKey = (last && about === 'key') || isMap(node) || isSeq(node);
    offset = (preferKey ? (keyStart ?? valueStart) : (valueStart ?? keyStart)) ?? offset;
  }
  return offset;
}

function entryOf(node: unknown, step: PropertyKey): Node | Pair | undefined {
  if (isSeq(node)) return node.items[Number(step)] as Node | undefined;
  if (!isMap(node)) return undefined;
  return node.items.find((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key) === String(step));
}

function startOf(node: unknown): number | undefined {
  return isScalar(node) || isCollection(node) || isAlias(node) ? node.range?.[0] : undefined;
}
