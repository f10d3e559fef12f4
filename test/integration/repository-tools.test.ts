import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readInventory } from '../../config/imports/inventory-reading.ts';
import type { Finding } from '../../domain/readiness.ts';
import { assessAll } from '../../domain/readiness-assessors.ts';
import type { Inventory } from '../../domain/readiness-inventory.ts';
import { runRepositoryTools } from '../../integrations/repository-tools/repository-tools.ts';
import { inFolder } from '../support/imported.ts';
import { lacks } from '../support/not-run.ts';
import { ownFindings, ownReport } from '../support/own-readiness.ts';
import { toolsFolder } from '../support/python.ts';

const tools = await toolsFolder();
const noTools = lacks(
  {
    test: 'gitleaks, hadolint, ruff and vulture over a repository',
    needs: 'python3 with venv, and the packages of test/support/repository-tools.txt',
    command: 'apt-get install python3 python3-venv',
  },
  tools !== undefined,
);

/** Put together here, so that no search for secrets finds one in this file. */
const hook = ['https://hooks.slack', 'com/services/T01ABCDEF23/B01ABCDEF23/aBcDeFgHiJkLmNoPqRsTuVwX'].join('.');
const awsKey = ['AKIA', 'QWERTYUIOPASDF23'].join('');

const repository = {
  'app/main.py': `import json
import sys


def add(value, into=[]):
    into.append(value)
    return into
    print(value)


print(add(1), sys.argv)
`,
  'app/broken.py': 'def broken(:\n',
  'app/sound.py': 'import sys\n\n\ndef say(text):\n    return text\n\n\nprint(say(sys.argv))\n',
  Dockerfile:
    'FROM debian:13.1\nRUN sudo apt-get -y --no-install-recommends install curl=8.5\nUSER app\nHEALTHCHECK CMD /bin/true\nCMD ["/bin/app"]\n',
  'sound/Dockerfile': 'FROM debian:13.1\nUSER app\nHEALTHCHECK CMD /bin/true\nCMD ["/bin/app"]\n',
  'config/alerts.yaml': `slack: ${hook}\n`,
  'config/cloud.yaml': `key: ${awsKey}\n`,
  'config/sound.yaml': 'slack: ${SLACK_URL}\n',
  // What would silence them, or have them read what is not theirs, if it were heeded.
  '.gitleaks.toml': '[extend]\nuseDefault = true\n[allowlist]\npaths = [".*"]\n',
  '.gitleaksignore': 'config/alerts.yaml:slack-webhook-url:1\n',
  '.hadolint.yaml': 'ignored: [DL3004, DL3009]\n',
  'ruff.toml': 'extend = "/etc/passwd"\n',
  'pyproject.toml': '[tool.ruff.lint]\nselect = []\n[tool.vulture]\nmin_confidence = 100\nignore_names = ["*"]\n',
};

function read(files: Record<string, string>): Promise<Inventory> {
  return inFolder(files, (folder) =>
    readInventory(
      { paths: [folder], machineFiles: [], portRules: [], machines: [{ id: 'pc2' }], fleet: undefined },
      (copies, signal) => runRepositoryTools(copies, signal, { path: `${tools}:/usr/bin:/bin` }),
      new AbortController().signal,
    ),
  );
}

const said = (findings: readonly Finding[], rule: string) =>
  findings
    .filter((each) => each.rule === rule)
    .map(({ evidence, place, severity }) => `${severity} ${evidence.split(':')[0]} ${place}`)
    .toSorted();

describe.skipIf(noTools)('the real tools', () => {
  test('find what ours do not, by place, whatever the repository tells them', async () => {
    const inventory = await read(repository);
    const findings = assessAll(inventory);
    expect(inventory.tools.map(({ tool, state, detail }) => [tool, state, detail])).toEqual([
      ['gitleaks', 'ran', ''],
      ['hadolint', 'ran', ''],
      ['ruff', 'ran', ''],
      ['vulture', 'ran', ''],
    ]);
    expect(said(findings, 'secret-by-tool')).toEqual(['critical gitleaks slack-webhook-url config/alerts.yaml:1']);
    // Known here already, so not told twice.
    expect(said(findings, 'secret-in-file')).toEqual([
      'critical an access key of AWS; its value is not shown config/cloud.yaml:1',
    ]);
    expect(said(findings, 'dockerfile-by-tool')).toEqual(['medium hadolint DL3004 Dockerfile:2']);
    const code = said(findings, 'code-by-tool');
    expect(code).toContain('low ruff B006 app/main.py:5');
    expect(code).toContain('low vulture unused app/main.py:8');
    expect(code.some((each) => each.startsWith('low ruff') && each.endsWith('app/broken.py:1'))).toBe(true);
    expect(said(findings, 'import-unused')).toEqual(['low json is imported and not used app/main.py:1']);
    expect(code.filter((each) => each.endsWith('app/main.py:1'))).toEqual([]);
    for (const { place } of findings.filter(({ rule }) => rule.endsWith('-by-tool')))
      expect(place).not.toMatch(/sound/);
    for (const secret of [hook.slice(30), awsKey]) {
      expect(JSON.stringify(inventory)).not.toContain(secret);
      expect(JSON.stringify(findings)).not.toContain(secret);
    }
  });

  test('are not silenced by what stands in comments', async () => {
    const findings = assessAll(
      await read({
        'app/main.py': 'def add(value, into=[]):  # noqa: B006\n    return into\n\n\n# ruff: noqa\nprint(add(1))\n',
        Dockerfile: `FROM debian:13.1
# hadolint ignore=DL3004
RUN sudo true
USER app
HEALTHCHECK CMD /bin/true
CMD ["/bin/app"]
`,
        'config/alerts.yaml': `slack: ${hook} # gitleaks:allow\n`,
      }),
    );
    expect(said(findings, 'secret-by-tool')).toEqual(['critical gitleaks slack-webhook-url config/alerts.yaml:1']);
    expect(said(findings, 'dockerfile-by-tool')).toEqual(['medium hadolint DL3004 Dockerfile:3']);
    expect(said(findings, 'code-by-tool')).toContain('low ruff B006 app/main.py:1');
  });

  test('say nothing where there is no file of their kind', async () => {
    const { tools: reports } = await read({ 'startup.yaml': 'a: { script: a.sh }\n', 'a.sh': 'true\n' });
    expect(reports.map(({ tool }) => tool)).toEqual(['gitleaks']);
  });

  test('work beside the repository, so that links and their own files lead nowhere', async () => {
    const inventory = await read({ 'app.py': 'import os\n', [join('deep', 'app.py')]: 'print(1)\n' });
    for (const { findings } of inventory.tools)
      for (const { file } of findings) expect(['app.py', 'deep/app.py']).toContain(file);
  });

  test('find nothing in this repository that nobody answers for', async () => {
    const root = fileURLToPath(new URL('../../', import.meta.url));
    const findings = await ownFindings(root, (copies, signal) =>
      runRepositoryTools(copies, signal, { path: `${tools}:/usr/bin:/bin` }),
    );
    const open = ownReport(root, findings).findings.filter(({ accepted }) => accepted === null);
    expect(open.map(({ rule, place, evidence }) => `${rule} ${place} ${evidence}`)).toEqual([]);
  });
});
