import { posix } from 'node:path';
import { slugOf, type WorkPackage } from '../../domain/services.ts';
import { place, type Reader } from './reader.ts';

const scripts = /\.(py|sh|bash|js|mjs|ts|rb|ps1)$/i;
const byName = /(^|[-_.\d])(migrate|migration)s?([-_.\d]|$)|^wp[-_]?\d+/i;
const byFolder = /^(migrate|migrations?|migration[-_]scripts|work[-_]packages)$/i;
const mostOpen = 50;

/** Scripts that move a fleet from one state to another, one work package each. Migrations of a database belong to its own tool. */
export const migrationScripts: Reader = {
  takes({ name, text }) {
    const base = posix.basename(name);
    if (!scripts.test(base) || /^__init__\.py$/.test(base)) return false;
    if (
      !byFolder.test(posix.basename(posix.dirname(name))) &&
      (!byName.test(base.replace(scripts, '')) || isModule(name, text))
    )
      return false;
    return !ofDatabase(name, text);
  },
  read(file, context) {
    const lines = file.text.split(/\r?\n/);
    const said = headersOf(lines);
    const stem = posix.basename(file.name).replace(scripts, '');
    const id = slugOf(said.get('id')?.value ?? stem);
    if (id === undefined) return { notes: [`${file.name} has no name that can be an id; it is left out`] };
    const machine =
      context.machineNamed(said.get('machine')?.value ?? '') ??
      machineIn(file.name, context.machineNamed) ??
      context.machine;
    const title = said.get('title')?.value ?? titleOf(lines);
    const found: WorkPackage = {
      id,
      ...(title === undefined ? {} : { title: title.slice(0, 200) }),
      script: file.name,
      needs: (said.get('needs')?.value ?? '')
        .split(/[,;]/)
        .map((need) => need.trim())
        .filter((need) => need !== '' && !/^(none|-)$/i.test(need))
        .slice(0, 50),
      completeness: completenessOf(lines, said, file.name),
      ...(machine === undefined ? {} : { machine }),
      source: place(file.name, said.get('id')?.line ?? said.get('title')?.line ?? 1),
    };
    return { workPackages: [found] };
  },
};

/** Code about migrations that others import: nothing happens when it is run. */
function isModule(name: string, text: string): boolean {
  return /\.[mc]?[jt]s$/i.test(name) && !text.startsWith('#!') && /^export\s/m.test(text);
}

function ofDatabase(name: string, text: string): boolean {
  return (
    /(^|\/)(alembic|versions)\//.test(name) ||
    /^[ \t]*(down_revision\b|class\s+Migration\b.*Migration|from\s+(django\.db|alembic)\b|exports\.(up|down)\s*=|export\s+(async\s+)?function\s+(up|down)\b)/m.test(
      text,
    ) ||
    /class\s+\w+\s*<\s*ActiveRecord::Migration/.test(text)
  );
}

const headerNames: Record<string, string> = {
  id: 'id',
  'work package': 'id',
  wp: 'id',
  title: 'title',
  summary: 'title',
  needs: 'needs',
  requires: 'needs',
  'depends on': 'needs',
  after: 'needs',
  machine: 'machine',
  host: 'machine',
  'runs on': 'machine',
  status: 'status',
  state: 'status',
  complete: 'percent',
  completeness: 'percent',
  progress: 'percent',
  done: 'percent',
};

/** What the comments at the top say: `# needs: wp-02, docker`. */
function headersOf(lines: readonly string[]): Map<string, { value: string; line: number }> {
  const said = new Map<string, { value: string; line: number }>();
  for (const [i, line] of lines.slice(0, 60).entries()) {
    const found = /^(?:(?:#+|\/\/|\*|"""|''')\s*)?@?([A-Za-z][A-Za-z_ -]{0,20}?)\s*:(.*)$/.exec(line.trim());
    const name = found ? headerNames[found[1]!.toLowerCase().replaceAll(/[-_]/g, ' ')] : undefined;
    const value = withoutQuotes(found?.[2] ?? '');
    if (name !== undefined && value !== '' && value.length <= 500 && !said.has(name))
      said.set(name, { value, line: i + 1 });
  }
  return said;
}

function titleOf(lines: readonly string[]): string | undefined {
  for (const line of lines.slice(0, 15)) {
    const title = withoutQuotes(/^(?:#(?!!)+|\/\/|\*|"""|''')(.*)$/.exec(line.trim())?.[1] ?? '');
    if (/^[^:#]{8,200}$/.test(title) && /[a-z]/.test(title) && !/coding[:=]|eslint|shellcheck/.test(title))
      return title;
  }
  return undefined;
}

/** Without those that end a comment of Python. */
function withoutQuotes(text: string): string {
  return text
    .trim()
    .replace(/("""|''')$/, '')
    .trimEnd();
}

function completenessOf(
  lines: readonly string[],
  said: ReadonlyMap<string, { value: string }>,
  file: string,
): WorkPackage['completeness'] {
  const open: string[] = [];
  let ticked = 0;
  let unticked = 0;
  for (const [i, line] of lines.entries()) {
    const plain = line.trim();
    if (/^(?:(?:#|\/\/|\*)\s*)?[-*]\s*\[x\]/i.test(plain)) ticked += 1;
    const box = /^(?:(?:#|\/\/|\*)\s*)?[-*]\s*\[ \]\s*(.*)/.exec(plain);
    const mark =
      /\b(TODO|FIXME|XXX)\b[\s:(]*(.*)/.exec(line) ?? /(NotImplementedError|not (?:yet )?implemented)()/i.exec(line);
    if (box) unticked += 1;
    const what = box?.[1] ?? (mark ? `${mark[1]} ${mark[2] ?? ''}`.trim() : undefined);
    if (what !== undefined && open.length < mostOpen) open.push(`${what.slice(0, 200)} (${place(file, i + 1)})`);
  }
  const stated = /^(\d{1,3})\s*%?$/.exec(said.get('percent')?.value ?? '')?.[1];
  const boxes = ticked + unticked;
  const percent =
    stated !== undefined && Number(stated) <= 100
      ? Number(stated)
      : boxes > 0
        ? Math.floor((100 * ticked) / boxes)
        : undefined;
  const does = lines.some(
    (line) => /\S/.test(line) && !/^\s*(#|\/\/|\*|\/\*|"""|'''|set -|pass\s*$|exit 0)/.test(line),
  );
  const status = said.get('status')?.value ?? '';
  const state =
    !does && !(percent === 100)
      ? 'empty'
      : open.length > 0 ||
          (percent !== undefined && percent < 100) ||
          /draft|partial|half|todo|wip|progress|not/i.test(status)
        ? 'partial'
        : 'complete';
  return { state, ...(percent === undefined ? {} : { percent }), open };
}

/** A machine that stands as a word in the name: `migrate_pc2_redis.sh`. */
function machineIn(name: string, machineNamed: (text: string) => string | undefined): string | undefined {
  return name
    .split(/[/_.]/)
    .flatMap((part) => machineNamed(part) ?? part.split('-').flatMap((word) => machineNamed(word) ?? []))[0];
}
