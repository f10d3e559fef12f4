import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseFleet } from '../../config/fleet-file.ts';
import { findFleet } from '../../config/imports/import-fleet.ts';
import { takeInventory } from '../../config/imports/inventory.ts';
import { diffOf, finding, type Finding } from '../../domain/readiness.ts';
import { assessAll } from '../../domain/readiness-assessors.ts';
import { readinessMarkdown } from '../../domain/readiness-documents.ts';
import type { Inventory } from '../../domain/readiness-inventory.ts';
import { assessPorts } from '../../domain/readiness-ports.ts';
import { type ReadinessReport, reportOf, sarifOf } from '../../domain/readiness-reports.ts';
import { runSoulfra } from '../support/command.ts';
import { makeFaultyMonorepo, withoutGpu } from '../support/faulty-monorepo.ts';
import { inFolder } from '../support/imported.ts';
import { emptyInventory } from '../support/inventories.ts';
import { writeMonorepo } from '../support/monorepo.ts';
import { yamlBomb } from '../support/hostile-yaml.ts';

const shipped = readFileSync(fileURLToPath(new URL('../../fleet.yaml', import.meta.url)), 'utf8');
const parsed = parseFleet(withoutGpu(shipped));
const fleet = 'fleet' in parsed ? parsed.fleet : undefined;
const monorepo = makeFaultyMonorepo();
const machineFiles = [
  { machine: 'mainpc', file: 'config/startup.mainpc.yaml' },
  { machine: 'pc2', file: 'config/startup.pc2.yaml' },
];

const startupFiles = [
  { machine: 'mainpc', file: 'config/startup.mainpc.yaml' },
  { machine: 'pc2', file: 'config/startup.pc2.yaml' },
];

function inventoryOf(files: ReadonlyMap<string, string>, machineFiles = startupFiles) {
  return inFolder({}, (folder) => {
    writeMonorepo(folder, { files });
    return takeInventory({
      paths: [folder],
      machineFiles,
      portRules: [],
      machines: fleet?.machines,
      fleet,
    });
  });
}

describe('a repository with sixty planted faults and sixty look-alikes', () => {
  test('has as many of both, and twenty clashes that no file declares', () => {
    expect(fleet?.machines.map(({ id }) => id)).toEqual(['nas', 'mainpc', 'pc2']);
    expect(new Set(monorepo.planted.map(({ rule, subject }) => `${rule} ${subject}`)).size).toBe(60);
    expect(monorepo.planted.filter(({ rule }) => rule === 'port-derived-clash').length).toBeGreaterThanOrEqual(20);
    expect(new Set(monorepo.innocents).size).toBeGreaterThanOrEqual(60);
    expect(monorepo.services.length).toBeGreaterThanOrEqual(80);
    expect(monorepo.workPackages.length).toBeGreaterThanOrEqual(12);
  });

  test.each([false, true])(
    'an import finds each of its services and packages, and no other: lesser %s',
    async (lesser) => {
      const whole = makeFaultyMonorepo({ lesser });
      const { file } = await inFolder({}, (folder) => {
        writeMonorepo(folder, whole);
        return findFleet({ paths: [folder], machineFiles, portRules: [], machines: fleet?.machines });
      });
      const found = file.services.map(({ id, machine }) => (machine === undefined ? { id } : { id, machine }));
      expect(found).toEqual(whole.services);
      expect(file.workPackages.map(({ id }) => id)).toEqual(whole.workPackages);
    },
  );

  test.each([
    ['sixty', makeFaultyMonorepo()],
    ['and ten more', makeFaultyMonorepo({ lesser: true })],
  ])('each planted fault is named, and nothing else is: %s', async (_, monorepo) => {
    const findings = assessAll(await inventoryOf(monorepo.files)).filter(({ severity }) => severity !== 'unknown');
    const named = findings.map(({ rule, subject }) => `${rule} ${subject}`).toSorted();
    expect(named).toEqual(monorepo.planted.map(({ rule, subject }) => `${rule} ${subject}`).toSorted());
    for (const innocent of monorepo.innocents)
      expect(findings.filter(({ subject }) => subject.includes(innocent))).toEqual([]);
  });
});

describe('what is read leaves no secret behind', () => {
  test('the value of a secret is in no part of inventory or report', async () => {
    const value = ['q7Zp', '93Lw', 'x2Vb', 'K8Tn'].join('');
    const inventory = await inventoryOf(makeFaultyMonorepo({ lesser: true }).files);
    const findings = assessAll(inventory);
    expect(findings.filter(({ rule }) => rule === 'secret-in-file').length).toBe(3);
    const report = reportOf(findings, { acceptances: [], today: '2026-11-22' });
    for (const text of [
      JSON.stringify(inventory),
      JSON.stringify(sarifOf(report, '1')),
      readinessMarkdown(report, inventory),
    ])
      expect(text).not.toContain(value);
  });

  test('what is hostile is left out by name, and the rest is judged', async () => {
    const found = await inFolder(
      { 'bomb.yaml': `${yamlBomb.join('\n')}\n`, 'huge.py': 'x = 1\n'.repeat(100_000), 'a.py': 'import os\n' },
      (folder) => {
        symlinkSync('/etc/passwd', join(folder, 'link.env'));
        writeFileSync(
          join(folder, 'up.yaml'),
          'a: { script: ../../../etc/passwd, port: 7000 }\ninclude: ../../../etc/shadow\n',
        );
        return takeInventory({ paths: [folder], machineFiles: [], portRules: [], machines: fleet?.machines, fleet });
      },
    );
    expect(found.skipped.map(({ path }) => path)).toEqual(expect.arrayContaining(['bomb.yaml', 'huge.py', 'link.env']));
    expect(JSON.stringify(found)).not.toContain('root:');
    expect(assessAll(found).map(({ rule }) => rule)).toContain('import-unused');
  });
});

test('hidden folders are told once and change no verdict; those of pipelines are read for secrets alone', async () => {
  const token = `ghp_${'a1B2'.repeat(10)}`;
  const files = {
    'startup.yaml': 'a: { script: a.py, port: 7000 }\n',
    'a.py': 'print(1)\n',
    '.git/config': 'token\n',
    '.venv/x.py': 'import os\n',
    '.github/workflows/deploy.yaml': `jobs: { up: { script: up.py, env: { T: ${token} }, url: http://elsewhere.example } }\n`,
    '.github/up.py': 'import os\n',
  };
  const hidden = { '.deploy/run.yaml': 'b: { script: b.py, port: 7001 }\n', 'ops/.kept/x.env': `T=${token}\n` };
  const [plain, found] = await Promise.all([
    inventoryOf(new Map(Object.entries(files)), []),
    inventoryOf(new Map(Object.entries({ ...files, ...hidden })), []),
  ]);
  expect(plain.hidden).toEqual([]);
  expect(found.hidden).toEqual(['.deploy', 'ops/.kept']);
  expect(found.services.map(({ id }) => id)).toEqual(['a']);
  expect(assessAll(found)).toEqual(assessAll(plain));
  expect(found.marks.map(({ kind, file }) => `${kind} ${file}`)).toEqual([
    'secret.github_token .github/workflows/deploy.yaml',
  ]);
  expect(found.modules.map(({ file }) => file)).toEqual(['a.py']);
  const text = readinessMarkdown(reportOf(assessAll(found), { acceptances: [], today: '2026-11-22' }), found);
  expect(text.match(/Hidden folders were passed over: `\.deploy`, `ops\/\.kept`\./g)).toHaveLength(1);
});

describe('the Markdown', () => {
  test('is seven documents, with the container package as YAML that parses', async () => {
    const inventory = await inventoryOf(monorepo.files);
    const report = reportOf(assessAll(inventory), { acceptances: [], today: '2026-11-22' });
    const text = readinessMarkdown(report, inventory);
    expect([...text.matchAll(/^# (\d)\. (.+)$/gm)].map(([, number]) => number)).toEqual([
      '1',
      '2',
      '3',
      '4',
      '5',
      '6',
      '7',
    ]);
    expect(text).toContain('**NOT_READY**');
    const compose = parse(/```yaml\n([\s\S]*?)```/.exec(text)![1]!) as { services: Record<string, object> };
    expect(compose.services['memory-api-on-mainpc']).toMatchObject({
      ports: ['127.0.0.1:7200:7200', '127.0.0.1:7201:7201'],
      restart: 'unless-stopped',
    });
    // What the repository has not finished, each after what it needs.
    expect(text).toMatch(/1\. `wp-2[0-9]-\w+`/);
  });

  test('text of a repository ends no cell and no table', () => {
    const hostile = finding('plain-http', {
      subject: 'a|b\n# c',
      place: 'x`|y:1',
      evidence: '<script>alert(1)</script>',
    });
    const text = readinessMarkdown(reportOf([hostile], { acceptances: [], today: '2026-11-22' }), emptyInventory);
    expect(text).not.toMatch(/^# c/m);
    expect(text).not.toContain('<script>');
    const row = text.split('\n').find((line) => line.includes('alert'))!;
    expect(row.replaceAll('\\|', '').split('|')).toHaveLength(9);
  });
});

describe('compose files', () => {
  const breaches = async (text: string) => {
    const inventory = await inventoryOf(new Map([['deploy/compose.yaml', text]]), []);
    return assessAll(inventory)
      .filter(({ rule }) => rule === 'compose-by-schema')
      .map(({ place, evidence }) => `${place} ${evidence}`);
  };

  test('what Compose does not take is named by its line, once each, without the value', async () => {
    const text = [
      'services:',
      '  web:',
      '    image: nginx:1.29',
      '    prots: ["80:80"]',
      '    healthcheck:',
      '      retries: [quiet-secret]',
      '    depends_on:',
      '      db: { condition: healthy }',
      '  db:',
      '    image: postgres:18',
      '    ports: {a: b}',
      'service: {}',
      '',
    ].join('\n');
    expect((await breaches(text)).toSorted()).toEqual([
      expect.stringMatching(/^deploy\/compose\.yaml:11 compose schema services\.db\.ports: must be array/),
      'deploy/compose.yaml:12 compose schema service: is no field that Compose knows here',
      'deploy/compose.yaml:4 compose schema services.web.prots: is no field that Compose knows here',
      expect.stringMatching(/^deploy\/compose\.yaml:6 compose schema services\.web\.healthcheck\.retries: /),
      'deploy/compose.yaml:7 compose schema services.web.depends_on: has none of the forms that Compose takes',
    ]);
    expect((await breaches(text)).join()).not.toContain('quiet-secret');
  });

  test('what it does take is not: variables, extensions, merges, tags, new and old forms', async () => {
    expect(
      await breaches(`name: \${PROJECT:-town}
x-common: &common
  restart: unless-stopped
  mem_limit: 1g
services:
  web:
    <<: *common
    image: nginx:1.29
    ports: ["80:80", { target: 90, published: "\${PORT}", mode: host }]
    deploy: { replicas: "\${REPLICAS:-2}", resources: { limits: { cpus: "0.5" } } }
    healthcheck: { test: [CMD, look], start_interval: 5s, retries: "\${TRIES}" }
    depends_on: { db: { condition: service_healthy, restart: true } }
    develop: { watch: [{ action: sync, path: ., target: /app }] }
    gpus: all
    x-own: { any: thing }
  db:
    image: postgres:18
    ports: !reset []
    environment: { A: 1, B: null, C: "x" }
    post_start: [{ command: [init] }]
models:
  llm: { model: ai/smollm2 }
volumes: { data: }
`),
    ).toEqual([]);
  });
});

describe('languages that are not read', () => {
  const unread = async (files: Record<string, string>) =>
    assessAll(await inventoryOf(new Map(Object.entries(files)), []))
      .filter(({ rule }) => rule === 'code-unread')
      .map(({ subject, severity, evidence }) => [subject, severity, evidence]);

  test('are unknown, unless a linter of the repository reads them', async () => {
    const app = {
      'src/a.ts': 'export const a = 1;\n',
      'src/b.js': 'a()\n',
      'package.json': '{"dependencies":{"eslintish":"1"}}',
    };
    expect(await unread(app)).toEqual([
      [
        'TypeScript and JavaScript',
        'unknown',
        '2 files of TypeScript and JavaScript, and no linter of it is configured',
      ],
    ]);
    expect(await unread({ ...app, 'package.json': '{"devDependencies":{"oxlint":"1.0.0"}}' })).toEqual([]);
    expect(await unread({ ...app, 'eslint.config.js': 'export default [];\n' })).toEqual([]);
    expect(await unread({ 'a.py': 'print(1)\n', 'main.go': 'package main\n' })).toEqual([]);
  });
});

describe('ports', () => {
  const service = (id: string, port: number, more: object = {}) => ({
    id,
    machine: 'pc2',
    kind: 'process' as const,
    ports: [{ name: 'main', port, ...more }],
    source: `${id}.yaml:1`,
  });
  const rules = (services: Inventory['services'], more: Partial<Inventory> = {}) =>
    assessPorts({ ...emptyInventory, machines: [{ id: 'pc2', vramGiB: [] }], services, ...more }).map(
      ({ rule, severity, subject }) => [rule, severity, subject],
    );

  test('addresses that overlap meet, others do not', () => {
    const meets = (a: object, b: object) => rules([service('a', 7000, a), service('b', 7000, b)]).length > 0;
    expect(meets({}, { address: '127.0.0.1' })).toBe(true);
    expect(meets({ address: '0.0.0.0' }, { address: '10.0.0.5' })).toBe(true);
    expect(meets({ address: 'localhost' }, { address: '127.0.0.1' })).toBe(true);
    expect(meets({ address: '[::]' }, { address: '127.0.0.1' })).toBe(true);
    expect(meets({ address: '127.0.0.1' }, { address: '10.0.0.5' })).toBe(false);
    expect(meets({ protocol: 'udp' }, {})).toBe(false);
  });

  test('three at one port are one finding; what is started on demand weighs less', () => {
    expect(rules([service('a', 7000), service('b', 7000), service('c', 7000)])).toEqual([
      ['port-declared-clash', 'critical', 'pc2:7000'],
    ]);
    expect(rules([service('a', 7000), { ...service('b', 7000), required: false }])).toEqual([
      ['port-declared-clash', 'high', 'pc2:7000'],
    ]);
  });

  test('ports of the fleet, of other processes and of connections', () => {
    const fleetPorts = [{ machine: 'pc2', port: 11434, address: null, what: 'model server of pc2' }];
    expect(rules([service('a', 11434)], { fleetPorts })).toEqual([['port-of-the-fleet', 'critical', 'pc2:11434']]);
    expect(rules([service('ollama', 11434)], { fleetPorts })).toEqual([]);
    expect(rules([service('a', 40_000)])).toEqual([['port-ephemeral', 'medium', 'a']]);
    const listening = (process: string) => [
      {
        machine: 'pc2',
        listening: [{ port: 7000, address: '127.0.0.1', protocol: 'tcp' as const, process }],
        cores: 4,
        memoryGiB: 8,
        freeDiskGiB: 50,
      },
    ];
    const own = { ...service('a', 7000), command: ['python3', 'a.py'] };
    expect(rules([own], { live: listening('nginx') })).toEqual([['port-taken', 'high', 'pc2:7000']]);
    expect(rules([own], { live: listening('python3') })).toEqual([]);
  });
});

describe('verdict, acceptance and diff', () => {
  const critical = finding('port-declared-clash', { subject: 'pc2:7000', place: 'a b/c.yaml:3', evidence: 'a, b' });
  const low = finding('import-unused', { subject: 'a.py json', place: 'a.py:1', evidence: 'json' });
  const unknown = finding('live-unknown', { subject: 'pc2', evidence: 'nothing' });
  const acceptance = {
    rule: critical.rule,
    fingerprint: critical.fingerprint,
    until: '2026-12-01',
    by: 'owner',
    reason: 'moving',
  };

  test('critical is not ready until somebody answers for it; unknown is never ready', () => {
    const verdict = (findings: Finding[], today = '2026-12-01') =>
      reportOf(findings, { acceptances: [acceptance], today }).verdict;
    expect(verdict([low])).toBe('ready');
    expect(verdict([low, unknown])).toBe('partially_ready');
    expect(verdict([low, critical])).toBe('ready');
    expect(verdict([low, critical], '2026-12-02')).toBe('not_ready');
  });

  test('new, known, returned and gone', () => {
    const diff = diffOf(['a', 'b', 'c'], { last: new Set(['a', 'x']), everSeen: new Set(['a', 'b', 'x']) });
    expect([...diff.state]).toEqual([
      ['a', 'known'],
      ['b', 'returned'],
      ['c', 'new'],
    ]);
    expect(diff.gone).toEqual(['x']);
  });

  test('a fingerprint does not move with the line, and differs by rule and subject', () => {
    const prints = [
      critical,
      finding('port-derived-clash', { subject: 'pc2:7000', evidence: '' }),
      finding('port-declared-clash', { subject: 'pc2:7001', evidence: '' }),
    ].map(({ fingerprint }) => fingerprint);
    expect(new Set(prints).size).toBe(3);
    expect(finding('port-declared-clash', { subject: 'pc2:7000', place: 'z:9', evidence: 'else' }).fingerprint).toBe(
      prints[0],
    );
  });

  test('SARIF names rule, place and who accepted', () => {
    const sarif = sarifOf(reportOf([critical, unknown], { acceptances: [acceptance], today: '2026-12-01' }), '1.0.0');
    const [run] = sarif.runs;
    expect(sarif.version).toBe('2.1.0');
    expect(run!.tool.driver.rules.map(({ id }) => id)).toEqual(['live-unknown', 'port-declared-clash']);
    expect(run!.results[0]).toMatchObject({
      ruleId: 'port-declared-clash',
      ruleIndex: 1,
      level: 'error',
      locations: [{ physicalLocation: { artifactLocation: { uri: 'a%20b/c.yaml' }, region: { startLine: 3 } } }],
      suppressions: [{ kind: 'external' }],
    });
    expect(run!.results[1]).not.toHaveProperty('locations');
  });
});

describe('soulfra readiness', () => {
  test('says the verdict by its exit code, and accepts by a file', async () => {
    await inFolder(
      {
        'repo/startup.yaml':
          'a: { script: a.py, port: 7000, health_check: /x }\nb: { script: b.py, port: 7000, health_check: /x }\n',
        'repo/a.py': 'print(1)\n',
        'repo/b.py': 'print(2)\n',
      },
      async (home) => {
        const fleetFile = shipped.replace(/^ {2}- id: pc2\n(?: {4}.*\n)+/m, '');
        expect(fleetFile).not.toContain('id: pc2');
        writeFileSync(join(home, 'one.yaml'), fleetFile);
        const soulfra = (...args: string[]) =>
          runSoulfra(['readiness', 'repo', '--local', ...args], { cwd: home, env: {} });
        const none = await runSoulfra(['readiness', '--local'], { cwd: home, env: {} });
        expect([none.code, none.err]).toEqual([2, expect.stringContaining('PATH is missing')]);
        const told = await soulfra('--file', 'one.yaml', '--format', 'json');
        expect(told.code).toBe(2);
        const report = JSON.parse(told.out) as ReadinessReport;
        expect(report.verdict).toBe('not_ready');
        const open = report.findings.filter(({ severity }) => severity !== 'low');
        expect(open.map(({ rule }) => rule)).toEqual(expect.arrayContaining(['port-declared-clash', 'live-unknown']));
        const rows = open.map(
          ({ rule, fingerprint }) =>
            `  - { rule: ${rule}, fingerprint: "${fingerprint}", until: 2999-01-01, by: owner, reason: known }\n`,
        );
        writeFileSync(join(home, 'accepted.yaml'), `accepted:\n${rows.join('')}`);
        expect((await soulfra('--file', 'one.yaml', '--accepted', 'accepted.yaml')).code).toBe(0);
        writeFileSync(
          join(home, 'accepted.yaml'),
          `accepted:\n${rows.filter((row) => !row.includes('clash')).join('')}`,
        );
        expect((await soulfra('--file', 'one.yaml', '--accepted', 'accepted.yaml')).code).toBe(2);
        writeFileSync(join(home, 'accepted.yaml'), 'accepted: [{ rule: x, fingerprint: y, until: soon }]\n');
        const refused = await soulfra('--accepted', 'accepted.yaml');
        expect(refused.err).toContain('sixteen hexadecimal digits');
        const sarif = await soulfra('--file', 'one.yaml', '--format', 'sarif');
        expect(JSON.parse(sarif.out)).toMatchObject({ version: '2.1.0' });
      },
    );
  });
});
