import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findFleet } from '../../config/imports/import-fleet.ts';
import { readYaml } from '../../config/imports/located-yaml.ts';
import { openTree, pathFrom, type Tree, treeLimits } from '../../config/imports/tree.ts';
import { unitInstances } from '../../config/imports/unit-instances.ts';
import { createExpander } from '../../config/imports/values.ts';
import { servicesFileSchema } from '../../domain/services.ts';
import { importOf, inFolder } from '../support/imported.ts';
import { yamlBomb, yamlMerges } from '../support/hostile-yaml.ts';

const good = { 'good.yaml': 'a: { script: a.py, port: 1000 }\n', 'a.py': '' };
const reasonOf = async (name: string, text: string) => {
  const found = await importOf({ ...good, [name]: text });
  expect(found.file.services.map(({ id }) => id)).toEqual(['a']);
  return found.skipped.find(({ path }) => path === name)?.reason;
};

describe('hostile files are left out by name, and the rest is read', () => {
  test('aliases that unfold to billions', async () => {
    expect(await reasonOf('bomb.yaml', `${yamlBomb.join('\n')}\n`)).toBe('unfolds to more than 100000 values');
    expect(await reasonOf('merge.yaml', `${yamlMerges.join('\n')}\n`)).toBe('unfolds to more than 100000 values');
  });

  test.each([
    ['inside itself', 'a: &a { b: *a }\n', 'has an anchor inside itself: *a'],
    ['without an anchor', 'a: *b\n', /^(has no anchor for \*b|is not YAML in line 1)/],
    ['deep in brackets', '['.repeat(300_000), 'nests more than 64 deep'],
    ['deep in brackets that close', `${'['.repeat(500)}${']'.repeat(500)}`, 'nests more than 64 deep'],
    [
      'deep in blocks',
      Array.from({ length: 200 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
      'nests more than 64 deep',
    ],
    ['not YAML', 'a: b: c: [\n', /^is not YAML in line 1/],
    ['binary', 'a: \0\n', 'is no text'],
    ['too long', `# ${'x'.repeat(treeLimits.fileBytes)}\n`, `is longer than ${treeLimits.fileBytes} bytes`],
  ])('%s', async (_, text, reason) => {
    expect(await reasonOf('hostile.yaml', text)).toMatch(reason);
  });

  test('keys that name what every object has', async () => {
    const found = await importOf({
      ...good,
      'p.yaml':
        '__proto__: { script: b.py, port: 1 }\nconstructor: { script: c.py, env: { __proto__: x, toString: y }, port: "$toString" }\n',
    });
    expect(found.file.services.map(({ id }) => id)).toEqual(['a', 'constructor', 'proto']);
    expect(({} as Record<string, unknown>)['script']).toBeUndefined();
  });

  test('links, pipes, other folders and odd names', async () => {
    await inFolder(
      { 'in/good.yaml': good['good.yaml'], 'out/secret.yaml': 'leak: { script: leak.py }\n', 'out/.env': 'P=4321\n' },
      (folder) => {
        const tree = join(folder, 'in');
        symlinkSync(join(folder, 'out'), join(tree, 'linked'));
        symlinkSync(join(folder, 'out/secret.yaml'), join(tree, 'secret.yaml'));
        symlinkSync(join(folder, 'out/.env'), join(tree, '.env'));
        symlinkSync(tree, join(tree, 'loop'));
        symlinkSync('/nowhere/at/all', join(tree, 'broken.yaml'));
        execFileSync('mkfifo', [join(tree, 'pipe.yaml')]);
        writeFileSync(join(tree, 'odd\u001b[31m\nname.yaml'), 'odd: { script: odd.py }\n');
        writeFileSync(join(tree, 'latin.yaml'), Buffer.from([0x61, 0x3a, 0x20, 0xe9, 0x0a]));
        const found = findFleet({ paths: [tree], machineFiles: [], portRules: [], machines: undefined });
        expect(found.file.services.map(({ id }) => id)).toEqual(['a']);
        expect(JSON.stringify(found)).not.toContain('4321');
        expect(found.skipped.toSorted((a, b) => (a.path < b.path ? -1 : 1))).toEqual([
          { path: '.env', reason: 'is a symbolic link out of the folder' },
          { path: 'broken.yaml', reason: 'is a symbolic link that leads nowhere' },
          { path: 'latin.yaml', reason: 'is no UTF-8 text' },
          { path: 'linked', reason: 'is a symbolic link out of the folder' },
          { path: 'odd?[31m?name.yaml', reason: 'its name has characters that are not shown' },
          { path: 'pipe.yaml', reason: 'is no plain file' },
          { path: 'secret.yaml', reason: 'is a symbolic link out of the folder' },
        ]);
      },
    );
  });

  // Half a million each, so that a pattern that goes over them again from every place takes minutes.
  const lines = '\n'.repeat(500_000);
  const spaces = ' '.repeat(500_000);
  test.each([
    ['x@y.service', lines],
    ['x.service', lines],
    ['x.service', `[Service]\nExecStart=/bin/x${spaces}y\n`],
    ['x.service', `[Service]\nExecStart=/bin/x${'\\\n'.repeat(250_000)}`],
    ['Dockerfile', lines],
    ['Dockerfile', `FROM x\nENV A${spaces}=\n`],
    ['Dockerfile', `FROM x\nRUN a${spaces}b\n`],
    ['Dockerfile', `FROM x\nRUN a${'\\\n'.repeat(250_000)}`],
    ['.env', `P=1${spaces}2\n`],
    ['.env', `P="1"${spaces}2\n`],
    ['requirements.txt', `a${spaces}b\n`],
    ['requirements.txt', `-r ${'='.repeat(500_000)} x\n`],
    ['migrate.py', `${lines}x = 1\n`],
    ['migrate.py', `${spaces}x\n`],
    ['migrate.py', `# title: a${spaces}b\n`],
    ['migrate.py', `# a title ${spaces}b\n`],
    ['migrate.py', `${'TODO '.repeat(100_000)}\u2028x\n`],
    ['x.yaml', `${'{'.repeat(500_000)}\n`],
    ['x.yaml', `b: { script: b.py, vram: "1${spaces}x" }\n`],
    ['x.yaml', `port_rules: { health: "${spaces}x" }\n`],
  ])('%s with a long row of one thing', async (name, text) => {
    const found = await importOf({ ...good, 'e.yaml': 'e: { script: e.py, port: "${P}" }\n', [name]: text });
    expect(found.file.services.map(({ id }) => id)).toEqual(expect.arrayContaining(['a', 'e']));
  });

  test('commands of thousands of letters', () => {
    for (let i = 0; i < 150; i++) {
      const words = [...Array<string>(100).fill('a'.repeat(2_000)), ...Array<string>(100).fill('a-'.repeat(1_000))];
      expect(createExpander(() => undefined).words(words, 'x:1')).toEqual(words);
    }
  });

  test('thousands of templates of one name, which hundreds name', () => {
    const templates = Array.from({ length: 20_000 }, (_, i) => `t/${i}/w@.service`);
    const links = Array.from({ length: 501 }, (_, i) => `x.target.wants/w@${i}.service`);
    const tree: Tree = {
      files: templates,
      links,
      hidden: [],
      has: () => true,
      read: () => '',
      skipped: [],
      skip: () => undefined,
    };
    const said: string[] = [];
    const instances = unitInstances(tree, (each) => said.push(each));
    for (const template of templates.slice(0, 5_000)) expect(instances(template)).toHaveLength(500);
    expect(said).toEqual([
      'instances of w@.service are named more than 500 times; the rest is left out, the first of it in x.target.wants/w@500.service',
    ]);
  });

  test('templates whose instances are more than can be held are refused', async () => {
    const all = Array.from({ length: 100 }, (_, i) => `w@${i}.service`).join(' ');
    const templates = Array.from({ length: 201 }, (_, i) => [`t/${i}/w@.service`, '[Service]\nExecStart=/bin/w\n']);
    await expect(
      importOf({ ...good, ...Object.fromEntries(templates), 'x.target': `[Unit]\nWants=${all}\n` }),
    ).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      fields: [
        { path: 'PATH', rule: 'must describe at most 20000 services in all files', mend: 'Import parts of it.' },
      ],
    });
  });

  test('thousands of services that extend those of a file of thousands of documents', async () => {
    const chain = Array.from({ length: 30 }, (_, i) => `  s${i}: { image: x, extends: { service: s${i + 1} } }`).join(
      '\n',
    );
    const services = Array.from({ length: 4_000 }, (_, i) => ` s${i}: {extends: {file: base.yaml, service: s0}}`);
    const found = await importOf({
      'compose.yaml': `services:\n${services.join('\n')}\n`,
      'base.yaml': `${'--- x\n'.repeat(40_000)}---\nservices:\n${chain}\n  s30: { image: last, restart: "no" }\n`,
    });
    expect(found.file.services.length).toBeGreaterThan(30);
  });

  test('a compose file that extends through a link, or takes more from another than can be held', async () => {
    const many = Array.from({ length: 20_000 }, (_, i) => `V${i}: 1`).join(', ');
    const services = Array.from({ length: 2_000 }, (_, i) => `  s${i}: { extends: { file: base.yaml, service: b } }`);
    await inFolder(
      {
        'out/base.yaml': 'services: { b: { image: leaked } }\n',
        'in/compose.yaml': 'services: { a: { image: x, extends: { file: linked.yaml, service: b } } }\n',
        'in/many/compose.yaml': `services:\n${services.join('\n')}\n`,
        'in/many/base.yaml': `services: { b: { image: y, environment: { ${many} } } }\n`,
      },
      (folder) => {
        symlinkSync(join(folder, 'out/base.yaml'), join(folder, 'in/linked.yaml'));
        const found = findFleet({ paths: [join(folder, 'in')], machineFiles: [], portRules: [], machines: undefined });
        expect(JSON.stringify(found)).not.toContain('leaked');
        expect(found.notes.join('\n')).toContain('linked.yaml, which is no YAML file of the tree that was read');
        expect(found.notes.join('\n')).toContain(
          'services of many/compose.yaml get more than 100000 values from others; the rest is left out',
        );
      },
    );
  });

  test('paths that lead out are not followed', async () => {
    await inFolder(
      {
        'secret.env': 'P=4321\n',
        'in/x.yaml': 'a: { script: a.py, port: "${P}", env_file: ../secret.env }\nimport: ../../etc/passwd\n',
      },
      (folder) => {
        const found = findFleet({ paths: [join(folder, 'in')], machineFiles: [], portRules: [], machines: undefined });
        expect(JSON.stringify(found)).not.toContain('4321');
        expect(found.notes.join()).toContain('../../etc/passwd, which lies outside');
      },
    );
  });

  test('too many files are refused, deep folders left out', async () => {
    await inFolder(
      { ...good, [`${'d/'.repeat(treeLimits.depth + 1)}x.yaml`]: 'deep: { script: d.py }\n' },
      (folder) => {
        expect(() => openTree([folder], { ...treeLimits, entries: 3 })).toThrow(/more than 3 files and folders/);
        expect(openTree([folder]).skipped).toEqual([
          {
            path: `${'d/'.repeat(treeLimits.depth + 1)}`,
            reason: `lies more than ${treeLimits.depth} folders deep`,
            unread: true,
          },
        ]);
      },
    );
  });

  test('thousands of files are read up to a limit, and the summary says so', async () => {
    await inFolder(good, (folder) => {
      mkdirSync(join(folder, 'many'));
      for (let i = 0; i < 5_100; i++) writeFileSync(join(folder, `many/${String(i).padStart(5, '0')}.yaml`), 'x: 1\n');
      const found = findFleet({ paths: [folder], machineFiles: [], portRules: [], machines: undefined });
      expect(found.notes).toContain('only the first 5000 of 5101 files are read');
    });
  });

  test('nothing is run and nothing is written', async () => {
    await inFolder(
      {
        'x.yaml': 'a: { script: run.sh, args: "$(touch made)" }\nb: { script: b.sh, args: ["`touch made`"] }\n',
        'run.sh': '#!/bin/sh\ntouch made\n',
        'b.sh': '',
      },
      (folder) => {
        chmodSync(join(folder, 'run.sh'), 0o755);
        const before = readdirSync(folder).toSorted();
        findFleet({ paths: [folder], machineFiles: [], portRules: [], machines: undefined });
        expect(readdirSync(folder).toSorted()).toEqual(before);
      },
    );
  });
});

test('a path from a file stays in the tree, or is refused', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('..', '.', 'a', 'b', '', '\\', 'C:')), (parts) => {
      const path = pathFrom('x/y/file.yaml', parts.join('/'));
      if (path !== undefined) expect(path.startsWith('..') || path.startsWith('/')).toBe(false);
    }),
  );
});

test('whatever a file holds, an import ends in what the schema takes, or in a clear error', async () => {
  const key = fc.constantFrom(
    'script',
    'path',
    'module',
    'port',
    'ports',
    'health',
    'depends_on',
    'machine',
    'env',
    'services',
    'image',
    'gpu',
    'vram',
    'name',
    'args',
    '<<',
    'include',
    'portRules',
    'a b',
    '💥',
  );
  const leaf = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.integer(),
    fc.boolean(),
    fc.constantFrom(null, 'a.py', 'pkg.mod', '${X:-1}+2', '8080:80', '/health', '12GB', '../x'),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.dictionary(key, tie('tree'), { maxKeys: 5 }),
    ),
  }));
  await fc.assert(
    fc.asyncProperty(tree, fc.constantFrom('x.yaml', 'compose.yaml'), async (value, name) => {
      const found = await importOf({ ...good, [name]: JSON.stringify(value) });
      const parsed = servicesFileSchema.safeParse(found.file);
      expect(parsed.error?.issues ?? []).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

test('no text makes the reader of YAML throw', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.constantFrom(
          'a',
          ':',
          ' ',
          '\n',
          '- ',
          '&a ',
          '*a',
          '<<: ',
          '{',
          '}',
          '[',
          ']',
          '"',
          "'",
          '|',
          '>',
          '!x ',
          '#',
          '---\n',
          '?',
          '\t',
          '%',
        ),
      ),
      (parts) => {
        const read = readYaml(parts.join(''));
        expect('documents' in read || read.reason !== '').toBe(true);
      },
    ),
    { numRuns: 1_000 },
  );
});
