import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { Finding } from '../../domain/readiness.ts';
import { freePort } from '../support/prometheus.ts';
import { runSoulfra } from '../support/command.ts';
import { inFolder } from '../support/imported.ts';

/** Each listens, so that it is known when it is up; how it takes SIGTERM is its own. */
const listen = "const server = require('node:net').createServer().listen(Number(process.argv[2]), '127.0.0.1');\n";
const scripts = {
  graceful: `${listen}process.on('SIGTERM', () => server.close(() => process.exit(0)));\n`,
  unhandled: listen,
  failing: `${listen}process.on('SIGTERM', () => process.exit(3));\n`,
  littering: `${listen}require('node:child_process').spawn('/bin/sleep', ['600'], { detached: true, stdio: 'ignore' }).unref();\nprocess.on('SIGTERM', () => process.exit(0));\n`,
  ending: 'process.exit(7);\n',
};
type Script = keyof typeof scripts;

/** A home whose fleet.d has one service a script, and whose trust file agrees to some of them. */
async function assess(
  trusted: readonly Script[],
  tried: readonly Script[],
  { port, yes = true }: { port?: number; yes?: boolean } = {},
) {
  return inFolder({ 'repo/docs/runbook.md': '# What to do\n' }, async (home) => {
    const ids = Object.keys(scripts) as Script[];
    const ports = new Map<Script, number>();
    for (const id of ids) ports.set(id, port ?? (await freePort()));
    const words = (id: Script) => [process.execPath, `${id}.cjs`, String(ports.get(id))];
    for (const id of ids) writeFileSync(join(home, 'repo', `${id}.cjs`), scripts[id]);
    mkdirSync(join(home, 'fleet.d'));
    mkdirSync(join(home, '.soulfra'), { mode: 0o700 });
    const services = ids.map((id) => ({
      id,
      kind: 'process',
      command: words(id),
      ports: id === 'ending' ? [] : [{ name: 'main', port: ports.get(id) }],
      source: `${id}.cjs:1`,
    }));
    writeFileSync(join(home, 'fleet.d/own.yaml'), stringify({ version: 1, services }));
    writeFileSync(
      join(home, '.soulfra/trust.yaml'),
      stringify({
        version: 1,
        services: trusted.map((id) => ({ id, command: words(id), folder: join(home, 'repo') })),
      }),
      { mode: 0o600 },
    );
    const options = tried.flatMap((id) => ['--try-stop', id]);
    const ended = await runSoulfra(
      [...(yes ? ['--yes'] : []), 'readiness', 'repo', '--local', '--format', 'json', ...options],
      { cwd: home, env: {} },
    );
    const found = ended.out === '' ? [] : (JSON.parse(ended.out) as { findings: Finding[] }).findings;
    const of = (id: string) =>
      found
        .filter(({ rule, subject }) => rule.startsWith('stop-') && subject === id)
        .map(({ rule, evidence }) => `${rule}: ${evidence}`);
    return { ...ended, of };
  });
}

test('how a service takes SIGTERM is seen, each end with what it left; nothing of it runs on', async () => {
  const all: Script[] = ['graceful', 'unhandled', 'failing', 'littering', 'ending'];
  const { of, err } = await assess(all, all);
  expect(err).not.toContain('Error');
  expect(of('graceful')).toEqual([]);
  expect(of('unhandled')).toEqual([]);
  expect(of('failing')).toEqual([expect.stringMatching(/^stop-fails: it ended by code 3 [\d.]+ s after SIGTERM$/)]);
  expect(of('littering')).toEqual([
    expect.stringMatching(/^stop-leaves-behind: it ended by code 0 .*left: process sleep \(\d+\)$/),
  ]);
  expect(of('ending')).toEqual(['stop-untried: it ended by itself before it could be stopped: code 7']);
  expect(of('services')).toEqual([]);
  const pid = /sleep \((\d+)\)/.exec(of('littering')[0]!)![1];
  expect(livingNames(pid!)).not.toContain('sleep');
});

test('what the trust file does not agree to is not run, and what was not tried is unknown', async () => {
  const { of } = await assess(['graceful'], ['failing']);
  expect(of('failing')).toEqual([
    'stop-untried: command not trusted on this machine; there run `soulfra services trust failing`',
  ]);
  expect(of('services')).toEqual(['stop-untried: 4 of 5 were not stopped by SIGTERM and looked at']);
});

test('nothing is tried beside one that runs already, nor unless somebody agrees', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  try {
    const { of } = await assess(['graceful'], ['graceful'], { port });
    expect(of('graceful')).toEqual([`stop-untried: something listens at ${port} here already`]);
  } finally {
    server.close();
  }
  const unasked = await assess(['graceful'], ['graceful'], { yes: false });
  expect([unasked.code, unasked.err]).toEqual([2, expect.stringContaining('Nobody can answer here')]);
});

test('a service of no file is refused by name, and so is a trial through the fleet', async () => {
  const { code, err } = await assess([], ['graceful', 'nobody' as Script]);
  expect([code, err]).toEqual([2, expect.stringContaining('No file of fleet.d describes nobody')]);
  const remote = await runSoulfra(['readiness', 'repo', '--try-stop', 'graceful'], { cwd: '/', env: {} });
  expect([remote.code, remote.err]).toEqual([2, expect.stringContaining('Add --local')]);
});

function livingNames(pid: string): string[] {
  return readdirSync('/proc').includes(pid) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
    ? [readFileSync(`/proc/${pid}/comm`, 'utf8').trim()]
    : [];
}
