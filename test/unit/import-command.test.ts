import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runSoulfra } from '../support/command.ts';
import { inFolder } from '../support/imported.ts';
import { makeMonorepo, writeMonorepo } from '../support/monorepo.ts';

const shipped = fileURLToPath(new URL('../../fleet.yaml', import.meta.url));
const monorepo = makeMonorepo();

/** A home with fleet.yaml and the made-up repository beside it. */
function atHome<T>(act: (home: string, soulfra: (...args: string[]) => ReturnType<typeof runSoulfra>) => Promise<T>) {
  return inFolder({}, async (home) => {
    mkdirSync(join(home, 'repo'));
    writeMonorepo(join(home, 'repo'), monorepo);
    copyFileSync(shipped, join(home, 'fleet.yaml'));
    return act(home, (...args) => runSoulfra(args, { cwd: home, env: {} }));
  });
}

describe('soulfra import', () => {
  test('writes fleet.d, which config check then reads; the same again changes nothing', async () => {
    await atHome(async (home, soulfra) => {
      const imported = join(home, 'fleet.d/imported.yaml');
      const dry = await soulfra('import', 'repo', ...monorepo.options, '--dry-run');
      expect(dry).toMatchObject({ code: 0, err: '' });
      expect(dry.out).toContain('Nothing is written.');
      expect(existsSync(join(home, 'fleet.d'))).toBe(false);

      const first = await soulfra('import', 'repo', ...monorepo.options);
      expect(first).toMatchObject({ code: 0, err: '' });
      expect(first.out).toContain(`${monorepo.services.length} services, 12 work packages in`);
      expect(first.out).toMatch(/mainpc: \d+\n {2}no machine named: 1\n {2}pc2: \d+/);
      const checked = await soulfra('config', 'check');
      expect(checked.out).toContain(`${monorepo.services.length} services in fleet.d`);
      expect(checked.code).toBe(0);

      const before = readFileSync(imported, 'utf8');
      const again = await soulfra('--json', 'import', 'repo', ...monorepo.options);
      expect(JSON.parse(again.out)).toMatchObject({
        written: false,
        added: [],
        changed: [],
        removed: [],
        conflicts: [],
      });
      expect(readFileSync(imported, 'utf8')).toBe(before);
    });
  });

  test('a wrong path, machine or file is told with what was meant; nothing is written', async () => {
    await atHome(async (home, soulfra) => {
      const cases: Array<[string[], string]> = [
        [['import', 'nowhere'], 'nowhere cannot be read (ENOENT)'],
        [['import', 'repo', '--machine', 'mainpcc=config/startup.mainpc.yaml'], 'Did you mean mainpc?'],
        [
          ['import', 'repo', '--machine', 'mainpc=config/startup.mainpx.yaml'],
          'Did you mean config/startup.mainpc.yaml?',
        ],
        [['import', 'repo', '--machine', 'mainpc=../../etc/passwd'], 'must name a file below the paths'],
        [['import', 'repo', '--machine', 'mainpc'], 'such as mainpc=config/startup.yaml'],
        [['import', 'repo', '--port-rule', 'health=x'], 'such as health=+1'],
        [['import', 'repo/k8s/../play'], 'keys seen'],
      ];
      const ended = [];
      for (const [args] of cases) ended.push(await soulfra(...args));
      expect(ended.map(({ code }) => code)).toEqual(cases.map(() => 2));
      for (const [i, [, said]] of cases.entries()) expect(ended[i]!.err).toContain(said);
      expect(existsSync(join(home, 'fleet.d'))).toBe(false);
    });
  });

  test('most services gone is asked about', async () => {
    await atHome(async (home, soulfra) => {
      expect((await soulfra('import', 'repo', ...monorepo.options)).code).toBe(0);
      const before = readFileSync(join(home, 'fleet.d/imported.yaml'), 'utf8');
      const refused = await soulfra('import', 'repo/k8s');
      expect(refused.code).toBe(2);
      expect(readFileSync(join(home, 'fleet.d/imported.yaml'), 'utf8')).toBe(before);
      const wanted = await soulfra('--yes', 'import', 'repo/k8s');
      expect(wanted).toMatchObject({ code: 0, err: '' });
      expect(readFileSync(join(home, 'fleet.d/imported.yaml'), 'utf8')).not.toContain('memory-api');
    });
  });
});

test('config check tells every error in fleet.d with file and line', async () => {
  await inFolder(
    {
      'fleet.d/a.yaml': `version: 1
services:
  - { id: alpha, kind: process, machine: mainpcc, source: mine, dependsOn: [bravo] }
  - { id: bravo@pc2, kind: process, machine: mainpc, source: mine }
`,
      'fleet.d/b.yaml': 'version: 1\nservices:\n  - { id: alpha, kind: process, source: mine }\n',
      'fleet.d/.hidden.yaml': 'nonsense\n',
      'fleet.d/notes.txt': 'nonsense\n',
    },
    async (home) => {
      copyFileSync(shipped, join(home, 'fleet.yaml'));
      const check = () => runSoulfra(['config', 'check'], { cwd: home, env: {} });
      const { code, out } = await check();
      expect(code).toBe(2);
      expect(out.trimEnd().split('\n')).toEqual([
        'fleet.d/a.yaml:3:11 services.0.id is used twice. Rename one.',
        "fleet.d/a.yaml:3:42 services.0.machine must be one of fleet.yaml's machines. Did you mean `mainpc`?",
        'fleet.d/a.yaml:3:77 services.0.dependsOn.0 must be a service. Did you mean `bravo@pc2`?',
        'fleet.d/a.yaml:4:11 services.1.id must name its own machine after the @. Write its machine there.',
        'fleet.d/b.yaml:3:11 services.0.id is used twice. Rename one.',
      ]);
      writeFileSync(join(home, 'fleet.d/a.yaml'), 'version: 1\nservices: [{ id: UPPER, kind: demon, source: x }]\n');
      symlinkSync('/dev/zero', join(home, 'fleet.d/zero.yaml'));
      const broken = await check();
      expect(broken.out).toContain('fleet.d/a.yaml:2:18 services.0.id must be lower-case');
      expect(broken.out).toContain('services.0.kind must be one of process, container, pod, unit');
      expect(broken.out).toContain('fleet.d/zero.yaml:1:1 file must not be a symbolic link');
    },
  );
});
