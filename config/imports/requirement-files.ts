import { posix } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { needsGpu } from '../../domain/gpu-needs.ts';
import { entry, type Located, textsOf } from './located-yaml.ts';
import { type ImportFile, place, type Reader, type ReadingContext } from './reader.ts';
import { pathFrom } from './tree.ts';

/** requirements*.txt, pyproject.toml and environment.yml: whether what they ask for wants a GPU. */
export const requirementFiles: Reader = {
  takes: ({ name, documents }) =>
    /(^|\/)(requirements[\w.-]*\.(txt|in)|pyproject\.toml)$/i.test(name) ||
    /(^|\/)requirements\/[\w.-]+\.(txt|in)$/i.test(name) ||
    (/(^|\/)(environment|conda)[\w.-]*\.ya?ml$/i.test(name) &&
      documents?.some((document) => entry(document, 'dependencies') !== undefined) === true),
  read(file, context) {
    const notes: string[] = [];
    const asked = /\.toml$/i.test(file.name)
      ? ofToml(file, notes)
      : file.documents === undefined
        ? ofLines(file, context, notes)
        : file.documents.flatMap((document) => ofConda(entry(document, 'dependencies')?.value));
    const gpu = asked
      .filter(({ requirement }) => needsGpu(requirement))
      .map(({ requirement, line, from }) => `${requirement} (${place(from ?? file.name, line)})`);
    return { requirements: [{ file: file.name, gpu }], notes };
  },
};

interface Asked {
  requirement: string;
  line: number;
  from?: string;
}

function ofLines(
  { name, text }: Pick<ImportFile, 'name' | 'text'>,
  context: ReadingContext,
  notes: string[],
  seen = [name],
  budget = { files: 100 },
): Asked[] {
  const lines = text.split(/\r?\n/);
  // All wheels of this index are made without a GPU.
  const cpu = lines.some((line) => /^\s*--(extra-)?index-url\s+\S*\/cpu\/?\s*$/.test(line));
  return lines.flatMap((line, i): Asked[] => {
    const plain = line.replace(/(^|\s)#.*$/s, '').trim();
    const included = /^(?:-r|--requirement)[\s=]*([^\s=]\S*)$/.exec(plain)?.[1];
    if (included !== undefined) {
      const path = pathFrom(name, included);
      if (path === undefined)
        notes.push(`${place(name, i + 1)} names ${included.slice(0, 200)}, which lies outside; it is not read`);
      else if (seen.includes(path))
        notes.push(`requirement files include each other in a circle: ${[...seen, path].join(' → ')}`);
      budget.files -= 1;
      const inner = path === undefined || seen.includes(path) || budget.files < 0 ? undefined : context.read(path);
      return inner === undefined ? [] : ofLines({ name: path!, text: inner }, context, notes, [...seen, path!], budget);
    }
    if (plain === '' || plain.startsWith('-')) return [];
    return cpu
      ? []
      : [
          {
            requirement: plain
              .replace(/;.*$/s, '')
              .replace(/\s--.*$/s, '')
              .trimEnd()
              .slice(0, 200),
            line: i + 1,
            from: name,
          },
        ];
  });
}

function ofToml({ name, text }: ImportFile, notes: string[]): Asked[] {
  let parsed: Record<string, unknown>;
  try {
    parsed = parse(text);
  } catch (err) {
    if (!(err instanceof TomlError) && !(err instanceof RangeError)) throw err;
    notes.push(`${name} is not read: it is not TOML`);
    return [];
  }
  const project = parsed['project'] as { dependencies?: unknown } | undefined;
  const poetry = (parsed['tool'] as { poetry?: { dependencies?: unknown } } | undefined)?.poetry?.dependencies;
  const listed = Array.isArray(project?.dependencies)
    ? project.dependencies.filter((item) => typeof item === 'string')
    : [];
  const named =
    typeof poetry === 'object' && poetry !== null
      ? Object.entries(poetry).map(([key, version]) => `${key} ${typeof version === 'string' ? version : ''}`.trim())
      : [];
  const lines = text.split('\n');
  // The parser keeps no lines; the first one with the name is it.
  return [...listed, ...named].map((requirement) => {
    const word = /^[\w.-]+/.exec(requirement)?.[0] ?? requirement;
    const at = lines.findIndex((line) => line.includes(word));
    return { requirement: requirement.replace(/;.*$/s, '').trimEnd().slice(0, 200), line: at + 1 };
  });
}

function ofConda(value: Located | undefined): Asked[] {
  if (value?.kind !== 'list') return [];
  return value.items.flatMap((item): Asked[] => {
    if (item.kind === 'map') return ofConda(entry(item, 'pip')?.value);
    return textsOf(item).map((requirement) => ({
      requirement: requirement.replace(/^\S+::/, '').slice(0, 200),
      line: item.line,
    }));
  });
}

/** The requirement file that counts for a script: the nearest one above it. */
export function nearestRequirements(script: string, files: readonly string[]): string | undefined {
  for (let folder = posix.dirname(script); ; folder = posix.dirname(folder)) {
    const here = files.filter(
      (file) =>
        posix.dirname(file) === folder ||
        posix.dirname(file) === (folder === '.' ? 'requirements' : `${folder}/requirements`),
    );
    if (here.length > 0) return here.find((file) => /(requirements\.txt|pyproject\.toml)$/.test(file)) ?? here[0];
    if (folder === '.') return undefined;
  }
}
