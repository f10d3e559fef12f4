import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { assessAll } from '../../domain/readiness-assessors.ts';
import { type ToolsOptions, runRepositoryTools } from '../../integrations/repository-tools/repository-tools.ts';
import { emptyInventory } from '../support/inventories.ts';
import { inFolder } from '../support/imported.ts';

const files = { 'app.py': 'print(1)\n', Dockerfile: 'FROM debian:13\n' };

/** Runs the tools where these stand in for some of them: how a program ends is not the tool's own. */
function runWith(
  programs: Record<string, string>,
  options: Omit<ToolsOptions, 'path'> & { signal?: AbortSignal } = {},
  inspect: (bin: string) => void = () => undefined,
) {
  return inFolder({}, async (home) => {
    const [folder, scratch, bin] = ['files', 'scratch', 'bin'].map((name) => join(home, name)) as [
      string,
      string,
      string,
    ];
    for (const each of [folder, scratch, bin]) mkdirSync(each);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    for (const [name, body] of Object.entries(programs)) {
      writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
      chmodSync(join(bin, name), 0o755);
    }
    const { signal = new AbortController().signal, ...more } = options;
    const reports = await runRepositoryTools({ folder, files: Object.keys(files), scratch }, signal, {
      ...more,
      path: bin,
    });
    inspect(bin);
    return reports;
  });
}

/** One that has ended and that nobody has asked about is a zombie. */
function runs(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)![0] !== 'Z';
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw err;
  }
}

const unknownOf = (tools: Awaited<ReturnType<typeof runWith>>) =>
  assessAll({ ...emptyInventory, tools })
    .filter(({ rule }) => rule === 'tool-absent')
    .map(({ subject, area, severity, evidence, mend }) => ({ subject, area, severity, evidence, mend }));

test('a tool that is not there is unknown, with how it is installed, and never well', async () => {
  const found = unknownOf(await runWith({}));
  expect(found.map(({ subject, area }) => [subject, area])).toEqual([
    ['gitleaks', 'security'],
    ['hadolint', 'containers'],
    ['ruff', 'code'],
    ['vulture', 'code'],
  ]);
  for (const { severity, evidence, mend, subject } of found) {
    expect(severity).toBe('unknown');
    expect(evidence).toBe(`${subject} is not installed here`);
    expect(mend).toMatch(/^Install /);
  }
});

test('a tool that fails, prints nonsense or breaks off is unknown with the reason', async () => {
  const reports = await runWith({
    gitleaks: 'echo "unknown command \\"dir\\"" >&2; exit 126',
    hadolint: 'echo "{}"',
    ruff: 'kill -9 $$',
    vulture: 'echo "Traceback (most recent call last):" >&2; echo "RecursionError" >&2; exit 1',
  });
  expect(unknownOf(reports).map(({ subject, evidence }) => `${subject}: ${evidence}`)).toEqual([
    'gitleaks: it ended with code 126: unknown command "dir"',
    'hadolint: its answer is not understood: its answer is no list of findings',
    'ruff: it was ended by SIGKILL',
    'vulture: it ended with code 1: RecursionError',
  ]);
});

test('a traceback that stands in the text of a file is no fault of the tool', async () => {
  const says = `app.py:1: invalid syntax at "raise Broken('Traceback (most recent call last):')"`;
  const reports = await runWith({ vulture: `cat >&2 <<'END'\n${says}\nEND\nexit 1` });
  expect(reports.find(({ tool }) => tool === 'vulture')).toMatchObject({ state: 'ran', findings: [] });
});

test('a tool that does not end, or prints without end, is ended with all that it started', async () => {
  let pid = 0;
  const hangs = '/bin/sleep 600 & echo $! > "${0%/*}/pid"; wait';
  const reports = await runWith(
    { ruff: hangs, vulture: 'while :; do echo "0123456789012345678901234567890123456789"; done' },
    { timeoutMs: 3_000 },
    (bin) => {
      pid = Number(readFileSync(join(bin, 'pid'), 'utf8'));
    },
  );
  const said = unknownOf(reports).map(({ evidence }) => evidence);
  expect(said).toContain('it had not ended after 3 s');
  expect(said.some((text) => /printed more than 32 MiB|not ended after 3 s/.test(text))).toBe(true);
  await vi.waitFor(() => expect(runs(pid)).toBe(false), { timeout: 10_000 });
});

test('who gives it up has it ended, too', async () => {
  const giving = new AbortController();
  const running = runWith({ gitleaks: 'exec /bin/sleep 600' }, { signal: giving.signal });
  setImmediate(() => giving.abort(new Error('the machine stops')));
  await expect(running).rejects.toThrow('the machine stops');
});

test('a tool has no variable of this process but where programs and the home lie, and stands in an empty folder', async () => {
  process.env['SOULFRA_TOKEN_OF_TEST'] = 'quiet-secret';
  let seen = '';
  let standsIn: string[] = [];
  await runWith({ ruff: '/usr/bin/env > "${0%/*}/env"; /bin/ls -A . > "${0%/*}/ls"; echo "[]"' }, {}, (bin) => {
    seen = readFileSync(join(bin, 'env'), 'utf8');
    standsIn = readFileSync(join(bin, 'ls'), 'utf8').split('\n').filter(Boolean);
    expect(existsSync(join(bin, 'env'))).toBe(true);
  });
  delete process.env['SOULFRA_TOKEN_OF_TEST'];
  expect(seen).toContain('PATH=');
  expect(seen).not.toContain('quiet-secret');
  expect(standsIn).toEqual([]);
});

test('of a line that is told already, a tool says nothing more', () => {
  const report = (tool: string, file: string, line: number, code: string) => ({
    tool,
    state: 'ran' as const,
    detail: '',
    install: '',
    findings: [{ code, file, line, message: 'm' }],
  });
  const found = assessAll({
    ...emptyInventory,
    marks: [{ kind: 'secret.aws_key', about: 'an access key of AWS', file: 'a.yaml', line: 3 }],
    tools: [
      report('gitleaks', 'a.yaml', 3, 'aws-access-token'),
      report('gitleaks', 'a.yaml', 4, 'generic-api-key'),
      report('ruff', 'a.py', 1, 'F401'),
      report('vulture', 'a.py', 1, 'unused'),
      // A tool may quote a line that has a secret.
      report('ruff', 'a.yaml', 4, 'F601'),
      report('hadolint', 'a.yaml', 3, 'SC2154'),
    ],
  });
  expect(found.filter(({ rule }) => rule.endsWith('-by-tool')).map(({ rule, place }) => [rule, place])).toEqual([
    ['secret-by-tool', 'a.yaml:4'],
    ['code-by-tool', 'a.py:1'],
  ]);
});
