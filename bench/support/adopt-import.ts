import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { runSoulfra } from '../../test/support/command.ts';
import { makeFaultyMonorepo, withoutGpu } from '../../test/support/faulty-monorepo.ts';
import { writeMonorepo } from '../../test/support/monorepo.ts';

export interface ImportVerdict {
  services: number;
  workPackages: number;
  /** Of what the fixture knows by name and machine. */
  missing: string[];
  invented: string[];
  /** What an import of the same did: things added, changed, removed or told as conflicts, and files whose bytes or time differ. */
  reimportChanges: number;
  /** Of six edits by hand, those that stand after the repository has changed, too. */
  editsKept: number;
  /** What the repository alone changed, and was taken. */
  taken: string[];
  /** Where hand and repository changed the same field: told, once. */
  conflicts: number[];
}

interface Imported {
  found: { services: Array<{ id: string; machine?: string }>; workPackages: Array<{ id: string }> };
  written: boolean;
  added: string[];
  changed: string[];
  removed: string[];
  conflicts: unknown[];
}

const shipped = fileURLToPath(new URL('../../fleet.yaml', import.meta.url));

/** Edits of a hand, as text: each is found again in the file, or the import has taken it away. */
const edits = 6;
function editByHand(text: string): string {
  const block = (id: string) => {
    const from = text.indexOf(`  - id: ${id}\n`);
    const to = text.indexOf('\n  - id: ', from + 1);
    if (from === -1 || to === -1) throw new Error(`the import wrote no ${id}`);
    return text.slice(from, to + 1);
  };
  return text
    .replace(block('agent-04'), '')
    .replace(block('agent-02'), block('agent-02').replace(/port: 9020\b/, 'port: 9920'))
    .replace('  - id: agent-01\n', '  # mine: it goes first\n  - id: agent-01   # keep\n')
    .replace(block('agent-06'), block('agent-06').replace(/^( +)kind:/m, '$1required: false\n$1kind:'))
    .replace(/^services:\n/m, 'services:\n  - { id: own-thing, kind: unit, machine: pc2, source: mine }\n');
}
function editsIn(text: string): number {
  const { services } = parse(text) as { services: Array<{ id: string; required?: boolean; ports?: object[] }> };
  const of = (id: string) => services.find((service) => service.id === id);
  return [
    of('agent-04') === undefined,
    JSON.stringify(of('agent-02')?.ports ?? []).includes('9920'),
    text.includes('  # mine: it goes first\n'),
    /agent-01 +# keep$/m.test(text),
    of('agent-06')?.required === false,
    of('own-thing') !== undefined,
  ].filter(Boolean).length;
}

/** `soulfra import` as a person runs it: first, again after edits by hand, again with new files of the same words, and after the repository changed. */
export async function importTwice(
  folder: string,
): Promise<{ verdict: ImportVerdict; services: Imported['found']['services'] }> {
  const monorepo = makeFaultyMonorepo();
  const home = join(folder, 'home');
  const repository = join(home, 'repo');
  mkdirSync(repository, { recursive: true });
  writeMonorepo(repository, monorepo);
  writeFileSync(join(home, 'fleet.yaml'), withoutGpu(readFileSync(shipped, 'utf8')));
  const imported = join(home, 'fleet.d/imported.yaml');
  const files = [imported, join(home, 'fleet.d/.imported.base.yaml')];
  const run = () => importOf(home, monorepo.options);
  const state = () => files.map((path) => `${statSync(path, { bigint: true }).mtimeNs} ${readFileSync(path, 'utf8')}`);

  const first = await run();
  const known = monorepo.services.map(({ id, machine }) => `${id} on ${machine ?? 'none'}`);
  const found = first.found.services.map(({ id, machine }) => `${id} on ${machine ?? 'none'}`);
  writeFileSync(imported, editByHand(readFileSync(imported, 'utf8')));
  if (editsIn(readFileSync(imported, 'utf8')) !== edits) throw new Error('the edits by hand did not take');

  let reimportChanges = 0;
  for (const files of [undefined, new Map([...monorepo.files].toReversed())]) {
    if (files !== undefined) writeMonorepo(repository, { files });
    const before = state();
    const { added, changed, removed, conflicts } = await run();
    const after = state();
    reimportChanges += [added, changed, removed, conflicts].flat().length;
    reimportChanges += before.filter((each, i) => each !== after[i]).length;
  }

  // One field that nobody touched, and one that a hand has changed.
  const agents = join(repository, 'config/groups/agents.yaml');
  writeFileSync(agents, readFileSync(agents, 'utf8').replaceAll('9050', '9051').replaceAll('9020', '9025'));
  const third = await run();
  const fourth = await run();
  const verdict = {
    services: found.length,
    workPackages: first.found.workPackages.length,
    missing: known.filter((each) => !found.includes(each)),
    invented: found.filter((each) => !known.includes(each)),
    reimportChanges: reimportChanges + (fourth.written ? 1 : 0),
    editsKept: editsIn(readFileSync(imported, 'utf8')),
    taken: [...third.added, ...third.changed, ...third.removed],
    conflicts: [third.conflicts.length, fourth.conflicts.length],
  };
  return { verdict, services: first.found.services };
}

async function importOf(home: string, options: readonly string[]): Promise<Imported> {
  const { code, out, err } = await runSoulfra(['--json', 'import', 'repo', ...options], { cwd: home, env: {} });
  if (code !== 0) throw new Error(`the import ended with ${code}: ${err}`);
  return JSON.parse(out) as Imported;
}
