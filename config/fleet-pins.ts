import { randomUUID } from 'node:crypto';
import { readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { YAMLMap } from 'yaml';
import { DomainError } from '../domain/errors.ts';
import { parseFleet } from './fleet-file.ts';
import { yamlErrorLines } from './yaml-file.ts';

/** What is written of one model. */
export interface Pin {
  /** `<model>_<quantisation>`. */
  modelId: string;
  /** The wanted version first. */
  digests: readonly string[];
  bytes?: number | undefined;
}

/** fleet.yaml with other versions of its models; every other line stays as it is, comments too. */
export function withPins(source: string, pins: readonly Pin[], path = 'fleet.yaml'): string {
  return pins.reduce((text, pin) => withPin(text, pin, path), source);
}

function withPin(source: string, { modelId, digests, bytes }: Pin, path: string): string {
  const doc = parseDocument(source, { version: '1.2', stringKeys: true });
  const models = doc.get('models', true);
  const places = isSeq(models)
    ? models.items.flatMap((model) => {
        if (!isMap(model)) return [];
        const quantisations = model.get('quantisations', true);
        if (!isMap(quantisations)) return [];
        return quantisations.items
          .filter(({ key }) => `${String(model.get('id'))}_${isScalar(key) ? String(key.value) : ''}` === modelId)
          .map(({ value }) => value);
      })
    : [];
  const [place] = places;
  const written = pinLines(digests, bytes);
  const byHand = `digests: { ollama: [${digests.map((digest) => `'${digest}'`).join(', ')}] }`;
  if (!isMap(place)) throw new DomainError('NOT_FOUND', `${path} names no model ${modelId}`);
  const size = pairOf(place, 'fileGiB');
  if (place.flow || size === undefined)
    throw new DomainError(
      'CONFLICT',
      `${path} has ${modelId} on one line, which is left alone: put its fields on lines of their own, or add ${byHand}`,
    );
  const indent = source.slice(lineStart(source, size.from), size.from);
  const cuts = ['digests', 'bytes'].flatMap((name) => pairOf(place, name) ?? []);
  // From the end on, so that what comes before keeps its place.
  let text = source;
  const add = written.map((line) => `${indent}${line}\n`).join('');
  const edits = cuts.map(({ from, to }) => ({ from: lineStart(source, from), to: lineEnd(source, to), add: '' }));
  edits.push({ from: lineEnd(source, size.to), to: lineEnd(source, size.to), add });
  // Where one ends as the next begins, what is cut comes first.
  for (const edit of edits.toSorted((a, b) => b.from - a.from || b.to - a.to))
    text = `${ended(text.slice(0, edit.from), edit.add)}${edit.add}${text.slice(edit.to)}`;
  place.delete('digests');
  place.delete('bytes');
  place.set('digests', { ollama: [...digests] });
  if (bytes !== undefined) place.set('bytes', bytes);
  if (!isDeepStrictEqual(sorted(parseDocument(text).toJS()), sorted(doc.toJS())))
    throw new DomainError('CONFLICT', `${path} could not be changed in place: add ${byHand} to ${modelId} by hand`);
  return text;
}

function pinLines(digests: readonly string[], bytes: number | undefined): string[] {
  return [
    'digests:',
    '  ollama:',
    ...digests.map((digest) => `    - '${digest}'`),
    ...(bytes === undefined ? [] : [`bytes: ${bytes}`]),
  ];
}

/** Where a field begins and its value ends. */
function pairOf(map: YAMLMap, name: string): { from: number; to: number } | undefined {
  const pair = map.items.find(({ key }) => isScalar(key) && key.value === name);
  if (pair === undefined || !isScalar(pair.key)) return undefined;
  const from = pair.key.range?.[0];
  const to = (pair.value as { range?: [number, number, number] } | null)?.range?.[1];
  return from === undefined || to === undefined ? undefined : { from, to };
}

function lineStart(source: string, at: number): number {
  return source.lastIndexOf('\n', at - 1) + 1;
}

/** After the end of the line in which a value ends; a block's value ends behind its last line. */
function lineEnd(source: string, at: number): number {
  if (source[at - 1] === '\n') return at;
  const end = source.indexOf('\n', at);
  return end < 0 ? source.length : end + 1;
}

function ended(text: string, add: string): string {
  return add === '' || text.endsWith('\n') ? text : `${text}\n`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, sorted(each)]),
  );
}

/** Writes them to the file, whole or not at all. @returns whether anything changed */
export function writePins(path: string, pins: readonly Pin[]): boolean {
  const source = readFileSync(path, 'utf8');
  const next = withPins(source, pins, path);
  if (next === source) return false;
  const parsed = parseFleet(next, path);
  if ('errors' in parsed) throw new DomainError('CONFIG_INVALID', yamlErrorLines(parsed.errors).join('\n'));
  const real = realpathSync(path);
  const beside = `${real}.${randomUUID()}`;
  try {
    writeFileSync(beside, next, { flag: 'wx', mode: statSync(real).mode & 0o777 });
    renameSync(beside, real);
  } finally {
    rmSync(beside, { force: true });
  }
  return true;
}
