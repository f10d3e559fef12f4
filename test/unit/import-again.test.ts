import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ImportFiles, importFilesOf, mergeImport, writeImport } from '../../config/imports/written-fleet.ts';
import { readServiceFiles } from '../../config/service-files.ts';
import type { Service, WholeServicesFile } from '../../domain/services.ts';
import { type Thing, threeWay } from '../../domain/three-way.ts';

let home: string;
let files: ImportFiles;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'soulfra-again-'));
  files = importFilesOf(join(home, 'fleet.yaml'));
});
afterEach(() => rmSync(home, { recursive: true }));

function found(services: Array<Partial<Service> & { id: string }>): WholeServicesFile {
  return {
    version: 1,
    portRules: [{ name: 'health', add: 1 }],
    services: services.map(({ id, ...rest }) => ({
      id,
      kind: 'process',
      command: ['python3', `${id}.py`],
      source: 'x.yaml:1',
      ...rest,
    })),
    workPackages: [],
  };
}
const first = found([
  { id: 'alpha', ports: [{ name: 'main', port: 7200 }] },
  { id: 'bravo', dependsOn: ['alpha'] },
  { id: 'delta' },
]);
const read = () => readFileSync(files.imported, 'utf8');
const again = (what: WholeServicesFile) => {
  const merged = mergeImport(files, what);
  return { ...merged, written: writeImport(files, merged) };
};
const edit = (from: string, to: string) => {
  const text = read();
  expect(text).toContain(from);
  writeFileSync(files.imported, text.replace(from, to));
};
const services = () => {
  const parsed = readServiceFiles(join(home, 'fleet.yaml'), undefined);
  if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors));
  return Object.fromEntries(parsed.files.flatMap((file) => file.services).map((service) => [service.id, service]));
};

describe('importing again', () => {
  test('each file keeps its mode, tighter or wider than the umask has it', () => {
    again(first);
    chmodSync(files.imported, 0o600);
    chmodSync(files.base, 0o664);
    expect(again(found([{ id: 'alpha' }])).written).toBe(true);
    expect([files.imported, files.base].map((path) => (statSync(path).mode & 0o777).toString(8))).toEqual([
      '600',
      '664',
    ]);
  });

  test('what did not change changes not a byte', () => {
    expect(again(first)).toMatchObject({ written: true, added: ['port rule health', 'alpha', 'bravo', 'delta'] });
    const before = [read(), readFileSync(files.base, 'utf8')];
    expect(again(first)).toMatchObject({ written: false, added: [], changed: [], removed: [], conflicts: [] });
    expect([read(), readFileSync(files.base, 'utf8')]).toEqual(before);
  });

  test('a hand keeps its edits, its layout and its comments', () => {
    again(first);
    edit('  - id: bravo', '  # mine: looks after the backups\n  - id:    bravo   # keep');
    edit('port: 7200', 'port: 7999');
    const mine = read();
    expect(again(first)).toMatchObject({ written: false, conflicts: [] });
    expect(read()).toBe(mine);
  });

  test('what the files leave open is told until somebody has answered it', () => {
    const open = found([{ id: 'alpha', unresolved: ['PORT has no value'] }, { id: 'bravo' }]);
    expect(again(open).open).toEqual(['alpha: PORT has no value']);
    expect(again(open).open).toEqual(['alpha: PORT has no value']);
    edit('    unresolved: [ PORT has no value ]\n', '');
    expect(again(open)).toMatchObject({ open: [], written: false });
    const next = found([
      { id: 'alpha', unresolved: ['PORT has no value'] },
      { id: 'bravo', unresolved: ['HOST has no value'] },
    ]);
    expect(again(next).open).toEqual(['bravo: HOST has no value']);
  });

  test('what only the repository changed is taken, beside the edits', () => {
    again(first);
    edit('  - id: bravo', '  # mine: looks after the backups\n  - id: bravo');
    edit('port: 7200', 'port: 7999');
    const next = found([
      { id: 'alpha', ports: [{ name: 'main', port: 7200 }], healthCheck: { kind: 'http', port: 7201, path: '/up' } },
      { id: 'bravo', command: ['python3', 'new.py'] },
      { id: 'charlie' },
    ]);
    expect(again(next)).toMatchObject({
      added: ['charlie'],
      changed: ['alpha', 'bravo'],
      removed: ['delta'],
      conflicts: [],
    });
    expect(services()).toMatchObject({
      alpha: { ports: [{ port: 7999 }], healthCheck: { path: '/up' } },
      bravo: { command: ['python3', 'new.py'], dependsOn: [] },
      charlie: {},
    });
    expect(Object.keys(services())).toEqual(['alpha', 'bravo', 'charlie']);
    expect(read()).toContain('# mine: looks after the backups\n  - id: bravo');
  });

  test('where both changed the hand wins, and the conflict is told', () => {
    again(first);
    edit('port: 7200', 'port: 7999');
    const next = found([
      { id: 'alpha', ports: [{ name: 'main', port: 7300 }] },
      { id: 'bravo', dependsOn: ['alpha'] },
      { id: 'delta' },
    ]);
    const merged = again(next);
    expect(merged.conflicts).toEqual([
      {
        list: 'services',
        key: 'alpha',
        field: 'ports',
        kept: [{ name: 'main', port: 7999 }],
        offered: [{ name: 'main', port: 7300 }],
      },
    ]);
    expect(services()['alpha']).toMatchObject({ ports: [{ port: 7999 }] });
    // Told once: from now on the repository says the same again.
    expect(again(next)).toMatchObject({ written: false, conflicts: [] });
  });

  test('what a hand removed stays away, what it added stays, and what it changed outlives the repository', () => {
    again(found([{ id: 'alpha' }, { id: 'bravo' }]));
    writeFileSync(
      files.imported,
      'version: 1\nservices:\n  - { id: alpha, kind: process, required: false, source: mine }\n  - { id: own, kind: unit, source: mine }\n',
    );
    const mine = read();
    const merged = again(found([{ id: 'bravo' }]));
    expect(read()).toBe(mine);
    expect(merged.conflicts.map(({ key, field }) => [key, field])).toEqual([['alpha', undefined]]);
    expect(again(found([{ id: 'bravo', image: 'x' }])).conflicts).toMatchObject([{ key: 'bravo', kept: undefined }]);
    expect(Object.keys(services())).toEqual(['alpha', 'own']);
  });

  test('an end between the two files is made good by the next import', () => {
    again(first);
    const next = found([
      { id: 'alpha', ports: [{ name: 'main', port: 7300 }] },
      { id: 'bravo', dependsOn: ['alpha'] },
    ]);
    const merged = mergeImport(files, next);
    writeFileSync(files.imported, merged.text);
    expect(again(next)).toMatchObject({ written: true, conflicts: [], text: merged.text });
    expect(again(next).written).toBe(false);
  });

  test('who writes meanwhile loses nothing, and no part is left behind', () => {
    again(first);
    const merged = mergeImport(files, found([{ id: 'alpha' }]));
    edit('port: 7200', 'port: 7999');
    const mine = read();
    expect(() => writeImport(files, merged)).toThrow(/was changed while/);
    expect(read()).toBe(mine);
    expect(readdirSync(files.folder).toSorted()).toEqual(['.imported.base.yaml', 'imported.yaml']);
  });

  test('a file that cannot be read is told with its line, and nothing is written', () => {
    again(first);
    edit('  - id: bravo', '  - idd: bravo');
    const mine = read();
    expect(() => mergeImport(files, first)).toThrow(/imported\.yaml:\d+:\d+ services\.1\.idd is not known here/);
    expect(read()).toBe(mine);
  });

  test('a link in its place is not written through', () => {
    again(first);
    const outside = join(home, 'outside.yaml');
    writeFileSync(outside, 'version: 1\n');
    rmSync(files.imported);
    symlinkSync(outside, files.imported);
    expect(() => mergeImport(files, first)).toThrow(/must not be a symbolic link/);
    expect(readFileSync(outside, 'utf8')).toBe('version: 1\n');
  });
});

describe('three ways', () => {
  const value = fc.constantFrom(1, 2, 3, [1], { a: 1 });
  const fields = fc.record({ x: value, y: value, z: value }, { requiredKeys: [] });
  const list = fc
    .dictionary(fc.constantFrom('p', 'q', 'r'), fields)
    .map((all) => Object.entries(all).map(([id, rest]): Thing => ({ id, ...rest })));
  const applied = (mine: readonly Thing[], merge: ReturnType<typeof threeWay>) => {
    const all = new Map(mine.map((thing) => [String(thing['id']), { ...thing } as Record<string, unknown>]));
    for (const change of merge.changes) {
      if (change.kind === 'add') all.set(change.key, { ...change.thing });
      else if (change.kind === 'remove') all.delete(change.key);
      else if (change.kind === 'set') all.get(change.key)![change.field] = change.value;
      else delete all.get(change.key)![change.field];
    }
    return [...all.values()];
  };
  const byId = (things: readonly Thing[]) => Object.fromEntries(things.map((thing) => [thing['id'], thing]));

  test('without edits the result is what the repository says; without news it is what the hand wrote', () => {
    fc.assert(
      fc.property(list, list, (base, other) => {
        expect(byId(applied(base, threeWay(base, base, other, 'id')))).toEqual(byId(other));
        expect(threeWay(base, base, other, 'id').conflicts).toEqual([]);
        expect(threeWay(base, other, base, 'id')).toEqual({ changes: [], conflicts: [] });
      }),
    );
  });

  test('no edit by hand is ever lost', () => {
    fc.assert(
      fc.property(list, list, list, (base, mine, theirs) => {
        const result = byId(applied(mine, threeWay(base, mine, theirs, 'id')));
        const [before, here] = [byId(base), byId(mine)];
        for (const [id, thing] of Object.entries(here)) {
          for (const [field, written] of Object.entries(thing!)) {
            if (field === 'id' || JSON.stringify(written) === JSON.stringify(before[id]?.[field])) continue;
            expect(result[id]?.[field]).toEqual(written);
          }
        }
        // What the hand removed does not come back by itself.
        for (const id of Object.keys(before)) if (!(id in here)) expect(id in result).toBe(false);
      }),
    );
  });
});
