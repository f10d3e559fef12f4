import { posix } from 'node:path';
import { fingerprintOf } from '../../domain/readiness.ts';
import type { CodeModule } from '../../domain/readiness-inventory.ts';
import { type PythonFacts, pythonFacts, type PythonImport } from '../../domain/readiness-python.ts';
import type { FoundService } from './reader.ts';
import type { Tree } from './tree.ts';

interface TextFile {
  name: string;
  text: string;
}

/** Fewer lines than this are alike by chance. */
const leastLines = 12;
/** Started by a tool, by their name. */
const byTools =
  /(^|\/)(__init__|__main__|conftest|setup|manage|wsgi|asgi|noxfile|tasks|fabfile|alembic\/env)\.py$|(^|\/)(migrations?|versions|alembic)\/|(^|\/)test_[^/]*\.py$/;

/** Python files, what they import of each other, and whether anything reaches them. */
export function modulesOf(files: readonly TextFile[], services: readonly FoundService[]): CodeModule[] {
  const python = files.filter(({ name }) => name.endsWith('.py'));
  const names = new Set(python.map(({ name }) => name));
  const started = new Set(services.flatMap(({ script }) => script ?? []));
  const facts = new Map(python.map(({ name, text }) => [name, pythonFacts(text)]));
  const stems = new Set(python.map(({ name }) => stemOf(name)));
  const named = namedIn(files, stems);
  return python.map(({ name, text }) => {
    const { imports, unused, starts } = facts.get(name)!;
    const stem = stemOf(name);
    return {
      file: name,
      imports: imports.flatMap((each) => resolved(name, each, names)),
      unused: name.endsWith('__init__.py') ? [] : unused.slice(0, 100),
      likeness: likenessOf(text),
      reached:
        starts ||
        started.has(name) ||
        byTools.test(name) ||
        [...(named.get(stem) ?? [])].some((other) => other !== name),
    };
  });
}

function stemOf(name: string): string {
  return posix.basename(name, '.py');
}

/** Which files have a module's name as a word. Imports are no mention: who imports it is known better. */
function namedIn(files: readonly TextFile[], stems: ReadonlySet<string>): Map<string, Set<string>> {
  const named = new Map<string, Set<string>>();
  for (const { name, text } of files) {
    const body = name.endsWith('.py')
      ? text.replaceAll(/^[ \t]*(from\s+\S+\s+import\s[^\n]*|import\s[^\n]*)/gm, '')
      : text;
    for (const [word] of body.matchAll(/[A-Za-z_][\w-]*/g)) {
      if (!stems.has(word)) continue;
      const all = named.get(word) ?? new Set();
      named.set(word, all.add(name));
    }
  }
  return named;
}

/** Files of the tree that an import means, from its own folder and every one above, and from `src`. */
function resolved(
  file: string,
  { module, names, line, whenLoaded }: PythonImport,
  known: ReadonlySet<string>,
): Array<{ file: string; line: number; whenLoaded: boolean }> {
  const dots = /^\.*/.exec(module)![0].length;
  const path = module.slice(dots).replaceAll('.', '/');
  const bases: string[] = [];
  if (dots > 0) {
    let folder = posix.dirname(file);
    for (let i = 1; i < dots; i++) folder = posix.dirname(folder);
    bases.push(folder);
  } else {
    for (let folder = posix.dirname(file); ; folder = posix.dirname(folder)) {
      bases.push(folder, posix.join(folder, 'src'));
      if (folder === '.') break;
    }
  }
  for (const base of bases) {
    const whole = posix.join(base, path);
    const inner = names.flatMap((name) =>
      [`${whole}/${name}.py`, `${whole}/${name}/__init__.py`].filter((each) => known.has(each)),
    );
    const itself = [`${whole}.py`, `${whole}/__init__.py`].filter((each) => known.has(each));
    const found = inner.length > 0 ? inner : itself;
    if (found.length > 0)
      return found.filter((each) => each !== file).map((each) => ({ file: each, line, whenLoaded }));
  }
  return [];
}

function likenessOf(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  return lines.length < leastLines ? '' : fingerprintOf('likeness', lines.join('\n'));
}

/** Variables that a script cannot do without; read once a script. */
export function needsByScript(tree: Tree): (script: string) => PythonFacts['needs'] {
  const known = new Map<string, PythonFacts['needs']>();
  return (script) => {
    if (!script.endsWith('.py')) return [];
    const found = known.get(script) ?? pythonFacts(tree.read(script) ?? '').needs;
    known.set(script, found);
    return found;
  };
}
