import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import type { ToolReport } from '../../domain/readiness-inventory.ts';
import { composeFiles } from './compose-files.ts';
import type { Located } from './located-yaml.ts';
import type { ImportFile } from './reader.ts';

/** Of one file; one that breaks more is broken all the same. */
const mostFindings = 50;
/** Of one document that are gone through to find those. */
const mostErrors = 20_000;

const require = createRequire(import.meta.url);
let known: ValidateFunction | undefined;

/** The schema of the Compose Specification, as dclint ships and renews it; dclint itself tells no lines. */
function composeSchema(): ValidateFunction {
  if (known !== undefined) return known;
  const place = dirname(require.resolve('dclint/package.json'));
  const {
    $schema: _,
    $id: __,
    ...schema
  } = JSON.parse(readFileSync(join(place, 'schemas/compose.schema.json'), 'utf8')) as Record<string, unknown>;
  // Formats such as `duration` are checked by Compose itself, and `strict` would refuse words that the schema has of its own.
  known = new Ajv({ allErrors: true, strict: false, validateFormats: false, logger: false }).compile(schema);
  return known;
}

/** What compose files have that Compose does not take; nothing to report where there are none. */
export function composeReports(files: readonly ImportFile[]): ToolReport[] {
  const compose = files.filter((file) => file.documents !== undefined && composeFiles.takes(file));
  if (compose.length === 0) return [];
  return [{ tool: 'compose schema', state: 'ran', detail: '', install: '', findings: compose.flatMap(breaches) }];
}

function breaches({ name, documents = [] }: ImportFile): ToolReport['findings'] {
  return documents.flatMap((document) => {
    const validate = composeSchema();
    if (validate(plain(document))) return [];
    return outermost((validate.errors ?? []).slice(0, mostErrors))
      .filter(({ instancePath }) => !isFilledIn(at(document, instancePath).value))
      .slice(0, mostFindings)
      .map((error) => {
        const { line, path } = place(document, error);
        return { code: path, file: name, line, message: said(error) };
      });
  });
}

/** Without lines. A value with a tag of its own is whatever Compose makes of it; a list or mapping of `!override` stays one. */
function plain(located: Located): unknown {
  if (located.kind === 'list') return located.items.map(plain);
  if (located.kind === 'scalar') return located.value;
  return Object.fromEntries(
    [...located.entries].filter(([, { value }]) => !isTagged(value)).map(([key, { value }]) => [key, plain(value)]),
  );
}

function isTagged(value: Located): boolean {
  return value.tag === '!reset' || (value.kind === 'scalar' && value.tag !== undefined);
}

/** Of one value that takes several forms, each form has errors of its own: they are one. */
function outermost(errors: readonly ErrorObject[]): ErrorObject[] {
  const forks = new Map<string, ErrorObject>();
  for (const error of errors)
    if (['oneOf', 'anyOf'].includes(error.keyword) && !forks.has(error.instancePath))
      forks.set(error.instancePath, error);
  const isBelow = (path: string) => {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1))
      if (forks.has(path.slice(0, end))) return true;
    return path !== '' && forks.has('');
  };
  return errors.filter((error) => !isBelow(error.instancePath) && (forks.get(error.instancePath) ?? error) === error);
}

/** `"${REPLICAS}"` may be a number when Compose has filled it in. */
function isFilledIn(value: Located | undefined): boolean {
  return value?.kind === 'scalar' && typeof value.value === 'string' && value.value.includes('$');
}

function place(document: Located, { instancePath, keyword, params }: ErrorObject): { line: number; path: string } {
  const key =
    keyword === 'additionalProperties'
      ? String((params as { additionalProperty: string }).additionalProperty)
      : undefined;
  const steps = stepsOf(instancePath);
  const found = at(document, instancePath);
  const line =
    key === undefined ? found.line : found.value?.kind === 'map' ? found.value.entries.get(key)?.line : undefined;
  return {
    line: line ?? found.line,
    path: [...steps, ...(key === undefined ? [] : [key])].join('.').slice(0, 200) || 'file',
  };
}

function stepsOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The value that a JSON pointer means, and the line of the key that it stands behind. */
function at(document: Located, pointer: string): { line: number; value: Located | undefined } {
  let line = document.line;
  let value: Located | undefined = document;
  for (const step of stepsOf(pointer)) {
    if (value?.kind === 'map') {
      const entry = value.entries.get(step);
      line = entry?.line ?? line;
      value = entry?.value;
    } else if (value?.kind === 'list') {
      value = value.items[Number(step)];
      line = value?.line ?? line;
    } else return { line, value: undefined };
  }
  return { line, value };
}

/** Never the value that stands there: it may be a secret. */
function said({ keyword, params, message = 'is not taken' }: ErrorObject): string {
  if (keyword === 'additionalProperties') return 'is no field that Compose knows here';
  if (keyword === 'oneOf' || keyword === 'anyOf') return 'has none of the forms that Compose takes';
  if (keyword === 'required') return `lacks ${(params as { missingProperty: string }).missingProperty}`;
  return message;
}
