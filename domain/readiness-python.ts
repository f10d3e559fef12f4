/** What one Python file imports and reads; by its text alone, nothing is run. */
export interface PythonFacts {
  imports: PythonImport[];
  /** Imported, and the name occurs nowhere else. */
  unused: Array<{ name: string; line: number }>;
  /** Variables that it cannot do without: `os.environ["X"]`. */
  needs: Array<{ name: string; line: number }>;
  /** Runs by itself: `if __name__ == "__main__"`. */
  starts: boolean;
}

export interface PythonImport {
  /** `a.b`; dots before it are of a relative one. */
  module: string;
  /** Names taken from it, which may be modules below it. */
  names: string[];
  line: number;
  /** Only made when the module is loaded, not inside a function. */
  whenLoaded: boolean;
}

const statement =
  /^(?<indent>[ \t]*)(?:from[ \t]+(?<from>\.*[\w.]*)[ \t]+import[ \t]+(?<names>\([^)]*\)|[^\n#;]+)|import[ \t]+(?<modules>[^\n#;]+))/gm;

export function pythonFacts(source: string): PythonFacts {
  const text = withoutStrings(source.replaceAll('\r\n', '\n').replaceAll(/\\\n/g, ' \n'));
  const imports: PythonImport[] = [];
  const bound: Array<{ name: string; line: number; kept: boolean }> = [];
  let rest = text;
  for (const found of text.matchAll(statement)) {
    const { indent = '', from, names, modules } = found.groups!;
    const line = lineAt(text, found.index);
    const sourceLine = source.split('\n', line)[line - 1] ?? '';
    const kept = /#\s*noqa|#\s*type:|#\s*pylint/i.test(sourceLine) || indent !== '' || from === '__future__';
    rest = blanked(rest, found.index, found[0].length);
    if (from !== undefined) {
      const parts = split(names!);
      imports.push({ module: from, names: parts.map(({ name }) => name), line, whenLoaded: indent === '' });
      for (const { name, as } of parts) {
        // `import x as x` says that it is handed on.
        if (name !== '*') bound.push({ name: as ?? name, line, kept: kept || as === name });
      }
    } else {
      for (const { name, as } of split(modules!)) {
        imports.push({ module: name, names: [], line, whenLoaded: indent === '' });
        bound.push({ name: as ?? name.split('.')[0]!, line, kept: kept || as === name });
      }
    }
  }
  // Strings stay in what is searched for names: annotations and __all__ name things there.
  const words = new Set([...rest.matchAll(/[A-Za-z_]\w*/g)].map(([word]) => word));
  for (const [, inner] of source.matchAll(/["']([A-Za-z_][\w.[\], |]*)["']/g))
    for (const word of inner!.match(/[A-Za-z_]\w*/g) ?? []) words.add(word);
  return {
    imports,
    unused: bound.filter(({ name, kept }) => !kept && !words.has(name)).map(({ name, line }) => ({ name, line })),
    needs: needsOf(source, text),
    starts: /^if\s+__name__\s*==\s*["']__main__["']/m.test(source),
  };
}

function split(list: string): Array<{ name: string; as: string | undefined }> {
  return list
    .replaceAll(/#[^\n]*/g, '')
    .replaceAll(/[()\n]/g, ' ')
    .split(',')
    .flatMap((part) => {
      const found = /^\s*([\w.*]+)(?:\s+as\s+(\w+))?\s*$/.exec(part);
      return found ? [{ name: found[1]!, as: found[2] }] : [];
    });
}

/** `os.environ["X"]` as it is read: what follows an `=` sets it, and a default elsewhere in the file is an answer. */
function needsOf(source: string, plain: string): PythonFacts['needs'] {
  const lines = plain.split('\n');
  const answered = new Set(
    [
      ...source.matchAll(
        /(?:environ\.(?:get|setdefault)|getenv)\(\s*["'](\w+)["']|["'](\w+)["']\s+(?:not\s+)?in\s+os\.environ|environ\[["'](\w+)["']\]\s*=[^=]/g,
      ),
    ].map(([, got, asked, set]) => got ?? asked ?? set!),
  );
  const needs: PythonFacts['needs'] = [];
  for (const [i, line] of source.split('\n').entries()) {
    for (const [, name] of line.matchAll(/\bos\.environ\[\s*["'](\w+)["']\s*\]/g)) {
      // In a comment or a text it is read by nobody.
      if (answered.has(name!) || !/\benviron\[/.test(lines[i] ?? '')) continue;
      if (!needs.some((each) => each.name === name)) needs.push({ name: name!, line: i + 1 });
    }
  }
  return needs;
}

/** Texts and comments made blank, with every line kept. */
function withoutStrings(source: string): string {
  return source.replaceAll(/("""|''')[\s\S]*?\1|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|#[^\n]*/g, (whole) =>
    whole.replaceAll(/[^\n]/g, ' '),
  );
}

function blanked(text: string, from: number, length: number): string {
  return text.slice(0, from) + text.slice(from, from + length).replaceAll(/[^\n]/g, ' ') + text.slice(from + length);
}

function lineAt(text: string, index: number): number {
  let line = 1;
  for (let i = 0; i < index; i++) if (text.charCodeAt(i) === 10) line += 1;
  return line;
}
